#include "rooted_file.h"

#include <limits.h>
#include <stdarg.h>

FILE *rooted_file_open(const char *root, const char *format, ...)
{
    char relative[PATH_MAX], path[PATH_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(relative, sizeof relative, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof relative)
        return NULL;
    n = snprintf(path, sizeof path, "%s%s", root, relative);
    if (n < 0 || (size_t)n >= sizeof path)
        return NULL;
    return fopen(path, "re");
}

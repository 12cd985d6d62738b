#include "breaks.h"

#include <string.h>

void breaks_blank(char *text, size_t n_bytes)
{
    static const char tag[] = {'<', 'b', 'r', ' ', '/', '>'};
    char *at = text, *end = text + n_bytes;
    while ((size_t)(end - at) >= sizeof tag && (at = memchr(at, '<', (size_t)(end - at)))) {
        if ((size_t)(end - at) >= sizeof tag && !memcmp(at, tag, sizeof tag))
            memset(at, ' ', sizeof tag);
        at++;
    }
}

#pragma once
/* The command line of a benchmark: a list of names, each followed by its value. */
#include <string.h>

static inline const char *option(int argc, char **argv, const char *name, const char *fallback)
{
    for (int k = 1; k + 1 < argc; k += 2)
        if (!strcmp(argv[k], name))
            return argv[k + 1];
    return fallback;
}

#pragma once
/* Files of /proc and /sys, below a folder that stands for "/" so that tests can fake them. */
#include <stdio.h>

#include "defs.h"

/* Opens root followed by the formatted path for reading; NULL where there is no such file. */
FILE *rooted_file_open(const char *root, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void rooted_file_close(FILE *file) /* NULL is fine */
{
    if (file)
        fclose(file);
}
DEFINE_AUTO(rooted_file_close, FILE *);

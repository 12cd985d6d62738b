#pragma once
/* A borrowed part of a text. */
#include <stddef.h>
#include <string.h>

struct slice {
    const char *bytes;
    size_t n_bytes;
};

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* The slice without leading and trailing blanks. */
static inline struct slice slice_trim(struct slice s, const char *blanks)
{
    size_t n_blanks = strlen(blanks);
    while (s.n_bytes > 0 && memchr(blanks, s.bytes[0], n_blanks)) {
        s.bytes++;
        s.n_bytes--;
    }
    while (s.n_bytes > 0 && memchr(blanks, s.bytes[s.n_bytes - 1], n_blanks))
        s.n_bytes--;
    return s;
}

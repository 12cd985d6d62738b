#pragma once
/* A growing byte buffer with one check at the end: if memory runs out or the limit is exceeded,
 * `failed` is set, the content stays unchanged, and later appends do nothing. Writers append
 * without checking; the owner checks `failed` (or buffer_take) once.
 *
 *     AUTO(buffer_done) struct buffer b = {0};
 *     buffer_printf(&b, "%zu tokens", n_tokens);
 *     char *text = buffer_take(&b, &n_bytes);    // NULL: it failed
 *
 * Not thread-safe: one owner at a time. */
#include "defs.h"

struct buffer {       /* {0} is a valid empty buffer without a limit */
    char *bytes;      /* owned, not NUL-terminated; NULL while nothing was appended */
    size_t n_bytes;   /* content */
    size_t capacity;  /* bytes allocated */
    size_t max_bytes; /* limit of n_bytes; 0: no limit */
    bool failed;      /* sticky; only buffer_done resets it */
};

/* Frees the bytes and resets all fields except max_bytes. The buffer can be used again. */
void buffer_done(struct buffer *buffer);
static inline void buffer_done_auto(struct buffer *buffer)
{
    buffer_done(buffer);
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t n_bytes);
void buffer_append_char(struct buffer *buffer, char byte);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reserves at least n_bytes after the content and returns where to write them; NULL if the buffer
 * failed. Valid until the next call; buffer_commit adds the written bytes to the content. The limit
 * counts reserved bytes, not committed ones. */
char *buffer_reserve(struct buffer *buffer, size_t n_bytes);
void buffer_commit(struct buffer *buffer, size_t n_bytes); /* at most what was reserved last */

/* Moves the bytes to the caller, who must free() them, and empties the buffer. NULL means that the
 * buffer failed: an empty buffer returns an allocation too. */
char *buffer_take(struct buffer *buffer, size_t *ret_n_bytes);

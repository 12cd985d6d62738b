#pragma once
/* A byte buffer that grows, with one check at the end: when memory runs out or the limit is passed,
 * `failed` is set, the content stays as it was, and every later append does nothing. So writers
 * append without checking and the owner asks `failed` (or buffer_take) once.
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
    size_t max_bytes; /* content above this is a failure; 0: no limit but memory */
    bool failed;      /* sticky; set to false again by buffer_done alone */
};

/* Frees the bytes and makes it {0} but for max_bytes: ready for use again. */
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

/* Room for at least n_bytes after the content, to be written directly, or NULL when it failed.
 * Valid until the next call; what was written joins the content with buffer_commit. The limit
 * counts what is reserved, not what is committed. */
char *buffer_reserve(struct buffer *buffer, size_t n_bytes);
void buffer_commit(struct buffer *buffer, size_t n_bytes); /* <= what was reserved last */

/* Moves the bytes to the caller, who must free() them, and empties the buffer. NULL when it
 * failed; an empty buffer gives an allocation too, so NULL has this one meaning. */
char *buffer_take(struct buffer *buffer, size_t *ret_n_bytes);

#include "buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MIN_CAPACITY 256

void buffer_done(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){.max_bytes = buffer->max_bytes};
}

/* The capacity for `n_needed` bytes: at least doubled, so that the cost of n appends is O(n). */
static size_t grown_capacity(size_t capacity, size_t n_needed)
{
    size_t doubled = capacity > SIZE_MAX / 2 ? SIZE_MAX : capacity * 2;
    size_t grown = doubled > n_needed ? doubled : n_needed;
    return grown > MIN_CAPACITY ? grown : MIN_CAPACITY;
}

char *buffer_reserve(struct buffer *buffer, size_t n_bytes)
{
    if (buffer->failed)
        return NULL;
    if (buffer->bytes && n_bytes <= buffer->capacity - buffer->n_bytes &&
        (!buffer->max_bytes || n_bytes <= buffer->max_bytes - buffer->n_bytes))
        return buffer->bytes + buffer->n_bytes;

    size_t n_needed;
    if (!add_ok(buffer->n_bytes, n_bytes, &n_needed) ||
        (buffer->max_bytes && n_needed > buffer->max_bytes)) {
        buffer->failed = true;
        return NULL;
    }
    size_t capacity = grown_capacity(buffer->capacity, n_needed);
    char *bytes = realloc(buffer->bytes, capacity);
    if (!bytes) {
        buffer->failed = true;
        return NULL;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return bytes + buffer->n_bytes;
}

void buffer_commit(struct buffer *buffer, size_t n_bytes)
{
    buffer->n_bytes += n_bytes;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t n_bytes)
{
    if (n_bytes == 0) /* memcpy must not get NULL, not even for 0 bytes */
        return;
    char *dst = buffer_reserve(buffer, n_bytes);
    if (!dst)
        return;
    memcpy(dst, bytes, n_bytes);
    buffer_commit(buffer, n_bytes);
}

void buffer_append_char(struct buffer *buffer, char byte)
{
    buffer_append(buffer, &byte, 1);
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    char local[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(local, sizeof local, format, args);
    va_end(args);
    if (n < 0) {
        buffer->failed = true;
        return;
    }
    if ((size_t)n < sizeof local) {
        buffer_append(buffer, local, (size_t)n);
        return;
    }
    char *dst = buffer_reserve(buffer, (size_t)n + 1); /* vsnprintf adds a NUL */
    if (!dst)
        return;
    va_start(args, format);
    n = vsnprintf(dst, (size_t)n + 1, format, args);
    va_end(args);
    buffer_commit(buffer, (size_t)n);
}

char *buffer_take(struct buffer *buffer, size_t *ret_n_bytes)
{
    if (!buffer_reserve(buffer, 0))
        return NULL;
    *ret_n_bytes = buffer->n_bytes;
    char *bytes = STEAL(buffer->bytes);
    buffer_done(buffer);
    return bytes;
}

#include "fail_alloc.h"

#include <stdbool.h>
#include <stdlib.h>

void *__real_malloc(size_t n_bytes);
void *__real_calloc(size_t n_items, size_t n_bytes);
void *__real_realloc(void *old, size_t n_bytes);
void *__real_aligned_alloc(size_t alignment, size_t n_bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t n_bytes);
void *__wrap_calloc(size_t n_items, size_t n_bytes);
void *__wrap_realloc(void *old, size_t n_bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t n_bytes);
char *__wrap_strdup(const char *text);

static _Thread_local bool active;
static _Thread_local size_t n_left;
static _Thread_local size_t n_failed;

void fail_alloc_after(size_t n_good)
{
    n_left = n_good;
    n_failed = 0;
    active = true;
}

size_t fail_alloc_stop(void)
{
    active = false;
    return n_failed;
}

static bool must_fail(void)
{
    if (!active)
        return false;
    if (n_left > 0) {
        n_left--;
        return false;
    }
    n_failed++;
    return true;
}

void *__wrap_malloc(size_t n_bytes)
{
    return must_fail() ? NULL : __real_malloc(n_bytes);
}

void *__wrap_calloc(size_t n_items, size_t n_bytes)
{
    return must_fail() ? NULL : __real_calloc(n_items, n_bytes);
}

void *__wrap_realloc(void *old, size_t n_bytes)
{
    return must_fail() ? NULL : __real_realloc(old, n_bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n_bytes)
{
    return must_fail() ? NULL : __real_aligned_alloc(alignment, n_bytes);
}

char *__wrap_strdup(const char *text)
{
    return must_fail() ? NULL : __real_strdup(text);
}

#pragma once
/* The few macros that both model/ and server/ use: owned locals that clean themselves, ownership
 * that moves visibly, and size arithmetic that cannot wrap. No state, no types of either side. */
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* AUTO(thing_free) struct thing *t = NULL;  calls thing_free(t) when t goes out of scope.
 * The function must accept NULL; DEFINE_AUTO(thing_free, struct thing *) makes it usable here. */
#define AUTO(free_fn) __attribute__((cleanup(free_fn##_auto)))
#define DEFINE_AUTO(free_fn, type)                 \
    static inline void free_fn##_auto(type *owned) \
    {                                              \
        free_fn(*owned);                           \
    }                                              \
    struct auto_needs_a_semicolon

/* The value of an owned pointer, leaving NULL behind: ownership moves to the reader. */
#define STEAL(ptr)                       \
    (__extension__({                     \
        __typeof__(ptr) stolen_ = (ptr); \
        (ptr) = NULL;                    \
        stolen_;                         \
    }))

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

/* free() for AUTO: `AUTO(mem_free) char *text = NULL;` whatever the pointer's type. */
static inline void mem_free_auto(void *owned)
{
    free(*(void **)owned);
}

/* *ret = a * b (or a + b); false, with *ret untouched, when that does not fit a size_t. */
static inline bool mul_ok(size_t a, size_t b, size_t *ret)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

static inline bool add_ok(size_t a, size_t b, size_t *ret)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

#pragma once
/* splitmix64 (Steele, Lea and Flood 2014): small, and its whole state is one number in a
 * checkpoint. */
#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline double rng_uniform(struct rng *rng) /* [0, 1) */
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

/* Fisher and Yates' shuffle of n items of item_bytes each, in place. */
static inline void rng_shuffle(struct rng *rng, void *items, size_t n, size_t item_bytes)
{
    unsigned char *bytes = items;
    for (; n > 1; n--) {
        unsigned char *a = bytes + (n - 1) * item_bytes,
                      *b = bytes + (size_t)(rng_next(rng) % n) * item_bytes;
        for (size_t k = 0; k < item_bytes; k++) {
            unsigned char swapped = a[k];
            a[k] = b[k];
            b[k] = swapped;
        }
    }
}

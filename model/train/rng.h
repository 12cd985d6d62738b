#pragma once
/* splitmix64 (Steele, Lea and Flood 2014): small, and its whole state is one number in a
 * checkpoint. */
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

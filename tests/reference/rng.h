#pragma once
/* splitmix64 (Steele, Lea and Flood 2014): a few lines of deterministic random numbers, the same on
 * every machine, so that a failing seed can be run again. Not thread-safe per struct; no failure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state; /* any seed is fine */
};

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 .. n - 1; n must not be 0. The bias of the remainder is of no matter here. */
static inline size_t rng_below(struct rng *rng, size_t n)
{
    return (size_t)(rng_next(rng) % n);
}

static inline bool rng_chance(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

/* Uniform in [-limit, limit), on a grid of 2^24 steps: exact in float32 arithmetic. */
static inline float rng_symmetric(struct rng *rng, float limit)
{
    return limit * ((float)(int32_t)(rng_next(rng) >> 40) * 0x1p-23f - 1.0f);
}

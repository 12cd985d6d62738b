#pragma once
/* What tests ask of rng.h: the same numbers on every machine, so that a failing seed can be run
 * again. */
#include <stdbool.h>
#include <stddef.h>

#include "util/rng.h"

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

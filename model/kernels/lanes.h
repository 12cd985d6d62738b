#pragma once
/* One vector register of floats, in the size of the instruction set that a source is compiled for
 * (isa.h), and the functions of an LSTM cell on it. */
#include <stdint.h>

#include "isa.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

typedef float lanes __attribute__((vector_size(ISA_VECTOR_BYTES), may_alias));
typedef float lanes_at __attribute__((vector_size(ISA_VECTOR_BYTES), aligned(4), may_alias));
typedef int32_t int_lanes __attribute__((vector_size(ISA_VECTOR_BYTES), may_alias));

#define LANES (ISA_VECTOR_BYTES / sizeof(float))

static inline lanes lanes_of(float x)
{
    return x - (lanes){0};
}

static inline int_lanes int_lanes_of(int32_t x)
{
    return x - (int_lanes){0};
}

/* x where it is not beyond the limit; NaN stays NaN. */
static inline lanes lanes_at_most(lanes x, lanes limit)
{
#ifdef __AVX512F__
    return (lanes)_mm512_min_ps((__m512)limit, (__m512)x);
#else
    int_lanes beyond = x > limit;
    return (lanes)((beyond & (int_lanes)limit) | (~beyond & (int_lanes)x));
#endif
}

static inline lanes lanes_at_least(lanes x, lanes limit)
{
#ifdef __AVX512F__
    return (lanes)_mm512_max_ps((__m512)limit, (__m512)x);
#else
    int_lanes beyond = x < limit;
    return (lanes)((beyond & (int_lanes)limit) | (~beyond & (int_lanes)x));
#endif
}

static inline lanes lanes_clip(lanes x, float limit)
{
    return lanes_at_least(lanes_at_most(x, lanes_of(limit)), lanes_of(-limit));
}

/* 1 / x for x from 1 to 1e36, to a relative 2^-22 or better. */
static inline lanes lanes_reciprocal(lanes x)
{
#ifdef __AVX512F__
    lanes y = (lanes)_mm512_rcp14_ps((__m512)x);
    return y + y * (1.0f - x * y); /* Newton's step squares the error of 2^-14 */
#else
    return 1.0f / x;
#endif
}

/* Beyond 2^57 = exp(40) and its inverse, sigmoid and tanh are 0 or +-1 to float32, and a product of
 * two such numbers still is one. */
#define LANES_EXP2_LIMIT 57.0f

#define LANES_LOG2_E 1.44269504f

/* exp(factor x) of a factor given as factor log2(e): 2^n 2^r with n = round(x log2(e) factor), |r|
 * <= 1/2. The minimax polynomial of degree 5 with p(0) = 1 is off by 9.2e-8 of it, 1.9e-7 with its
 * rounding; that the product is rounded costs 1.5e-6 where it is 40, 1e-7 where it is 2. */
static inline lanes lanes_exp(lanes x, float log2_factor)
{
    lanes t = lanes_at_most(x * log2_factor, lanes_of(LANES_EXP2_LIMIT));
#ifdef __AVX512F__
    lanes n = (lanes)_mm512_roundscale_ps((__m512)t, _MM_FROUND_TO_NEAREST_INT);
#else
    const float TO_INTEGER = 12582912.0f; /* 1.5 * 2^23 */
    t = lanes_at_least(t, lanes_of(-LANES_EXP2_LIMIT));
    lanes shifted = t + TO_INTEGER, n = shifted - TO_INTEGER;
#endif
    lanes r = t - n;
    lanes p = r * 1.32647273e-3f + 9.67151299e-3f;
    p = p * r + 5.55073358e-2f;
    p = p * r + 0.240222424f;
    p = p * r + 0.693147004f;
    p = p * r + 1.0f;
#ifdef __AVX512F__
    return (lanes)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return p * (lanes)(((int_lanes)shifted - 0x4b400000 + 127) << 23);
#endif
}

/* Sigmoids and tanhs of one step share their divisions: with E_x = exp(-x),
 *     sigmoid(i) tanh(j) = (1 - E_2j) / ((1 + E_i) (1 + E_2j)). */
static inline __attribute__((always_inline)) void lanes_cell(lanes *m, lanes *c, lanes i, lanes j,
                                                             lanes f, lanes o, float clip)
{
    lanes ei = lanes_exp(i, -LANES_LOG2_E), ej = lanes_exp(j, -2 * LANES_LOG2_E);
    lanes ef = lanes_exp(f, -LANES_LOG2_E), eo = lanes_exp(o, -LANES_LOG2_E);
    lanes cell = *c * lanes_reciprocal(1.0f + ef) +
                 (1.0f - ej) * lanes_reciprocal((1.0f + ei) * (1.0f + ej));
    cell = lanes_clip(cell, clip);
    lanes ec = lanes_exp(cell, -2 * LANES_LOG2_E);
    *c = cell;
    *m = (1.0f - ec) * lanes_reciprocal((1.0f + eo) * (1.0f + ec));
}

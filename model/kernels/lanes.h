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

/* exp(x) for |x| <= 40: 2^n 2^r with n = round(x log2(e)), |r| <= 1/2. The Taylor series to r^6 is
 * off by less than (ln(2) / 2)^7 / 7! = 1.2e-7 of it; that x log2(e) is rounded costs 1.5e-6 at x =
 * 40, 1e-7 where |x| < 2. */
static inline lanes lanes_exp(lanes x)
{
    const float TO_INTEGER = 12582912.0f; /* 1.5 * 2^23 */
    lanes t = x * 1.44269504f;
    lanes shifted = t + TO_INTEGER, n = shifted - TO_INTEGER, r = t - n;
    lanes p = r * 1.54035304e-4f + 1.33335581e-3f;
    p = p * r + 9.61812911e-3f;
    p = p * r + 5.55041087e-2f;
    p = p * r + 0.240226507f;
    p = p * r + 0.693147181f;
    p = p * r + 1.0f;
#ifdef __AVX512F__
    return (lanes)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return p * (lanes)(((int_lanes)shifted - 0x4b400000 + 127) << 23);
#endif
}

/* Beyond it sigmoid and tanh are 0 or +-1 to float32, and a product of two of exp's results still
 * is a number. */
#define LANES_EXP_LIMIT 40.0f

/* Sigmoids and tanhs of one step share their divisions: with E_x = exp(-x),
 *     sigmoid(i) tanh(j) = (1 - E_2j) / ((1 + E_i) (1 + E_2j)). */
static inline void lanes_cell(lanes *m, lanes *c, lanes i, lanes j, lanes f, lanes o, float clip)
{
    lanes ei = lanes_exp(lanes_clip(-i, LANES_EXP_LIMIT));
    lanes ej = lanes_exp(lanes_clip(-2.0f * j, LANES_EXP_LIMIT));
    lanes ef = lanes_exp(lanes_clip(-f, LANES_EXP_LIMIT));
    lanes eo = lanes_exp(lanes_clip(-o, LANES_EXP_LIMIT));
    lanes cell = *c * lanes_reciprocal(1.0f + ef) +
                 (1.0f - ej) * lanes_reciprocal((1.0f + ei) * (1.0f + ej));
    cell = lanes_clip(cell, clip);
    lanes ec = lanes_exp(lanes_clip(-2.0f * cell, LANES_EXP_LIMIT));
    *c = cell;
    *m = (1.0f - ec) * lanes_reciprocal((1.0f + eo) * (1.0f + ec));
}

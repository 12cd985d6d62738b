#pragma once
/* Pairs of bfloat16 in vector registers, from floats in memory: what packs factors on processors
 * with AVX512_BF16. Only sources that are compiled for it include this. */
#include <immintrin.h>

#include "bf16_gemm.h"

/* Starts to bring a line into the cache; any address will do. */
static inline void fetch(const void *address)
{
    _mm_prefetch((const char *)address, _MM_HINT_T0);
}

static inline __mmask16 lanes_below(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1);
}

/* 16 pairs of elements that lie side by side, n of which are there (at most 32 count). */
static inline __m512i pairs_along(const float *values, size_t n)
{
    __m512 low = _mm512_maskz_loadu_ps(lanes_below(n), values),
           high = _mm512_maskz_loadu_ps(lanes_below(n > 16 ? n - 16 : 0), values + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* The pairs (low[i], high[i]) of the elements in mask; high NULL: zeros. */
static inline __m512i pairs_across(const float *low, const float *high, __mmask16 mask)
{
    __m256i first = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, low));
    __m512i pairs = _mm512_cvtepu16_epi32(first);
    if (high) {
        __m256i second = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, high));
        pairs = _mm512_or_si512(pairs, _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
    }
    return pairs;
}

/* Rows become columns, of 16 x 16 pairs: first within quarters of registers, then the quarters. */
static inline void transpose_pairs(__m512i r[static 16])
{
    __m512i t[16];
    for (size_t k = 0; k < 16; k += 4) {
        __m512i a = _mm512_unpacklo_epi32(r[k], r[k + 1]),
                b = _mm512_unpackhi_epi32(r[k], r[k + 1]),
                c = _mm512_unpacklo_epi32(r[k + 2], r[k + 3]),
                d = _mm512_unpackhi_epi32(r[k + 2], r[k + 3]);
        t[k] = _mm512_unpacklo_epi64(a, c);
        t[k + 1] = _mm512_unpackhi_epi64(a, c);
        t[k + 2] = _mm512_unpacklo_epi64(b, d);
        t[k + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (size_t k = 0; k < 4; k++) { /* column k of each quarter, of four rows each */
        __m512i a = _mm512_shuffle_i32x4(t[k], t[4 + k], 0x88),
                b = _mm512_shuffle_i32x4(t[k], t[4 + k], 0xdd),
                c = _mm512_shuffle_i32x4(t[8 + k], t[12 + k], 0x88),
                d = _mm512_shuffle_i32x4(t[8 + k], t[12 + k], 0xdd);
        r[k] = _mm512_shuffle_i32x4(a, c, 0x88);
        r[8 + k] = _mm512_shuffle_i32x4(a, c, 0xdd);
        r[4 + k] = _mm512_shuffle_i32x4(b, d, 0x88);
        r[12 + k] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
}

/* Rows of pairs: r[i] has the 16 pairs from k on of element i < n <= 16; zeros beyond n and K. */
static inline void load_rows(__m512i r[static 16], struct bf16_factor f, size_t n, size_t k,
                             size_t K)
{
    if (f.k_stride == 1) {
        for (size_t i = 0; i < 16; i++)
            r[i] = i < n ? pairs_along(f.values + i * f.stride + k, K - k) : _mm512_setzero_si512();
        return;
    }
    for (size_t p = 0; p < 16; p++) {
        const float *low = f.values + (k + 2 * p) * f.k_stride;
        fetch(low + 32 * f.k_stride); /* the next 16 pairs */
        fetch(low + 33 * f.k_stride);
        r[p] = k + 2 * p < K
                   ? pairs_across(low, k + 2 * p + 1 < K ? low + f.k_stride : NULL, lanes_below(n))
                   : _mm512_setzero_si512();
    }
    transpose_pairs(r);
}

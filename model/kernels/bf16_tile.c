#include "bf16_tile.h"

#include <string.h>

#include "isa.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* To nearest even; NaN stays NaN. */
static uint32_t rounded(float value)
{
    uint32_t bits = bits_of(value), up = bits + 0x7fffu + (bits >> 16 & 1u);
    return ((bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : up) >> 16;
}

static uint32_t pair_of(float low, float high)
{
    return rounded(low) | rounded(high) << 16;
}

/* The elements of a k lie side by side. */
static void pack_across(uint32_t *restrict pairs, size_t width, struct bf16_factor f, size_t n,
                        size_t K)
{
    for (size_t k = 0; k + 1 < K; k += 2, pairs += width) {
        const float *low = f.values + k * f.k_stride, *high = low + f.k_stride;
        for (size_t i = 0; i < n; i++)
            pairs[i] = pair_of(low[i], high[i]);
    }
    for (size_t i = 0; i < n && K % 2; i++)
        pairs[i] = pair_of(f.values[(K - 1) * f.k_stride + i], 0);
}

/* The elements of an i lie side by side. */
static void pack_along(uint32_t *restrict pairs, size_t width, struct bf16_factor f, size_t begin,
                       size_t end, size_t first_k, size_t K)
{
    for (size_t i = begin; i < end; i++) {
        const float *values = f.values + i * f.stride;
        for (size_t k = first_k; k + 1 < K; k += 2)
            pairs[k / 2 * width + i] = pair_of(values[k], values[k + 1]);
        if (K % 2 && first_k < K)
            pairs[K / 2 * width + i] = pair_of(values[K - 1], 0);
    }
}

#ifdef __AVX512BF16__
#include <immintrin.h>

/* 16 pairs of an i. */
static __m512i load_pairs(const float *values)
{
    __m512bh pairs = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(values + 16), _mm512_loadu_ps(values));
    return (__m512i)pairs;
}

/* Rows become columns, of 16 x 16 numbers: within quarters of registers, then the quarters. */
static void transpose(__m512i r[static 16])
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

/* pack_along of up to 16 elements, as many whole blocks of 16 pairs as there are; returns the k
 * behind them. */
static size_t pack_blocks(uint32_t *pairs, size_t width, struct bf16_factor f, size_t n, size_t K)
{
    size_t k = 0;
    __mmask16 mask = (__mmask16)((1u << n) - 1);
    for (; k + 32 <= K; k += 32) {
        __m512i rows[16];
        for (size_t i = 0; i < 16; i++)
            rows[i] = i < n ? load_pairs(f.values + i * f.stride + k) : _mm512_setzero_si512();
        transpose(rows);
        for (size_t p = 0; p < 16; p++)
            _mm512_mask_storeu_epi32(pairs + (k / 2 + p) * width, mask, rows[p]);
    }
    return k;
}

static void pack_rows(uint32_t *pairs, size_t width, struct bf16_factor f, size_t n, size_t K)
{
    for (size_t i = 0; i < n; i += 16) {
        size_t rows = n - i < 16 ? n - i : 16;
        const struct bf16_factor from = {f.values + i * f.stride, f.stride, 1};
        size_t k = pack_blocks(pairs + i, width, from, rows, K);
        pack_along(pairs, width, f, i, i + rows, k, K);
    }
}

/* `rows` is a constant wherever this is inlined: the sums live in registers. */
static inline __attribute__((always_inline)) void multiply_rows(float *restrict y, size_t y_stride,
                                                                const size_t rows, size_t columns,
                                                                const uint32_t *restrict a,
                                                                const uint32_t *restrict b,
                                                                size_t n_pairs, bool add)
{
    __m512 sums[BF16_MAX_ROWS][2];
    uint32_t mask = columns < 32 ? (1u << columns) - 1 : UINT32_MAX;
    __mmask16 masks[2] = {(__mmask16)mask, (__mmask16)(mask >> 16)};
    for (size_t r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (size_t k = 0; k < n_pairs; k++) {
        __m512bh w0 = (__m512bh)_mm512_load_si512(b + k * BF16_COLUMNS),
                 w1 = (__m512bh)_mm512_load_si512(b + k * BF16_COLUMNS + 16);
        for (size_t r = 0; r < rows; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[k * rows + r]);
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], x, w0);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], x, w1);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t half = 0; half < 2; half++) {
            float *to = y + r * y_stride + 16 * half;
            if (add)
                sums[r][half] =
                    _mm512_add_ps(sums[r][half], _mm512_maskz_loadu_ps(masks[half], to));
            _mm512_mask_storeu_ps(to, masks[half], sums[r][half]);
        }
}
#else
static void pack_rows(uint32_t *pairs, size_t width, struct bf16_factor f, size_t n, size_t K)
{
    pack_along(pairs, width, f, 0, n, 0, K);
}

static float low_of(uint32_t pair)
{
    float value;
    pair <<= 16;
    memcpy(&value, &pair, sizeof value);
    return value;
}

static float high_of(uint32_t pair)
{
    float value;
    pair &= 0xffff0000u;
    memcpy(&value, &pair, sizeof value);
    return value;
}

static void multiply_rows(float *restrict y, size_t y_stride, size_t rows, size_t columns,
                          const uint32_t *restrict a, const uint32_t *restrict b, size_t n_pairs,
                          bool add)
{
    for (size_t r = 0; r < rows; r++) {
        float sums[BF16_COLUMNS] = {0};
        for (size_t k = 0; k < n_pairs; k++) {
            float low = low_of(a[k * rows + r]), high = high_of(a[k * rows + r]);
            for (size_t n = 0; n < BF16_COLUMNS; n++) {
                uint32_t w = b[k * BF16_COLUMNS + n];
                sums[n] += high * high_of(w) + low * low_of(w);
            }
        }
        for (size_t n = 0; n < columns; n++)
            y[r * y_stride + n] = sums[n] + (add ? y[r * y_stride + n] : 0);
    }
}
#endif

static void pack(uint32_t *pairs, size_t width, struct bf16_factor f, size_t n, size_t K)
{
    if (n < width)
        memset(pairs, 0, (K + 1) / 2 * width * sizeof *pairs);
    if (f.k_stride == 1 && f.stride != 1)
        pack_rows(pairs, width, f, n, K);
    else
        pack_across(pairs, width, f, n, K);
}

static void multiply(float *y, size_t y_stride, size_t rows, size_t columns, const uint32_t *a,
                     const uint32_t *b, size_t n_pairs, bool add)
{
#define ROWS(n) \
    case n: multiply_rows(y, y_stride, n, columns, a, b, n_pairs, add); break
    switch (rows) {
        ROWS(1);
        ROWS(2);
        ROWS(3);
        ROWS(4);
        ROWS(5);
        ROWS(6);
        ROWS(7);
        ROWS(8);
        ROWS(9);
        ROWS(10);
        ROWS(11);
    default: multiply_rows(y, y_stride, BF16_MAX_ROWS, columns, a, b, n_pairs, add); break;
    }
#undef ROWS
}

const struct bf16_tile ISA_NAME(bf16_tile) = {.pack = pack, .multiply = multiply};

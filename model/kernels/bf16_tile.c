#include "bf16_tile.h"

#include <string.h>

#include "isa.h"
#include "util/bf16.h"

#define MAX_ROWS 12u /* 12 rows of 2 registers, of the 32 that AVX-512 has */

#ifdef __AVX512BF16__
#include "bf16_lanes.h"

#define AHEAD \
    16 /* rows: each lies in a page of its own, so that the processor does not guess them */

/* The elements of a k lie side by side. */
static void pack_across(uint32_t *pairs, size_t width, struct bf16_factor f, size_t n, size_t K)
{
    for (size_t k = 0; k < K; k += 2, pairs += width) {
        const float *low = f.values + k * f.k_stride;
        const float *high = k + 1 < K ? low + f.k_stride : NULL;
        for (size_t i = 0; i < n; i += 16) {
            __mmask16 mask = lanes_below(n - i);
            fetch(low + i + AHEAD * f.k_stride);
            fetch(low + i + (AHEAD + 1) * f.k_stride);
            _mm512_mask_storeu_epi32(pairs + i, mask,
                                     pairs_across(low + i, high ? high + i : NULL, mask));
        }
    }
}

/* The elements of an i lie side by side. */
static void pack_along(uint32_t *pairs, size_t width, struct bf16_factor f, size_t n, size_t K)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes_below(n - i);
        const struct bf16_factor from = {f.values + i * f.stride, f.stride, 1};
        for (size_t k = 0; k < K; k += 32) {
            __m512i rows[16];
            size_t n_pairs = (K - k + 1) / 2;
            load_rows(rows, from, n - i < 16 ? n - i : 16, k, K);
            transpose_pairs(rows);
            for (size_t p = 0; p < 16 && p < n_pairs; p++)
                _mm512_mask_storeu_epi32(pairs + (k / 2 + p) * width + i, mask, rows[p]);
        }
    }
}

/* `rows` is a constant wherever this is inlined: the sums live in registers. */
static inline __attribute__((always_inline)) void multiply_rows(float *restrict y, size_t y_stride,
                                                                const size_t rows, size_t columns,
                                                                const uint32_t *restrict a,
                                                                const uint32_t *restrict b,
                                                                size_t n_pairs, bool add)
{
    __m512 sums[MAX_ROWS][2];
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
static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint32_t pair_of(float low, float high)
{
    return bf16_from_f32_bits(bits_of(low)) | bf16_from_f32_bits(bits_of(high)) << 16;
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
static void pack_along(uint32_t *restrict pairs, size_t width, struct bf16_factor f, size_t n,
                       size_t K)
{
    for (size_t i = 0; i < n; i++) {
        const float *values = f.values + i * f.stride;
        for (size_t k = 0; k + 1 < K; k += 2)
            pairs[k / 2 * width + i] = pair_of(values[k], values[k + 1]);
        if (K % 2)
            pairs[K / 2 * width + i] = pair_of(values[K - 1], 0);
    }
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

/* pairs[(k / 2) * width + i] */
static void pack(uint32_t *pairs, size_t width, struct bf16_factor f, size_t n, size_t K)
{
    if (f.k_stride == 1 && f.stride != 1)
        pack_along(pairs, width, f, n, K);
    else
        pack_across(pairs, width, f, n, K);
}

static void pack_rows(uint32_t *to, struct bf16_factor f, size_t rows, size_t K)
{
    pack(to, rows, f, rows, K);
}

static void pack_panel(uint32_t *pairs, struct bf16_factor f, size_t n, size_t K)
{
    if (n < BF16_COLUMNS)
        memset(pairs, 0, (K + 1) / 2 * BF16_COLUMNS * sizeof *pairs);
    pack(pairs, BF16_COLUMNS, f, n, K);
}

static void multiply(float *y, size_t y_stride, size_t rows, size_t columns, const uint32_t *a,
                     const uint32_t *b, size_t panel_stride, size_t n_pairs, bool add)
{
    (void)panel_stride; /* of the one panel */
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
    default: multiply_rows(y, y_stride, MAX_ROWS, columns, a, b, n_pairs, add); break;
    }
#undef ROWS
}

const struct bf16_tile ISA_NAME(bf16_tile) = {
    .max_rows = MAX_ROWS,
    .row_unit = 1,
    .pair_unit = 1,
    .max_panels = 1,
    .pack_rows = pack_rows,
    .pack_panel = pack_panel,
    .multiply = multiply,
};

#pragma once
/* The inner loops of bf16_gemm.c: bf16_tile.c is compiled for processors that multiply pairs of
 * bfloat16, and for all others. A pair holds the elements k (low half) and k + 1 of a sum; behind
 * an odd end stands a zero. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bf16_gemm.h"

#define BF16_MAX_ROWS 12u /* of a tile: 12 rows of 2 registers, of the 32 that AVX-512 has */
#define BF16_COLUMNS  32u

struct bf16_tile {
    /* pairs[(k / 2) * width + i] of elements i < n <= width, k < K; zeros for n <= i < width. */
    void (*pack)(uint32_t *pairs, size_t width, struct bf16_factor factor, size_t n, size_t K);
    /* y [rows, columns] with row stride y_stride (+)= the products of a [n_pairs, rows] and b
     * [n_pairs, BF16_COLUMNS]; 1 <= rows <= BF16_MAX_ROWS, columns <= BF16_COLUMNS. */
    void (*multiply)(float *y, size_t y_stride, size_t rows, size_t columns, const uint32_t *a,
                     const uint32_t *b, size_t n_pairs, bool add);
};

extern const struct bf16_tile bf16_tile_baseline;
#ifdef HAVE_ISA_BUILDS
extern const struct bf16_tile bf16_tile_avx512_bf16;
#endif

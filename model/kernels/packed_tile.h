#pragma once
/* The inner loop of packed_gemm.c, once per instruction set: packed_tile.c is compiled for each. */
#include <stdbool.h>
#include <stddef.h>

#define PACKED_MAX_ROWS  6u  /* of a tile: 6 rows of 2 registers, of the 16 that AVX2 has */
#define PACKED_MAX_WIDTH 32u /* of a panel, over all instruction sets */

struct packed_tile {
    size_t width; /* columns of a panel: two registers */
    /* y [rows, width] with row stride y_stride (+)= x [rows, n_in] with row stride x_stride @ panel
     * [n_in, width]; rows <= PACKED_MAX_ROWS. */
    void (*multiply)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                     const float *panel, size_t n_in, bool add);
};

extern const struct packed_tile packed_tile_baseline;
#ifdef HAVE_ISA_BUILDS
extern const struct packed_tile packed_tile_avx2, packed_tile_avx512;
#endif

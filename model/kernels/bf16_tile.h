#pragma once
/* The inner loops of bf16_gemm.c: bf16_tile.c is compiled for processors that multiply pairs of
 * bfloat16 in vector registers, and for all others; bf16_amx.c is for those that have AMX. A pair
 * holds the elements k (low half) and k + 1 of a sum; zeros fill the last pairs. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bf16_gemm.h"

#define BF16_MAX_ROWS    32u /* of a tile, of any kind */
#define BF16_COLUMNS     32u /* of a panel */
#define BF16_MAX_COLUMNS 64u /* that one call multiplies, with any kind of tile */

struct bf16_tile {
    size_t max_rows;   /* of a tile: at most BF16_MAX_ROWS */
    size_t row_unit;   /* packed rows are filled up with zeros to a multiple of this */
    size_t pair_unit;  /* packed pairs likewise */
    size_t max_panels; /* that one call multiplies: BF16_MAX_COLUMNS / BF16_COLUMNS at most */
    /* Once before and after the other calls of a thread; NULL: nothing to do. */
    void (*begin)(void);
    void (*end)(void);
    /* Rows [0, rows) of a tile and K elements of each, in the order that multiply() reads. */
    void (*pack_rows)(uint32_t *to, struct bf16_factor factor, size_t rows, size_t K);
    /* A panel: pairs[(k / 2) * BF16_COLUMNS + i] of elements i < n <= BF16_COLUMNS, k < K; zeros
     * beyond. */
    void (*pack_panel)(uint32_t *pairs, struct bf16_factor factor, size_t n, size_t K);
    /* y [rows, columns] with row stride y_stride (+)= the products of packed rows and of panels
     * that lie panel_stride pairs apart; n_pairs is a multiple of pair_unit. 1 <= rows <=
     * max_rows, columns <= max_panels * BF16_COLUMNS. */
    void (*multiply)(float *y, size_t y_stride, size_t rows, size_t columns, const uint32_t *a,
                     const uint32_t *b, size_t panel_stride, size_t n_pairs, bool add);
};

extern const struct bf16_tile bf16_tile_baseline;
#ifdef HAVE_ISA_BUILDS
extern const struct bf16_tile bf16_tile_avx512_bf16;
extern const struct bf16_tile bf16_amx;
/* Has the processor AMX for bfloat16, and does the kernel let this process use it? Asks the kernel
 * once; any thread. bf16_amx may be called only then. */
bool bf16_amx_is_there(void);
#endif

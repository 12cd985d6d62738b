#pragma once
/* The inner loops of packed.c: a few rows of numbers times one panel of a packed matrix. A panel is
 * 4 vector registers wide; for an LSTM these are the gates i, j, f, o of as many cells as a
 * register has lanes. lane_tile.c is compiled once per instruction set.
 *
 * Numbers come in units of 32 bits: a float32; a pair of bfloat16, the first in the low half; four
 * bytes, the first lowest (of x offset by 128, of the matrix signed). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtype.h"

#define LINE_BYTES 64u /* of a cache */

#define LANE_MAX_ROWS  6u
#define LANE_MAX_WIDTH 64u /* columns of a panel */

struct lane_rows { /* x */
    const uint32_t *units;
    size_t stride;       /* units from row to row */
    const float *scales; /* [rows] of int8: what a step of 1 is worth */
};

struct lane_panel {
    const uint32_t *units; /* [n_units][width], aligned to 64 bytes */
    size_t n_units;
    const int32_t *offsets; /* [width] of int8: 128 times the column's sum */
    const float *scales;    /* [width] of int8 */
    /* What will be read next: while a unit is multiplied, so many lines of it are fetched. */
    const unsigned char *next;
    size_t n_next; /* 0: none */
};

struct lane_cells { /* width / 4 cells of an LSTM, and rows of them */
    const float *z; /* [rows, width], z_stride apart: pre-activations i, j, f, o, to which x times
                     * the panel is added (1 is in f's already) */
    float *c, *m;   /* [rows, width / 4], stride apart */
    size_t z_stride, stride;
    float clip; /* of c */
};

struct lane_windows { /* of one token: characters p to p + width - 1 for p = 0 .. n - 1 */
    const uint16_t *ids;
    size_t n, width;
    const float *rows; /* [width][n_ids][width of a panel]: what a character adds at its place */
    size_t n_ids;
};

struct lane_tile {
    size_t width;    /* of a panel: 4 registers */
    size_t max_rows; /* at most LANE_MAX_ROWS */
    /* y [rows, width], y_stride apart, = x times the panel + addend [rows, width], which is y
     * itself, or one row for all (stride 0); NULL: nothing. */
    void (*multiply)(enum elmo_dtype dtype, float *y, size_t y_stride, const struct lane_rows *x,
                     size_t rows, const struct lane_panel *panel, const float *addend,
                     size_t addend_stride);
    /* One step of the cells. */
    void (*step)(enum elmo_dtype dtype, const struct lane_cells *cells, const struct lane_rows *x,
                 size_t rows, const struct lane_panel *panel);
    /* y [width of a panel] = the greatest sum of rows over all windows. */
    void (*convolve)(float *y, const struct lane_windows *windows);
    /* y = g relu(transform) + (1 - g) y with g = sigmoid(carry), of n floats. */
    void (*highway)(float *y, const float *carry, const float *transform, size_t n);
    /* Of n floats, at least one: the sum of exp(x - the greatest), and the greatest. To a relative
     * 1e-6 for 1024 of them; NaN where one is NaN or the greatest is infinite. */
    float (*sum_exp)(float *ret_greatest, const float *x, size_t n);
    /* n floats as units, the last one filled up; returns the scale of int8 (1 elsewhere). */
    float (*round)(enum elmo_dtype dtype, uint32_t *units, const float *x, size_t n);
};

/* Times which a row or column becomes bytes, from its greatest magnitude; numbers next to nothing
 * become 0. */
static inline float lane_int8_factor(float greatest)
{
    return greatest > 1e-30f ? 127.0f / greatest : 0;
}

extern const struct lane_tile lane_tile_baseline;
#ifdef HAVE_ISA_BUILDS
extern const struct lane_tile lane_tile_avx2, lane_tile_avx512, lane_tile_avx512_vnni,
    lane_tile_avx512_bf16;
#endif

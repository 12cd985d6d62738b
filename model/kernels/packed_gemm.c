#include "packed_gemm.h"

#include <string.h>

#include "defs.h"
#include "machine/cpu_features.h"
#include "packed_tile.h"

/* Inputs worked on at once: this much of a panel stays in the first-level cache (16 or 32 KiB). */
#define BLOCK_INPUTS 256u

static const struct packed_tile *best_tile(void)
{
#ifdef HAVE_ISA_BUILDS
    if (cpu_has(CPU_AVX512))
        return &packed_tile_avx512;
    if (cpu_has(CPU_AVX2))
        return &packed_tile_avx2;
#endif
    return &packed_tile_baseline;
}

size_t packed_gemm_floats(size_t n_in, size_t n_out)
{
    size_t width = best_tile()->width;
    return (n_out + width - 1) / width * width * n_in;
}

/* Element (k, n) of the matrix is w[k * in_stride + n * out_stride]. */
static void pack(float *packed, const float *w, size_t n_in, size_t n_out, size_t in_stride,
                 size_t out_stride)
{
    size_t width = best_tile()->width;
    for (size_t first = 0; first < n_out; first += width) {
        size_t n = min_size(width, n_out - first);
        for (size_t k = 0; k < n_in; k++, packed += width) {
            for (size_t i = 0; i < n; i++)
                packed[i] = w[k * in_stride + (first + i) * out_stride];
            memset(packed + n, 0, (width - n) * sizeof *packed);
        }
    }
}

void packed_gemm_pack(float *packed, const float *w, size_t n_in, size_t n_out)
{
    pack(packed, w, n_in, n_out, n_out, 1);
}

void packed_gemm_pack_transposed(float *packed, const float *w, size_t n_in, size_t n_out)
{
    pack(packed, w, n_in, n_out, 1, n_in);
}

/* All rows times a block of one panel. A panel that hangs over the end of y goes through a tile
 * of its own. */
struct panel_block {
    const float *weights; /* [n_in, width] */
    size_t n_in;
    size_t n_columns; /* of y */
    bool add;
};

static void multiply_panel(const struct packed_tile *tile, float *y, size_t y_stride,
                           const float *x, size_t x_stride, size_t B, const struct panel_block *p)
{
    float scratch[PACKED_MAX_ROWS * PACKED_MAX_WIDTH];
    bool whole = p->n_columns == tile->width;
    if (!whole)
        memset(scratch, 0, sizeof scratch);
    size_t n_tiles = (B + PACKED_MAX_ROWS - 1) / PACKED_MAX_ROWS;
    for (size_t k = 0; k < n_tiles; k++) {
        /* Tiles of even height: 8 rows as 4 + 4 are faster than 6 + 2. */
        size_t first = k * B / n_tiles, rows = (k + 1) * B / n_tiles - first;
        float *to = y + first * y_stride;
        const float *from = x + first * x_stride;
        if (whole) {
            tile->multiply(to, y_stride, from, x_stride, rows, p->weights, p->n_in, p->add);
            continue;
        }
        for (size_t r = 0; r < rows && p->add; r++)
            memcpy(scratch + r * tile->width, to + r * y_stride, p->n_columns * sizeof *to);
        tile->multiply(scratch, tile->width, from, x_stride, rows, p->weights, p->n_in, p->add);
        for (size_t r = 0; r < rows; r++)
            memcpy(to + r * y_stride, scratch + r * tile->width, p->n_columns * sizeof *to);
    }
}

void packed_gemm(float *y, const float *x, size_t B, const float *packed, size_t n_in, size_t n_out,
                 bool add)
{
    const struct packed_tile *tile = best_tile();
    for (size_t k = 0; k < n_in; k += BLOCK_INPUTS)
        for (size_t n = 0; n < n_out; n += tile->width) {
            const struct panel_block p = {
                .weights = packed + n * n_in + k * tile->width,
                .n_in = min_size(BLOCK_INPUTS, n_in - k),
                .n_columns = min_size(tile->width, n_out - n),
                .add = add || k > 0,
            };
            multiply_panel(tile, y + n, n_out, x + k, n_in, B, &p);
        }
}

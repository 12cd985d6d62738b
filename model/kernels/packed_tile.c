#include "packed_tile.h"

#include "isa.h"

/* One register; unaligned in memory, for y. */
typedef float lanes __attribute__((vector_size(ISA_VECTOR_BYTES)));
typedef float lanes_at __attribute__((vector_size(ISA_VECTOR_BYTES), aligned(4), may_alias));

#define LANES (ISA_VECTOR_BYTES / sizeof(float))
#define WIDTH (2 * LANES)

_Static_assert(WIDTH <= PACKED_MAX_WIDTH, "the scratch tile of packed_gemm.c is wide enough");

/* `rows` is a constant wherever this is inlined: the sums live in registers. */
static inline __attribute__((always_inline)) void multiply_rows(float *restrict y, size_t y_stride,
                                                                const float *restrict x,
                                                                size_t x_stride, const size_t rows,
                                                                const float *restrict panel,
                                                                size_t n_in, bool add)
{
    lanes sums[PACKED_MAX_ROWS][2];
    for (size_t r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = (lanes){0};
    for (size_t k = 0; k < n_in; k++) {
        const lanes *w = (const lanes *)(panel + k * WIDTH);
        for (size_t r = 0; r < rows; r++) {
            float factor = x[r * x_stride + k];
            sums[r][0] += factor * w[0];
            sums[r][1] += factor * w[1];
        }
    }
    for (size_t r = 0; r < rows; r++) {
        lanes_at *to = (lanes_at *)(y + r * y_stride);
        if (add) {
            sums[r][0] += to[0];
            sums[r][1] += to[1];
        }
        to[0] = sums[r][0];
        to[1] = sums[r][1];
    }
}

static void multiply(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                     const float *panel, size_t n_in, bool add)
{
    switch (rows) {
    case 1: multiply_rows(y, y_stride, x, x_stride, 1, panel, n_in, add); break;
    case 2: multiply_rows(y, y_stride, x, x_stride, 2, panel, n_in, add); break;
    case 3: multiply_rows(y, y_stride, x, x_stride, 3, panel, n_in, add); break;
    case 4: multiply_rows(y, y_stride, x, x_stride, 4, panel, n_in, add); break;
    case 5: multiply_rows(y, y_stride, x, x_stride, 5, panel, n_in, add); break;
    default: multiply_rows(y, y_stride, x, x_stride, 6, panel, n_in, add); break;
    }
}

const struct packed_tile ISA_NAME(packed_tile) = {.width = WIDTH, .multiply = multiply};

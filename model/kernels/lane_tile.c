#include "lane_tile.h"

#include <string.h>

#include "lanes.h"

#define WIDTH (4 * LANES)
#ifdef __AVX512F__
#define MAX_ROWS 6 /* of 4 sums each: 24 of 32 registers */
#else
#define MAX_ROWS 3 /* 12 of 16 */
#endif

_Static_assert(WIDTH <= LANE_MAX_WIDTH && MAX_ROWS <= LANE_MAX_ROWS, "tiles fit their bounds");

/* `rows` is a constant wherever these are inlined: the sums live in registers. */
#define INLINE static inline __attribute__((always_inline))

/* ---- Sums of products ---- */

INLINE void sums_f32(lanes sums[MAX_ROWS][4], const struct lane_rows *x, const size_t rows,
                     const struct lane_panel *panel)
{
    typedef float number __attribute__((may_alias));
    const number *units = (const number *)x->units;
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < 4; q++)
            sums[r][q] = (lanes){0};
    for (size_t k = 0; k < panel->n_units; k++) {
        const lanes *w = (const lanes *)(panel->units + k * WIDTH);
        lanes w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
        for (size_t r = 0; r < rows; r++) {
            lanes factor = lanes_of(units[r * x->stride + k]);
            sums[r][0] += factor * w0;
            sums[r][1] += factor * w1;
            sums[r][2] += factor * w2;
            sums[r][3] += factor * w3;
        }
    }
}

INLINE lanes add_pairs(lanes sum, uint32_t x, int_lanes w)
{
#ifdef __AVX512BF16__
    return (lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)x), (__m512bh)w);
#else
    float low, high;
    uint32_t low_bits = x << 16, high_bits = x & 0xffff0000u;
    memcpy(&low, &low_bits, sizeof low);
    memcpy(&high, &high_bits, sizeof high);
    sum += lanes_of(high) * (lanes)(w & (int32_t)0xffff0000u);
    return sum + lanes_of(low) * (lanes)(w << 16);
#endif
}

INLINE void sums_bf16(lanes sums[MAX_ROWS][4], const struct lane_rows *x, const size_t rows,
                      const struct lane_panel *panel)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < 4; q++)
            sums[r][q] = (lanes){0};
    for (size_t k = 0; k < panel->n_units; k++) {
        const int_lanes *w = (const int_lanes *)(panel->units + k * WIDTH);
        int_lanes w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
        for (size_t r = 0; r < rows; r++) {
            uint32_t pair = x->units[r * x->stride + k];
            sums[r][0] = add_pairs(sums[r][0], pair, w0);
            sums[r][1] = add_pairs(sums[r][1], pair, w1);
            sums[r][2] = add_pairs(sums[r][2], pair, w2);
            sums[r][3] = add_pairs(sums[r][3], pair, w3);
        }
    }
}

INLINE int_lanes add_quads(int_lanes sum, uint32_t x, int_lanes w)
{
#ifdef __AVX512VNNI__
    return (int_lanes)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32((int)x), (__m512i)w);
#else
    for (int k = 0; k < 4; k++)
        sum += (int32_t)(x >> 8 * k & 0xff) * ((w << (24 - 8 * k)) >> 24);
    return sum;
#endif
}

/* Integer sums: exact, and the same on every processor, up to the two scales. */
INLINE void sums_int8(lanes sums[MAX_ROWS][4], const struct lane_rows *x, const size_t rows,
                      const struct lane_panel *panel)
{
    int_lanes integers[MAX_ROWS][4];
    const int_lanes *offsets = (const int_lanes *)panel->offsets;
    const lanes *scales = (const lanes *)panel->scales;
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < 4; q++)
            integers[r][q] = -offsets[q];
    for (size_t k = 0; k < panel->n_units; k++) {
        const int_lanes *w = (const int_lanes *)(panel->units + k * WIDTH);
        int_lanes w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
        for (size_t r = 0; r < rows; r++) {
            uint32_t quad = x->units[r * x->stride + k];
            integers[r][0] = add_quads(integers[r][0], quad, w0);
            integers[r][1] = add_quads(integers[r][1], quad, w1);
            integers[r][2] = add_quads(integers[r][2], quad, w2);
            integers[r][3] = add_quads(integers[r][3], quad, w3);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < 4; q++)
            sums[r][q] = __builtin_convertvector(integers[r][q], lanes) * scales[q] * x->scales[r];
}

INLINE void sums_of(lanes sums[MAX_ROWS][4], const enum number number, const struct lane_rows *x,
                    const size_t rows, const struct lane_panel *panel)
{
    if (number == NUMBER_F32)
        sums_f32(sums, x, rows, panel);
    else if (number == NUMBER_BF16)
        sums_bf16(sums, x, rows, panel);
    else
        sums_int8(sums, x, rows, panel);
}

/* ---- What becomes of them ---- */

INLINE void multiply_rows(const size_t rows, const enum number number, float *y, size_t y_stride,
                          const struct lane_rows *x, const struct lane_panel *panel, bool add)
{
    lanes sums[MAX_ROWS][4];
    sums_of(sums, number, x, rows, panel);
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < 4; q++) {
            lanes_at *to = (lanes_at *)(y + r * y_stride) + q;
            if (add)
                sums[r][q] += *to;
            *to = sums[r][q];
        }
}

INLINE void step_rows(const size_t rows, const enum number number, const struct lane_cells *cells,
                      const struct lane_rows *x, const struct lane_panel *panel)
{
    lanes sums[MAX_ROWS][4];
    sums_of(sums, number, x, rows, panel);
    for (size_t r = 0; r < rows; r++) {
        const lanes_at *z = (const lanes_at *)(cells->z + r * cells->z_stride);
        lanes_at *c = (lanes_at *)(cells->c + r * cells->stride);
        lanes_at *m = (lanes_at *)(cells->m + r * cells->stride);
        lanes cell = *c, output;
        lanes_cell(&output, &cell, z[0] + sums[r][0], z[1] + sums[r][1], z[2] + sums[r][2],
                   z[3] + sums[r][3], cells->clip);
        *c = cell;
        *m = output;
    }
}

/* Calls function(n, ...) with n = rows, a constant in every branch. */
#if MAX_ROWS == 6
#define WITH_ROWS(function, rows, ...)        \
    switch (rows) {                           \
    case 1: function(1, __VA_ARGS__); break;  \
    case 2: function(2, __VA_ARGS__); break;  \
    case 3: function(3, __VA_ARGS__); break;  \
    case 4: function(4, __VA_ARGS__); break;  \
    case 5: function(5, __VA_ARGS__); break;  \
    default: function(6, __VA_ARGS__); break; \
    }
#else
#define WITH_ROWS(function, rows, ...)        \
    switch (rows) {                           \
    case 1: function(1, __VA_ARGS__); break;  \
    case 2: function(2, __VA_ARGS__); break;  \
    default: function(3, __VA_ARGS__); break; \
    }
#endif

static void multiply(enum number number, float *y, size_t y_stride, const struct lane_rows *x,
                     size_t rows, const struct lane_panel *panel, bool add)
{
    if (number == NUMBER_F32)
        WITH_ROWS(multiply_rows, rows, NUMBER_F32, y, y_stride, x, panel, add)
    else if (number == NUMBER_BF16)
        WITH_ROWS(multiply_rows, rows, NUMBER_BF16, y, y_stride, x, panel, add)
    else
        WITH_ROWS(multiply_rows, rows, NUMBER_INT8, y, y_stride, x, panel, add)
}

static void step(enum number number, const struct lane_cells *cells, const struct lane_rows *x,
                 size_t rows, const struct lane_panel *panel)
{
    if (number == NUMBER_F32)
        WITH_ROWS(step_rows, rows, NUMBER_F32, cells, x, panel)
    else if (number == NUMBER_BF16)
        WITH_ROWS(step_rows, rows, NUMBER_BF16, cells, x, panel)
    else
        WITH_ROWS(step_rows, rows, NUMBER_INT8, cells, x, panel)
}

/* ---- Rounding ---- */

/* To nearest even. Infinities stay; NaN stays NaN. */
static uint32_t bf16_of(uint32_t bits)
{
    uint32_t up = bits + 0x7fffu + (bits >> 16 & 1u);
    return ((bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : up) >> 16;
}

static void round_bf16(uint32_t *restrict units, const float *restrict x, size_t n)
{
    typedef uint32_t bits __attribute__((may_alias));
    const bits *from = (const bits *)x;
    for (size_t k = 0; k < n / 2; k++)
        units[k] = bf16_of(from[2 * k]) | bf16_of(from[2 * k + 1]) << 16;
    if (n % 2)
        units[n / 2] = bf16_of(from[n - 1]);
}

/* The greatest magnitude becomes 127. NaN becomes some number, as a comparison with it says no;
 * the scale is then NaN, and with it the result. */
static float round_int8(uint32_t *restrict units, const float *restrict x, size_t n)
{
    unsigned char *restrict bytes = (unsigned char *)units;
    float greatest = 0, sum = 0;
    for (size_t k = 0; k < n; k++) {
        float magnitude = x[k] < 0 ? -x[k] : x[k];
        greatest = magnitude > greatest ? magnitude : greatest;
        sum += 0.0f * x[k];
    }
    float factor = lane_int8_factor(greatest);
    for (size_t k = 0; k < n; k++) {
        float scaled = x[k] * factor;
        int32_t nearest = (int32_t)(scaled == scaled ? scaled + (scaled < 0 ? -0.5f : 0.5f) : 0);
        bytes[k] = (unsigned char)(nearest + 128);
    }
    for (size_t k = n; k % 4; k++)
        bytes[k] = 128;
    return greatest / 127.0f + sum;
}

static float round_row(enum number number, uint32_t *units, const float *x, size_t n)
{
    if (number == NUMBER_INT8)
        return round_int8(units, x, n);
    if (number == NUMBER_BF16)
        round_bf16(units, x, n);
    else
        memcpy(units, x, n * sizeof *units);
    return 1;
}

const struct lane_tile ISA_NAME(lane_tile) = {
    .width = WIDTH,
    .max_rows = MAX_ROWS,
    .multiply = multiply,
    .step = step,
    .round = round_row,
};

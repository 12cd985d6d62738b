/* The inner loops of packed.c, compiled once per instruction set (isa.h). In this order: sums of
 * products in f32, bf16 and int8; their use, as a product of matrices or as an LSTM step; the token
 * encoder's convolution and highway; the softmax's sum; the rounding of rows; and the table of all
 * of them, lane_tile_ISA. */
#include "lane_tile.h"

#include <string.h>

#include "lanes.h"
#include "util/bf16.h"

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

/* Into the second-level cache: the first holds what is multiplied now. */
INLINE void fetch_next(const struct lane_panel *panel, size_t unit)
{
    const unsigned char *line = panel->next + unit * panel->n_next * LINE_BYTES;
    for (size_t n = 0; n < panel->n_next; n++)
        __builtin_prefetch(line + n * LINE_BYTES, 0, 2);
}

INLINE void sums_f32(lanes sums[MAX_ROWS][4], const struct lane_rows *x, const size_t rows,
                     const struct lane_panel *panel)
{
    typedef float float_alias __attribute__((may_alias));
    const float_alias *units = (const float_alias *)x->units;
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < 4; q++)
            sums[r][q] = (lanes){0};
    for (size_t k = 0; k < panel->n_units; k++) {
        const lanes *w = (const lanes *)(panel->units + k * WIDTH);
        lanes w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
        fetch_next(panel, k);
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
        fetch_next(panel, k);
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
        fetch_next(panel, k);
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

INLINE void sums_of(lanes sums[MAX_ROWS][4], const enum elmo_dtype dtype, const struct lane_rows *x,
                    const size_t rows, const struct lane_panel *panel)
{
    if (dtype == ELMO_DTYPE_F32)
        sums_f32(sums, x, rows, panel);
    else if (dtype == ELMO_DTYPE_BF16)
        sums_bf16(sums, x, rows, panel);
    else
        sums_int8(sums, x, rows, panel);
}

/* ---- What becomes of them ---- */

INLINE void multiply_rows(const size_t rows, const enum elmo_dtype dtype, float *y, size_t y_stride,
                          const struct lane_rows *x, const struct lane_panel *panel,
                          const float *addend, size_t addend_stride)
{
    lanes sums[MAX_ROWS][4];
    sums_of(sums, dtype, x, rows, panel);
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < 4; q++) {
            if (addend)
                sums[r][q] += ((const lanes_at *)(addend + r * addend_stride))[q];
            ((lanes_at *)(y + r * y_stride))[q] = sums[r][q];
        }
}

/* Into the first cache: what is needed when the sums are there. */
INLINE void fetch_row(const float *row, size_t n)
{
    for (size_t k = 0; k < n; k += LINE_BYTES / sizeof *row)
        __builtin_prefetch(row + k);
}

INLINE void step_rows(const size_t rows, const enum elmo_dtype dtype,
                      const struct lane_cells *cells, const struct lane_rows *x,
                      const struct lane_panel *panel)
{
    lanes sums[MAX_ROWS][4];
    for (size_t r = 0; r < rows; r++) {
        fetch_row(cells->z + r * cells->z_stride, WIDTH);
        fetch_row(cells->c + r * cells->stride, LANES);
    }
    sums_of(sums, dtype, x, rows, panel);
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

static void multiply(enum elmo_dtype dtype, float *y, size_t y_stride, const struct lane_rows *x,
                     size_t rows, const struct lane_panel *panel, const float *addend,
                     size_t addend_stride)
{
    if (dtype == ELMO_DTYPE_F32)
        WITH_ROWS(multiply_rows, rows, ELMO_DTYPE_F32, y, y_stride, x, panel, addend, addend_stride)
    else if (dtype == ELMO_DTYPE_BF16)
        WITH_ROWS(multiply_rows, rows, ELMO_DTYPE_BF16, y, y_stride, x, panel, addend,
                  addend_stride)
    else
        WITH_ROWS(multiply_rows, rows, ELMO_DTYPE_INT8, y, y_stride, x, panel, addend,
                  addend_stride)
}

static void step(enum elmo_dtype dtype, const struct lane_cells *cells, const struct lane_rows *x,
                 size_t rows, const struct lane_panel *panel)
{
    if (dtype == ELMO_DTYPE_F32)
        WITH_ROWS(step_rows, rows, ELMO_DTYPE_F32, cells, x, panel)
    else if (dtype == ELMO_DTYPE_BF16)
        WITH_ROWS(step_rows, rows, ELMO_DTYPE_BF16, cells, x, panel)
    else
        WITH_ROWS(step_rows, rows, ELMO_DTYPE_INT8, cells, x, panel)
}

/* ---- The token encoder ---- */

static void convolve(float *y, const struct lane_windows *w)
{
    lanes most[4];
    for (size_t p = 0; p < w->n; p++) {
        lanes sums[4] = {{0}};
        for (size_t k = 0; k < w->width; k++) {
            const lanes *row = (const lanes *)(w->rows + (k * w->n_ids + w->ids[p + k]) * WIDTH);
            for (size_t q = 0; q < 4; q++)
                sums[q] += row[q];
        }
        for (size_t q = 0; q < 4; q++)
            most[q] = p ? lanes_at_least(most[q], sums[q]) : sums[q];
    }
    memcpy(y, most, sizeof most);
}

INLINE void highway_lanes(float *y, const float *carry, const float *transform)
{
    lanes_at *to = (lanes_at *)y;
    lanes e = lanes_exp(*(const lanes_at *)carry, -LANES_LOG2_E);
    lanes gate = lanes_reciprocal(1.0f + e);
    lanes t = lanes_at_least(*(const lanes_at *)transform, (lanes){0});
    *to = gate * t + (1.0f - gate) * *to;
}

static void highway(float *y, const float *carry, const float *transform, size_t n)
{
    float rest[3][LANES] = {{0}};
    size_t k = 0, n_left = n % LANES;
    for (; k + LANES <= n; k += LANES)
        highway_lanes(y + k, carry + k, transform + k);
    if (!n_left)
        return;
    memcpy(rest[0], y + k, n_left * sizeof *y);
    memcpy(rest[1], carry + k, n_left * sizeof *y);
    memcpy(rest[2], transform + k, n_left * sizeof *y);
    highway_lanes(rest[0], rest[1], rest[2]);
    memcpy(y + k, rest[0], n_left * sizeof *y);
}

/* ---- The softmax ---- */

INLINE float greatest_number(const float *x, size_t n)
{
    float most = x[0];
    size_t k = 0;
    if (n >= LANES) {
        lanes greatest = *(const lanes_at *)x;
        for (k = LANES; k + LANES <= n; k += LANES)
            greatest = lanes_at_least(greatest, *(const lanes_at *)(x + k));
        for (size_t lane = 0; lane < LANES; lane++)
            most = greatest[lane] > most ? greatest[lane] : most;
    }
    for (; k < n; k++)
        most = x[k] > most ? x[k] : most;
    return most;
}

static float sum_exp(float *ret_greatest, const float *x, size_t n)
{
    float greatest = greatest_number(x, n), sum = 0;
    lanes sums = {0}, rest = lanes_of(greatest);
    size_t k = 0;
    for (; k + LANES <= n; k += LANES)
        sums += lanes_exp(*(const lanes_at *)(x + k) - greatest, LANES_LOG2_E);
    memcpy(&rest, x + k, (n - k) * sizeof *x);
    rest = lanes_exp(rest - greatest, LANES_LOG2_E);
    for (size_t lane = 0; lane < LANES; lane++)
        sum += sums[lane] + (lane < n - k ? rest[lane] : 0);
    *ret_greatest = greatest;
    return sum;
}

/* ---- Rounding ---- */

static void round_bf16(uint32_t *restrict units, const float *restrict x, size_t n)
{
    typedef uint32_t bits __attribute__((may_alias));
    const bits *from = (const bits *)x;
    size_t k = 0;
#ifdef __AVX512BF16__ /* takes numbers below 1e-38 for 0 */
    for (; k + LANES <= n / 2; k += LANES) {
        __m512 low = _mm512_loadu_ps(x + 2 * k), high = _mm512_loadu_ps(x + 2 * k + LANES);
        __m512bh pairs = _mm512_cvtne2ps_pbh(high, low);
        memcpy(units + k, &pairs, sizeof pairs);
    }
#endif
    for (; k < n / 2; k++)
        units[k] = bf16_from_f32_bits(from[2 * k]) | bf16_from_f32_bits(from[2 * k + 1]) << 16;
    if (n % 2)
        units[n / 2] = bf16_from_f32_bits(from[n - 1]);
}

typedef unsigned char lane_bytes __attribute__((vector_size(LANES), may_alias, aligned(1)));

/* To the nearest number from -127 to 127, and 128 more. */
INLINE void round_lanes(unsigned char *bytes, lanes x, float factor)
{
    lanes scaled = x * factor;
    int_lanes half = (scaled < 0) & (int_lanes)lanes_of(-0.0f);
    scaled += (lanes)(half | (int_lanes)lanes_of(0.5f));
    int_lanes nearest = __builtin_convertvector(scaled, int_lanes) + 128;
    *(lane_bytes *)bytes = __builtin_convertvector(nearest, lane_bytes);
}

/* Of n numbers the first LANES; the last, incomplete vector of a row is filled up with zeros. */
INLINE lanes first_of(const float *x, size_t n)
{
    lanes first = {0};
    if (n >= LANES)
        return *(const lanes_at *)x;
    memcpy(&first, x, n * sizeof *x);
    return first;
}

INLINE float greatest_of(const float *x, size_t n, float *ret_nothing)
{
    lanes greatest = {0}, nothing = {0};
    float most = 0;
    for (size_t k = 0; k < n; k += LANES) {
        lanes some = first_of(x + k, n - k);
        greatest = lanes_at_least(greatest, (lanes)((int_lanes)some & int_lanes_of(0x7fffffff)));
        nothing += 0.0f * some;
    }
    *ret_nothing = 0;
    for (size_t k = 0; k < LANES; k++) {
        most = greatest[k] > most ? greatest[k] : most;
        *ret_nothing += nothing[k];
    }
    return most;
}

/* The greatest magnitude becomes 127. What is not finite becomes some number; the scale is then
 * NaN, and with it the result. */
static float round_int8(uint32_t *restrict units, const float *restrict x, size_t n)
{
    unsigned char *restrict bytes = (unsigned char *)units, last[LANES];
    float nothing, greatest = greatest_of(x, n, &nothing); /* 0, or NaN */
    float factor = lane_int8_factor(greatest);
    size_t k = 0, n_padded = (n + 3) / 4 * 4;
    for (; k + LANES <= n; k += LANES)
        round_lanes(bytes + k, first_of(x + k, LANES), factor);
    if (k < n) {
        round_lanes(last, first_of(x + k, n - k), factor);
        memcpy(bytes + k, last, n_padded - k);
    }
    return greatest / 127.0f + nothing;
}

static float round_row(enum elmo_dtype dtype, uint32_t *units, const float *x, size_t n)
{
    if (dtype == ELMO_DTYPE_INT8)
        return round_int8(units, x, n);
    if (dtype == ELMO_DTYPE_BF16)
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
    .convolve = convolve,
    .highway = highway,
    .sum_exp = sum_exp,
    .round = round_row,
};

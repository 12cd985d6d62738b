/* Products with packed matrices. In this order: the kernels, by instruction set; packing, in f32,
 * bf16 and int8; and multiplying, panel by panel and, within one, tile of rows by tile of rows. The
 * public products (packed_multiply, packed_linear, packed_step) are last. The inner loops are in
 * lane_tile.c. */
#include "packed.h"

#include <math.h>
#include <string.h>

#include "defs.h"

/* Units of a panel that are multiplied before the next ones: 128 KiB, well inside the second-level
 * cache, are read again for each tile of rows. Of int8 all at once: their sums are exact. */
#define BLOCK_UNITS 512u

#define PACK_UNITS 16u /* that are packed at a time: their rows of w stay in cache */

/* ---- Which loops ---- */

static const struct kernel kernels[] = {
#ifdef HAVE_ISA_BUILDS
    {CPU_AVX512_BF16, &lane_tile_avx512_bf16}, {CPU_AVX512_VNNI, &lane_tile_avx512_vnni},
    {CPU_AVX512, &lane_tile_avx512},           {CPU_AVX2, &lane_tile_avx2},
#endif
    {CPU_BASELINE, &lane_tile_baseline},
};

const struct kernel *kernel_at(size_t k)
{
    return k < ARRAY_LEN(kernels) ? &kernels[k] : NULL;
}

bool kernel_is_supported(const struct kernel *kernel)
{
    return cpu_has(kernel->set);
}

const struct kernel *kernel_find(const char *name)
{
    for (size_t k = 0; k < ARRAY_LEN(kernels); k++)
        if (kernel_is_supported(&kernels[k]) &&
            (!name || !*name || !strcmp(cpu_set_name(kernels[k].set), name)))
            return &kernels[k];
    return NULL;
}

/* ---- Packing ---- */

size_t packed_units(enum elmo_dtype dtype, size_t n)
{
    static const size_t per_unit[ELMO_N_DTYPES] = {1, 2, 4};
    return n / per_unit[dtype] + (n % per_unit[dtype] > 0);
}

/* Columns that stand side by side as they came: all of them, or those of one gate. */
static size_t group_of(enum packed_order order, size_t n_out)
{
    return order == PACKED_GATES ? n_out / 4 : n_out;
}

static size_t panels_of(const struct lane_tile *tile, enum packed_order order, size_t n_out)
{
    size_t width = tile->width, per_panel = order == PACKED_GATES ? width / 4 : width;
    size_t n = group_of(order, n_out);
    return n / per_panel + (n % per_panel > 0);
}

size_t packed_bytes(const struct lane_tile *tile, enum elmo_dtype dtype, enum packed_order order,
                    size_t n_in, size_t n_out)
{
    size_t width = tile->width, n_columns, n_units;
    bool ok = mul_ok(panels_of(tile, order, n_out), width, &n_columns) &&
              mul_ok(n_columns, packed_units(dtype, n_in) + 2, &n_units) && /* + offset, scale */
              mul_ok(n_units, sizeof(uint32_t), &n_units);
    return ok ? n_units : 0;
}

size_t packed_matrix_bytes(const struct packed_matrix *m)
{
    return m->n_panels * m->tile->width * m->n_units * sizeof *m->units;
}

/* Which column of w is column `at` of the panels; SIZE_MAX: none, it fills the last panel up. */
static size_t column_of(const struct packed_matrix *m, size_t at)
{
    size_t width = m->tile->width, lanes = width / 4, group = m->n_out / 4;
    if (m->order == PACKED_COLUMNS)
        return at < m->n_out ? at : SIZE_MAX;
    size_t gate = at % width / lanes, cell = at / width * lanes + at % lanes;
    return cell < group ? gate * group + cell : SIZE_MAX;
}

/* Row k of w [n_in, n_out] as the panel has it: columns, or what stands in for them, 0. Both orders
 * have runs of columns that stand side by side in w too. */
static void gather_row(float *row, const struct packed_matrix *m, const float *w, size_t panel,
                       size_t k)
{
    size_t width = m->tile->width, run = m->order == PACKED_GATES ? width / 4 : width;
    for (size_t at = 0; at < width; at += run) {
        size_t first = column_of(m, panel * width + at), n = 0;
        if (first != SIZE_MAX && k < m->n_in) {
            size_t group = group_of(m->order, m->n_out);
            n = min_size(run, group - first % group);
            memcpy(row + at, w + k * m->n_out + first, n * sizeof *row);
        }
        memset(row + at + n, 0, (run - n) * sizeof *row);
    }
}

/* Units [begin, end) of a panel, from `units` on. */
static void pack_f32(uint32_t *units, const struct packed_matrix *m, const float *w, size_t panel,
                     size_t begin, size_t end)
{
    float row[LANE_MAX_WIDTH];
    for (size_t k = begin; k < end; k++, units += m->tile->width) {
        gather_row(row, m, w, panel, k);
        memcpy(units, row, m->tile->width * sizeof *units);
    }
}

static void pack_bf16(uint32_t *units, const struct packed_matrix *m, const float *w, size_t panel,
                      size_t begin, size_t end)
{
    float rows[2][LANE_MAX_WIDTH], pairs[2 * LANE_MAX_WIDTH];
    size_t width = m->tile->width;
    for (size_t k = begin; k < end; k++, units += width) {
        gather_row(rows[0], m, w, panel, 2 * k);
        gather_row(rows[1], m, w, panel, 2 * k + 1);
        for (size_t n = 0; n < width; n++) {
            pairs[2 * n] = rows[0][n];
            pairs[2 * n + 1] = rows[1][n];
        }
        m->tile->round(ELMO_DTYPE_BF16, units, pairs, 2 * width);
    }
}

/* Signed bytes, of which the greatest of a column is 127 or -127: `greatest` is its magnitude. */
static void pack_int8(uint32_t *units, const struct packed_matrix *m, const float *w, size_t panel,
                      size_t begin, size_t end, const float *greatest, int32_t *offsets)
{
    float row[LANE_MAX_WIDTH];
    size_t width = m->tile->width;
    memset(units, 0, (end - begin) * width * sizeof *units);
    for (size_t k = 4 * begin; k < 4 * end; k++) {
        uint32_t *to = units + (k / 4 - begin) * width;
        gather_row(row, m, w, panel, k);
        for (size_t n = 0; n < width; n++) {
            float scaled = row[n] * lane_int8_factor(greatest[n]);
            int32_t nearest = (int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f));
            to[n] |= ((uint32_t)nearest & 0xff) << k % 4 * 8;
            offsets[n] += 128 * nearest;
        }
    }
}

/* Of each column of w, as the panels have them. */
static void find_greatest(float *greatest, const struct packed_matrix *m, const float *w)
{
    float row[LANE_MAX_WIDTH];
    size_t width = m->tile->width;
    for (size_t k = 0; k < m->n_in; k++)
        for (size_t panel = 0; panel < m->n_panels; panel++) {
            float *most = greatest + panel * width;
            gather_row(row, m, w, panel, k);
            for (size_t n = 0; n < width; n++)
                most[n] = fabsf(row[n]) > most[n] ? fabsf(row[n]) : most[n];
        }
}

/* A few rows of w for all panels, and so on: w is read in the order in which it lies. */
static void pack_units(uint32_t *units, const struct packed_matrix *m, const float *w,
                       const float *greatest, int32_t *offsets)
{
    for (size_t begin = 0; begin < m->n_units; begin += PACK_UNITS) {
        size_t end = min_size(begin + PACK_UNITS, m->n_units), width = m->tile->width;
        for (size_t panel = 0; panel < m->n_panels; panel++) {
            uint32_t *to = units + (panel * m->n_units + begin) * width;
            if (m->dtype == ELMO_DTYPE_F32)
                pack_f32(to, m, w, panel, begin, end);
            else if (m->dtype == ELMO_DTYPE_BF16)
                pack_bf16(to, m, w, panel, begin, end);
            else
                pack_int8(to, m, w, panel, begin, end, greatest + panel * width,
                          offsets + panel * width);
        }
    }
}

void packed_init(struct packed_matrix *ret_matrix, void *memory, const struct lane_tile *tile,
                 enum elmo_dtype dtype, enum packed_order order, const float *w, size_t n_in,
                 size_t n_out)
{
    size_t width = tile->width, n_panels = panels_of(tile, order, n_out);
    size_t n_columns = n_panels * width, n_units = packed_units(dtype, n_in);
    uint32_t *units = memory;
    int32_t *offsets = (int32_t *)(units + n_columns * n_units);
    float *scales = (float *)(offsets + n_columns);
    const struct packed_matrix m = {tile,    dtype,    order, n_in,    n_out,
                                    n_units, n_panels, units, offsets, scales};
    memset(offsets, 0, 2 * n_columns * sizeof *offsets);
    if (dtype == ELMO_DTYPE_INT8)
        find_greatest(scales, &m, w);
    pack_units(units, &m, w, scales, offsets);
    for (size_t n = 0; n < n_columns; n++)
        scales[n] /= 127;
    *ret_matrix = m;
}

struct lane_rows packed_rows(const struct packed_matrix *m, const float *x, size_t x_stride,
                             size_t B, uint32_t *units, float *scales)
{
    if (m->dtype == ELMO_DTYPE_F32)
        return (struct lane_rows){(const uint32_t *)(const void *)x, x_stride, NULL};
    for (size_t b = 0; b < B; b++)
        scales[b] = m->tile->round(m->dtype, units + b * m->n_units, x + b * x_stride, m->n_in);
    return (struct lane_rows){units, m->n_units, scales};
}

size_t packed_gate_floats(const struct lane_tile *tile, size_t C)
{
    return panels_of(tile, PACKED_GATES, 4 * C) * tile->width;
}

void packed_gate_bias(float *ret_bias, const struct lane_tile *tile, const float *bias, size_t C)
{
    const struct packed_matrix m = {.tile = tile, .order = PACKED_GATES, .n_out = 4 * C};
    for (size_t at = 0; at < packed_gate_floats(tile, C); at++) {
        size_t column = column_of(&m, at);
        bool forgets = column != SIZE_MAX && column / C == 2;
        ret_bias[at] = column == SIZE_MAX ? 0 : bias[column] + (forgets ? 1.0f : 0);
    }
}

/* ---- Multiplying ---- */

/* Tiles of even height: 8 rows as 4 + 4 are faster than 6 + 2. Row of the first of tile t. */
static size_t tile_begin(size_t t, size_t n_tiles, size_t B)
{
    return t * B / n_tiles;
}

static struct lane_rows rows_from(const struct lane_rows *x, size_t row, size_t unit)
{
    return (struct lane_rows){x->units + row * x->stride + unit, x->stride,
                              x->scales ? x->scales + row : NULL};
}

static struct lane_panel panel_of(const struct packed_matrix *m, size_t panel, size_t unit,
                                  size_t n_units)
{
    size_t width = m->tile->width;
    return (struct lane_panel){m->units + (panel * m->n_units + unit) * width,
                               n_units,
                               m->offsets + panel * width,
                               m->scales + panel * width,
                               NULL,
                               0};
}

/* While tile t of n_tiles is multiplied by the panel, its part of the `next` one is prefetched,
 * which would be waited for otherwise: a panel is far larger than what the processor fetches ahead
 * by itself. NULL: there is none. */
static void fetch_meanwhile(struct lane_panel *panel, const uint32_t *next, size_t width, size_t t,
                            size_t n_tiles)
{
    size_t lines = width * sizeof(uint32_t) / LINE_BYTES; /* of a unit */
    size_t per_unit = n_tiles >= lines ? 1 : (lines + n_tiles - 1) / n_tiles;
    panel->n_next = next && n_tiles > 1 && t * per_unit < lines ? per_unit : 0;
    panel->next = (const unsigned char *)next + t * per_unit * panel->n_units * LINE_BYTES;
}

/* The columns of a panel that y has. */
static size_t columns_of(const struct packed_matrix *m, size_t panel)
{
    size_t width = m->tile->width;
    return m->order == PACKED_GATES ? width : min_size(width, m->n_out - panel * width);
}

/* What a product is added to: y itself, one row for all (stride 0), or nothing (NULL). */
struct addend {
    const float *floats;
    size_t stride;
};

/* A panel that hangs over the end of y goes through a tile of its own. */
static void multiply_rows(float *y, size_t y_stride, size_t columns, const struct lane_rows *x,
                          size_t rows, const struct packed_matrix *m, const struct lane_panel *p,
                          const struct addend *to)
{
    const struct lane_tile *tile = m->tile;
    _Alignas(64) float whole[LANE_MAX_ROWS * LANE_MAX_WIDTH];
    if (columns == tile->width) {
        tile->multiply(m->dtype, y, y_stride, x, rows, p, to->floats, to->stride);
        return;
    }
    tile->multiply(m->dtype, whole, tile->width, x, rows, p, NULL, 0);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < columns; k++)
            y[r * y_stride + k] =
                whole[r * tile->width + k] + (to->floats ? to->floats[r * to->stride + k] : 0);
}

static size_t row_floats(const struct packed_matrix *m)
{
    return m->order == PACKED_GATES ? m->n_panels * m->tile->width : m->n_out;
}

/* The k-th panel of the walk. */
static size_t panel_at(struct panel_range range, size_t k)
{
    return range.backwards ? range.end - 1 - k : range.begin + k;
}

/* The units after those of the k-th panel; NULL: it is the last one. */
static const uint32_t *next_panel(const struct packed_matrix *m, struct panel_range range, size_t k)
{
    if (k + 1 == range.end - range.begin)
        return NULL;
    return m->units + panel_at(range, k + 1) * m->n_units * m->tile->width;
}

/* The k-th panel of the walk. */
static void multiply_panel(float *y, const struct lane_rows *x, size_t B,
                           const struct packed_matrix *m, struct panel_range range, size_t k,
                           const struct addend *to)
{
    const struct lane_tile *tile = m->tile;
    size_t n_tiles = (B + tile->max_rows - 1) / tile->max_rows, y_stride = row_floats(m);
    size_t block = m->dtype == ELMO_DTYPE_INT8 ? m->n_units : BLOCK_UNITS;
    size_t panel = panel_at(range, k), column = panel * tile->width;
    for (size_t u = 0; u < m->n_units; u += block) {
        size_t n = min_size(block, m->n_units - u);
        struct lane_panel p = panel_of(m, panel, u, n);
        const uint32_t *next =
            u + n < m->n_units ? p.units + n * tile->width : next_panel(m, range, k);
        const struct addend so_far = u ? (struct addend){y, y_stride} : *to;
        for (size_t t = 0; t < n_tiles; t++) {
            size_t row = tile_begin(t, n_tiles, B), rows = tile_begin(t + 1, n_tiles, B) - row;
            const struct lane_rows some = rows_from(x, row, u);
            const struct addend from = {
                so_far.floats ? so_far.floats + row * so_far.stride + column : NULL, so_far.stride};
            fetch_meanwhile(&p, next, tile->width, t, n_tiles);
            multiply_rows(y + row * y_stride + column, y_stride, columns_of(m, panel), &some, rows,
                          m, &p, &from);
        }
    }
}

struct panel_range packed_all(const struct packed_matrix *m)
{
    return (struct panel_range){0, m->n_panels, false};
}

struct panel_range packed_share(const struct packed_matrix *m, size_t index, size_t size)
{
    return (struct panel_range){m->n_panels * index / size, m->n_panels * (index + 1) / size,
                                false};
}

void packed_columns(const struct packed_matrix *m, struct panel_range range, size_t *ret_begin,
                    size_t *ret_end)
{
    *ret_begin = min_size(range.begin * m->tile->width, row_floats(m));
    *ret_end = min_size(range.end * m->tile->width, row_floats(m));
}

static void multiply(float *y, const struct lane_rows *x, size_t B, const struct packed_matrix *m,
                     struct panel_range range, struct addend to)
{
    for (size_t k = 0; k < range.end - range.begin; k++)
        multiply_panel(y, x, B, m, range, k, &to);
}

void packed_multiply(float *y, const struct lane_rows *x, size_t B, const struct packed_matrix *m,
                     struct panel_range range)
{
    multiply(y, x, B, m, range, (struct addend){0});
}

void packed_linear(float *y, const struct lane_rows *x, size_t B, const struct packed_matrix *m,
                   struct panel_range range, const float *bias)
{
    multiply(y, x, B, m, range,
             bias ? (struct addend){bias, 0} : (struct addend){y, row_floats(m)});
}

void packed_step(float *m, float *c, const float *z, const struct lane_rows *x, size_t B,
                 const struct packed_matrix *matrix, struct panel_range range, float cell_clip)
{
    const struct lane_tile *tile = matrix->tile;
    size_t lanes = tile->width / 4, stride = matrix->n_panels * lanes, z_stride = 4 * stride;
    size_t n_tiles = (B + tile->max_rows - 1) / tile->max_rows;
    float clip = cell_clip > 0 ? cell_clip : 3.4e38f;
    for (size_t k = 0; k < range.end - range.begin; k++) {
        size_t panel = panel_at(range, k);
        struct lane_panel p = panel_of(matrix, panel, 0, matrix->n_units);
        for (size_t t = 0; t < n_tiles; t++) {
            size_t row = tile_begin(t, n_tiles, B), rows = tile_begin(t + 1, n_tiles, B) - row;
            const struct lane_rows some = rows_from(x, row, 0);
            const struct lane_cells cells = {
                .z = z + row * z_stride + panel * tile->width,
                .c = c + row * stride + panel * lanes,
                .m = m + row * stride + panel * lanes,
                .z_stride = z_stride,
                .stride = stride,
                .clip = clip,
            };
            fetch_meanwhile(&p, next_panel(matrix, range, k), tile->width, t, n_tiles);
            tile->step(matrix->dtype, &cells, &some, rows, &p);
        }
    }
}

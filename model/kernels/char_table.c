#include "char_table.h"

#include <string.h>

#include "defs.h"

static size_t panels_of(const struct lane_tile *tile, size_t n_filters)
{
    return n_filters / tile->width + (n_filters % tile->width > 0);
}

/* The columns of a panel that are filters. */
static size_t filters_of(const struct char_table *t, size_t panel)
{
    size_t n_left = t->n_filters - panel * t->tile->width;
    return n_left < t->tile->width ? n_left : t->tile->width;
}

size_t char_table_bytes(const struct lane_tile *tile, size_t width, size_t n_filters, size_t n_ids)
{
    size_t n;
    bool ok = mul_ok(panels_of(tile, n_filters), tile->width, &n) && mul_ok(n, width, &n) &&
              mul_ok(n, n_ids, &n) && mul_ok(n, sizeof(float), &n);
    return ok ? n : 0;
}

/* row [n] = x [D] @ w [D, n], whose rows are w_stride apart. */
static void product(float *restrict row, size_t n, const float *restrict x, size_t D,
                    const float *restrict w, size_t w_stride)
{
    for (size_t d = 0; d < D; d++)
        for (size_t k = 0; k < n; k++)
            row[k] += x[d] * w[d * w_stride + k];
}

void char_table_init(struct char_table *ret_table, void *memory, const struct lane_tile *tile,
                     const float *embedding, const float *kernel, size_t D, size_t width,
                     size_t n_filters, size_t n_ids)
{
    struct char_table t = {tile, width, n_filters, n_ids, panels_of(tile, n_filters), memory};
    float *row = memory;
    memset(memory, 0, char_table_bytes(tile, width, n_filters, n_ids));
    for (size_t panel = 0; panel < t.n_panels; panel++)
        for (size_t k = 0; k < width; k++)
            for (size_t id = 0; id < n_ids; id++, row += tile->width)
                product(row, filters_of(&t, panel), embedding + id * D, D,
                        kernel + k * D * n_filters + panel * tile->width, n_filters);
    *ret_table = t;
}

size_t char_table_convolve(float *y, const struct char_table *t, size_t panel, const uint16_t *ids,
                           size_t n_windows)
{
    size_t width = t->tile->width, n = filters_of(t, panel);
    const struct lane_windows windows = {ids, n_windows, t->width,
                                         t->rows + panel * t->width * t->n_ids * width, t->n_ids};
    _Alignas(64) float whole[LANE_MAX_WIDTH];
    t->tile->convolve(n < width ? whole : y, &windows);
    if (n < width)
        memcpy(y, whole, n * sizeof *y);
    return n;
}

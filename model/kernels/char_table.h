#pragma once
/* A convolution over the characters of a word, as tables. What a character adds to a filter hangs
 * only on the character and on its place in the window, and there are few characters: the
 * products are made once, at load, and a window is then a sum of `width` rows instead of width * D
 * multiply-adds. */
#include "lane_tile.h"
#include "packed.h"

struct char_table {
    const struct lane_tile *tile;
    size_t width, n_filters, n_ids;
    size_t n_panels;
    const float *rows; /* [n_panels][width][n_ids][width of a panel] */
};

/* Bytes of memory that char_table_init needs; 0: too large to be. */
size_t char_table_bytes(const struct lane_tile *tile, size_t width, size_t n_filters, size_t n_ids);
/* From embedding [n_ids, D] and kernel [width * D, n_filters]. memory [char_table_bytes()], aligned
 * to 64 bytes, lives as long as the table. */
void char_table_init(struct char_table *ret_table, void *memory, const struct lane_tile *tile,
                     const float *embedding, const float *kernel, size_t D, size_t width,
                     size_t n_filters, size_t n_ids);

/* The filters of one panel, from y on: the greatest value of each over the windows that begin at
 * ids[0 .. n_windows - 1]. Returns how many they are. */
size_t char_table_convolve(float *y, const struct char_table *table, size_t panel,
                           const uint16_t *ids, size_t n_windows);

#pragma once
/* Matrices that many rows are multiplied by, packed once into the order in which the inner loops
 * read them, in float32, bfloat16 or int8:
 *
 *   f32    as they are
 *   bf16   both factors rounded to nearest even, products of pairs summed in float32
 *   int8   the matrix with a scale per column, x with a scale per row and offset by 128: integer
 *          products and sums, which are exact
 *
 * A row's result has the same bits whatever rows are beside it. How a matrix is packed depends on
 * the processor: it never leaves the process. No allocation, no state; any thread. */
#include "lane_tile.h"
#include "machine/cpu_features.h"

struct kernel {
    enum cpu_set set; /* that it needs; its name is the kernel's */
    const struct lane_tile *tile;
};

/* The k-th of all, best first; NULL after the last. */
const struct kernel *kernel_at(size_t k);
bool kernel_is_supported(const struct kernel *kernel); /* cpu_has() its set */
/* The one of that name, or the best ("" or NULL); NULL: this processor has none such. */
const struct kernel *kernel_find(const char *name);

#define PACKED_INT8_MAX_INPUTS 65536u /* beyond, integer sums might wrap */

enum packed_order {
    PACKED_COLUMNS, /* as they come */
    PACKED_GATES,   /* columns i, j, f, o of C cells each: the four of a cell side by side */
};

struct packed_matrix {
    const struct lane_tile *tile;
    enum elmo_dtype dtype;
    enum packed_order order;
    size_t n_in, n_out; /* of gates 4C */
    size_t n_units;     /* of a column: n_in floats, pairs or quads */
    size_t n_panels;
    const uint32_t *units;  /* [n_panels][n_units][width of a panel] */
    const int32_t *offsets; /* [n_panels * width] of int8 */
    const float *scales;    /* the same */
};

/* Bytes of memory that packed_init needs; 0: too large to be. */
size_t packed_bytes(const struct lane_tile *tile, enum elmo_dtype dtype, enum packed_order order,
                    size_t n_in, size_t n_out);
/* From w [n_in, n_out]. memory [packed_bytes()], aligned to 64 bytes, lives as long as the matrix.
 */
void packed_init(struct packed_matrix *ret_matrix, void *memory, const struct lane_tile *tile,
                 enum elmo_dtype dtype, enum packed_order order, const float *w, size_t n_in,
                 size_t n_out);

size_t packed_matrix_bytes(const struct packed_matrix *matrix); /* that a product reads */

/* Units of a row of n floats. */
size_t packed_units(enum elmo_dtype dtype, size_t n);
/* B rows of m->n_in floats, x_stride apart, as m is multiplied by them: x itself where it is
 * float32, else rounded into units [B, m->n_units] and scales [B]. */
struct lane_rows packed_rows(const struct packed_matrix *m, const float *x, size_t x_stride,
                             size_t B, uint32_t *units, float *scales);

/* Floats of a row of PACKED_GATES: the last panel is filled up. C rounded up to whole panels has a
 * quarter of them. */
size_t packed_gate_floats(const struct lane_tile *tile, size_t C);
/* The bias [4C] in that order, with the 1 of the forget gates (model/inference/README.md, section
 * 5: it is not in the weights); 0 after them. */
void packed_gate_bias(float *ret_bias, const struct lane_tile *tile, const float *bias, size_t C);

/* The panels of a matrix that one thread multiplies. What lay at the end of a walk is still in the
 * cache when the next walk comes the other way. */
struct panel_range {
    size_t begin, end;
    bool backwards;
};

struct panel_range packed_all(const struct packed_matrix *matrix);
/* Share `index` of `size`; the same panels of all matrices that have as many. */
struct panel_range packed_share(const struct packed_matrix *matrix, size_t index, size_t size);

/* Floats of a row of y: n_out, or packed_gate_floats(). The range has [*ret_begin, *ret_end) of
 * them, which may be none. */
void packed_columns(const struct packed_matrix *matrix, struct panel_range range, size_t *ret_begin,
                    size_t *ret_end);

/* y = x @ matrix + bias, of the range's columns only: y [B, floats of a row], bias the same. NULL:
 * what y held before is the bias. */
void packed_linear(float *y, const struct lane_rows *x, size_t B,
                   const struct packed_matrix *matrix, struct panel_range range, const float *bias);
/* y = x @ matrix, likewise. */
void packed_multiply(float *y, const struct lane_rows *x, size_t B,
                     const struct packed_matrix *matrix, struct panel_range range);

/* One LSTM step of B rows: with i, j, f, o = z [B, packed_gate_floats(C)] + x @ matrix (1 is in
 * f's already),
 *     c = clip(sigmoid(f) c + sigmoid(i) tanh(j))
 *     m = sigmoid(o) tanh(c)
 * of m, c [B, packed_gate_floats(C) / 4], which stay 0 behind C where c is; of the range's cells
 * alone. cell_clip 0: none. */
void packed_step(float *m, float *c, const float *z, const struct lane_rows *x, size_t B,
                 const struct packed_matrix *matrix, struct panel_range range, float cell_clip);

#pragma once
/* The hot loops, on plain pointers: everything else in model/ arranges memory for these.
 *
 * Dimensions, here and in all shape comments of model/ (row-major, last index contiguous):
 *     B rows of a step or a block    T tokens of a sentence    L layers    C LSTM cells
 *     D floats per character         F character filters       P floats per token and direction
 * Weights are "x @ W": [inputs, outputs]. No kernel allocates, fails or keeps state; any thread.
 * Results of one row of kernel_linear may differ in the last bits with the number of rows beside it
 * (OpenBLAS); those of packed.h do not. */
#include <stdbool.h>
#include <stddef.h>

/* Once before any other call: OpenBLAS computes in the caller's thread only. Idempotent. */
void kernels_init(void);

/* y = x @ w + bias: x [B, n_in], w [n_in, n_out], bias [n_out] or NULL, y [B, n_out]. */
void kernel_linear(float *y, const float *x, size_t B, const float *w, const float *bias,
                   size_t n_in, size_t n_out);
/* y += x @ w. */
void kernel_linear_add(float *y, const float *x, size_t B, const float *w, size_t n_in,
                       size_t n_out);

/* In place on n floats; absolute error below 3e-7 for any number; NaN stays NaN. */
void kernel_tanh(float *x, size_t n);
void kernel_relu(float *x, size_t n);
void kernel_clip(float *x, size_t n, float clip);    /* to [-clip, clip]; 0: as it is */
void kernel_add(float *y, const float *x, size_t n); /* y += x */

bool kernel_all_finite(const float *x, size_t n);

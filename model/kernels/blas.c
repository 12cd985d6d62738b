/* Products of float32 matrices by OpenBLAS. */
#include <cblas.h>
#include <string.h>

#include "kernels.h"

/* Up to this many rows, one matrix-vector product a row beats sgemm, which re-packs the whole of w
 * on every call. */
#define MAX_SGEMV_ROWS 3

void kernels_init(void)
{
    openblas_set_num_threads(1);
}

void kernel_linear_add(float *y, const float *x, size_t B, const float *w, size_t n_in,
                       size_t n_out)
{
    int in = (int)n_in, out = (int)n_out;
    if (B > MAX_SGEMV_ROWS) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)B, out, in, 1, x, in, w, out, 1,
                    y, out);
        return;
    }
    for (size_t b = 0; b < B; b++)
        cblas_sgemv(CblasRowMajor, CblasTrans, in, out, 1, w, out, x + b * n_in, 1, 1,
                    y + b * n_out, 1);
}

void kernel_linear(float *y, const float *x, size_t B, const float *w, const float *bias,
                   size_t n_in, size_t n_out)
{
    for (size_t b = 0; b < B; b++)
        if (bias)
            memcpy(y + b * n_out, bias, n_out * sizeof *y);
        else
            memset(y + b * n_out, 0, n_out * sizeof *y);
    kernel_linear_add(y, x, B, w, n_in, n_out);
}

#pragma once
/* The number type of the trainer: float, or double where TRAIN_DOUBLE is defined. The tests build
 * the very same sources a second time in double, so that gradients can be held to central
 * differences at 1e-6. */
#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#ifdef TRAIN_DOUBLE
typedef double real;
#define real_gemm cblas_dgemm
static inline real real_exp(real x)
{
    return exp(x);
}
static inline real real_sqrt(real x)
{
    return sqrt(x);
}
#else
#include "kernels/fast_math.h"
#include "kernels/packed_gemm.h"
typedef float real;
#define real_gemm cblas_sgemm
static inline real real_exp(real x)
{
    return fast_exp(x);
}
static inline real real_sqrt(real x)
{
    return sqrtf(x);
}
#endif

static inline real real_sigmoid(real x)
{
    return 1 / (1 + real_exp(-x));
}

static inline real real_tanh(real x)
{
    real magnitude = x < 0 ? -x : x, e = real_exp(-2 * magnitude), y = (1 - e) / (1 + e);
    return x < 0 ? -y : y;
}

/* y [B, n_out] (+)= x [B, n_in] @ w [n_in, n_out]; `keep` 1 adds to y, 0 overwrites it. */
static inline void real_linear(real *y, const real *x, const real *w, size_t B, size_t n_in,
                               size_t n_out, real keep)
{
    real_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)B, (int)n_out, (int)n_in, 1, x,
              (int)n_in, w, (int)n_out, keep, y, (int)n_out);
}

/* dx [B, n_in] (+)= dy [B, n_out] @ w^T. */
static inline void real_linear_dx(real *dx, const real *dy, const real *w, size_t B, size_t n_in,
                                  size_t n_out, real keep)
{
    real_gemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)B, (int)n_in, (int)n_out, 1, dy,
              (int)n_out, w, (int)n_out, keep, dx, (int)n_in);
}

/* dw [n_in, n_out] += x^T @ dy. */
static inline void real_linear_dw(real *dw, const real *x, const real *dy, size_t B, size_t n_in,
                                  size_t n_out)
{
    real_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n_in, (int)n_out, (int)B, 1, x,
              (int)n_in, dy, (int)n_out, 1, dw, (int)n_out);
}

/* ---- Packed matrices: packed_gemm.h in float; in double a plain copy ---- */

static inline size_t real_packed_size(size_t n_in, size_t n_out) /* in reals */
{
#ifdef TRAIN_DOUBLE
    return n_in * n_out;
#else
    return packed_gemm_floats(n_in, n_out);
#endif
}

/* w [n_in, n_out]. */
static inline void real_pack(real *packed, const real *w, size_t n_in, size_t n_out)
{
#ifdef TRAIN_DOUBLE
    memcpy(packed, w, n_in * n_out * sizeof *packed);
#else
    packed_gemm_pack(packed, w, n_in, n_out);
#endif
}

/* The transpose of w [n_out, n_in]. */
static inline void real_pack_transposed(real *packed, const real *w, size_t n_in, size_t n_out)
{
#ifdef TRAIN_DOUBLE
    for (size_t k = 0; k < n_in * n_out; k++)
        packed[k] = w[k % n_out * n_in + k / n_out];
#else
    packed_gemm_pack_transposed(packed, w, n_in, n_out);
#endif
}

/* y [B, n_out] (+)= x [B, n_in] @ the packed matrix. */
static inline void real_packed_linear(real *y, const real *x, const real *packed, size_t B,
                                      size_t n_in, size_t n_out, bool add)
{
#ifdef TRAIN_DOUBLE
    real_linear(y, x, packed, B, n_in, n_out, add);
#else
    packed_gemm(y, x, B, packed, n_in, n_out, add);
#endif
}

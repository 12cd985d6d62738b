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

#pragma once
/* The large matrix products of the biLM's passes, forward and backward: nearly all of the work. In
 * float they are OpenBLAS's and packed_gemm.h's, or, where products_use() says so, those of
 * bf16_gemm.h; in double plain ones. Another backend would go here. Shapes as in real.h; no
 * allocation; any thread. */
#include "real.h"

enum precision {
    PRECISION_F32,
    PRECISION_BF16,   /* factors rounded to bfloat16, sums in float32 */
    PRECISION_UNSAID, /* of settings alone: whatever is best here, or was used before */
};

/* Of the calls to come, of all threads; PRECISION_F32 at first. Not while others are in a product,
 * nor between packing a matrix and its last use. The double build has its own precision alone. */
void products_use(enum precision precision);
/* bf16 where the processor is fast at it. */
enum precision products_best_precision(void);
const char *precision_name(enum precision precision);                  /* "f32", "bf16"; static */
bool precision_parse(enum precision *ret_precision, const char *name); /* false: no such name */

/* y [B, n_out] (+)= x [B, n_in] @ w [n_in, n_out]. */
void product_linear(real *y, const real *x, const real *w, size_t B, size_t n_in, size_t n_out,
                    bool add);
/* dx [B, n_in] (+)= dy [B, n_out] @ w^T. */
void product_linear_dx(real *dx, const real *dy, const real *w, size_t B, size_t n_in, size_t n_out,
                       bool add);
/* dw [n_in, n_out] += x^T @ dy. */
void product_linear_dw(real *dw, const real *x, const real *dy, size_t B, size_t n_in,
                       size_t n_out);

/* A matrix that is multiplied many times by few rows, put in order once. Its size in reals, for
 * either precision; aligned to 64 bytes. */
size_t product_packed_size(size_t n_in, size_t n_out);
/* w [n_in, n_out], or the transpose of w [n_out, n_in]. */
void product_pack(real *packed, const real *w, size_t n_in, size_t n_out, bool transposed);
/* y [B, n_out] (+)= x [B, n_in] @ the packed matrix. */
void product_packed_linear(real *y, const real *x, const real *packed, size_t B, size_t n_in,
                           size_t n_out, bool add);

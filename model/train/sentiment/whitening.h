#pragma once
/* Pooled features of a biLM are strongly correlated, and what matters of them lies in directions of
 * little variance: z = (x - centre) @ matrix has (nearly) uncorrelated elements of variance 1, and
 * gradient descent on z is quick. The matrix is diag(1 / sd) @ inverse(transpose(Cholesky(R + ridge
 * I))) with R the correlations. Where that is too much, z = (x - centre) * scales only brings the
 * elements to one variance. A column that was constant when this was learnt has no scale to go
 * by: its row or its scale is 0, it is left out. */
#include "elmo.h"
#include "train/maths/real.h"

struct whitening { /* either matrix or scales */
    real *centre;  /* [dim], owned */
    real *matrix;  /* [dim, dim], upper triangular, owned; or NULL */
    real *scales;  /* [dim], owned; or NULL */
    size_t dim;
};

/* From n rows of x [dim], `stride` floats apart; ridge > 0. ELMO_E_NUMERIC: x is not finite. */
ELMO_MUST_USE int whitening_init(struct whitening *ret_whitening, const float *x, size_t n,
                                 size_t stride, size_t dim, double ridge, struct elmo_error *err);
/* The same with scales, to a standard deviation of `deviation`. */
ELMO_MUST_USE int whitening_init_scales(struct whitening *ret_whitening, const float *x, size_t n,
                                        size_t stride, size_t dim, double deviation,
                                        struct elmo_error *err);
void whitening_done(struct whitening *whitening); /* {0} is fine */

/* The first dim elements of n rows, in place. */
ELMO_MUST_USE int whitening_apply(const struct whitening *whitening, float *x, size_t n,
                                  size_t stride, struct elmo_error *err);

/* Folds it into a dense layer that was trained on z: kernel [dim, n_out] and bias [n_out] for x. */
ELMO_MUST_USE int whitening_fold(const struct whitening *whitening, real *kernel, real *bias,
                                 size_t n_out, struct elmo_error *err);

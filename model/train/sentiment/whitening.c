#include "whitening.h"

#include <stdlib.h>
#include <string.h>

#include "defs.h"
#include "error.h"

#define CHUNK_ROWS 256
#define CONSTANT   1e-5 /* of the mean: a smaller deviation is float32's rounding */

/* LAPACK, which OpenBLAS holds; Debian's package has no header for it. Column-major: a lower
 * triangle of theirs is an upper one of ours. The last argument is the length of each string. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
extern void dtrtri_(const char *uplo, const char *diag, const int *n, double *a, const int *lda,
                    int *info, size_t, size_t);

static void means(double *mean, const float *x, size_t n, size_t stride, size_t dim)
{
    for (size_t row = 0; row < n; row++)
        for (size_t d = 0; d < dim; d++)
            mean[d] += (double)x[row * stride + d] / (double)n;
}

/* covariance [dim, dim] (upper triangle of ours) of the rows. */
static bool covariances(double *covariance, const double *mean, const float *x, size_t n,
                        size_t stride, size_t dim)
{
    AUTO(mem_free) double *chunk = calloc(CHUNK_ROWS * dim, sizeof *chunk);
    if (!chunk)
        return false;
    for (size_t first = 0; first < n; first += CHUNK_ROWS) {
        size_t rows = n - first < CHUNK_ROWS ? n - first : CHUNK_ROWS;
        for (size_t row = 0; row < rows; row++)
            for (size_t d = 0; d < dim; d++)
                chunk[row * dim + d] = (double)x[(first + row) * stride + d] - mean[d];
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)dim, (int)rows, 1 / (double)n,
                    chunk, (int)dim, 1, covariance, (int)dim);
    }
    return true;
}

/* ret_sd [dim] from variances that lie `stride` apart: 0 where a column is constant but for its
 * rounding. false: not finite. */
static bool deviations(double *ret_sd, const double *variance, size_t stride, const double *mean,
                       size_t dim)
{
    for (size_t d = 0; d < dim; d++) {
        double sd = sqrt(variance[d * stride]);
        if (!isfinite(sd))
            return false;
        ret_sd[d] = sd > CONSTANT * fabs(mean[d]) ? sd : 0;
    }
    return true;
}

static double correlation(double covariance, double sd_a, double sd_b)
{
    return sd_a > 0 && sd_b > 0 ? covariance / (sd_a * sd_b) : 0;
}

/* A covariance becomes the whitening matrix (upper triangle), its rows still to be divided by sd.
 */
static bool invert(double *a, const double *sd, size_t dim, double ridge)
{
    int n = (int)dim, info = 0;
    for (size_t i = 0; i < dim; i++)
        for (size_t j = i; j < dim; j++)
            a[i * dim + j] = correlation(a[i * dim + j], sd[i], sd[j]) + (i == j ? ridge : 0);
    /* Row-major upper U with R = U^T U is their column-major lower L = U^T: R = L L^T. Its inverse
     * is lower to them, and read by us the upper triangular inverse(L)^T. */
    dpotrf_("L", &n, a, &n, &info, 1);
    if (!info)
        dtrtri_("L", "N", &n, a, &n, &info, 1, 1);
    return !info;
}

/* The row of a constant column is 0. */
static void fill(struct whitening *w, const double *mean, const double *sd, const double *inverse)
{
    for (size_t i = 0; i < w->dim; i++) {
        w->centre[i] = (real)mean[i];
        for (size_t j = i; j < w->dim && sd[i] > 0; j++)
            w->matrix[i * w->dim + j] = (real)(inverse[i * w->dim + j] / sd[i]);
    }
}

static int fail_not_finite(struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_NUMERIC,
                     "the features of the texts are not finite: they cannot be whitened");
}

int whitening_init(struct whitening *ret_whitening, const float *x, size_t n, size_t stride,
                   size_t dim, double ridge, struct elmo_error *err)
{
    struct whitening w = {.centre = calloc(dim, sizeof *w.centre),
                          .matrix = calloc(dim * dim, sizeof *w.matrix),
                          .dim = dim};
    AUTO(mem_free) double *mean = calloc(dim, sizeof *mean);
    AUTO(mem_free) double *sd = calloc(dim, sizeof *sd);
    AUTO(mem_free) double *a = calloc(dim * dim, sizeof *a);
    int r = 0;
    if (!w.centre || !w.matrix || !mean || !sd || !a)
        r = elmo_fail_nomem(err);
    if (!r) {
        means(mean, x, n, stride, dim);
        if (!covariances(a, mean, x, n, stride, dim))
            r = elmo_fail_nomem(err);
    }
    /* LAPACK passes NaN on without a word. */
    if (!r && (!deviations(sd, a, dim + 1, mean, dim) || !invert(a, sd, dim, ridge)))
        r = fail_not_finite(err);
    if (r) {
        whitening_done(&w);
        return r;
    }
    fill(&w, mean, sd, a);
    *ret_whitening = w;
    return 0;
}

int whitening_init_scales(struct whitening *ret_whitening, const float *x, size_t n, size_t stride,
                          size_t dim, double deviation, struct elmo_error *err)
{
    AUTO(mem_free) real *centre = calloc(dim, sizeof *centre);
    AUTO(mem_free) real *scales = calloc(dim, sizeof *scales);
    AUTO(mem_free) double *mean = calloc(dim, sizeof *mean);
    AUTO(mem_free) double *variance = calloc(dim, sizeof *variance);
    AUTO(mem_free) double *sd = calloc(dim, sizeof *sd);
    if (!centre || !scales || !mean || !variance || !sd)
        return elmo_fail_nomem(err);
    means(mean, x, n, stride, dim);
    for (size_t row = 0; row < n; row++)
        for (size_t d = 0; d < dim; d++)
            variance[d] += pow((double)x[row * stride + d] - mean[d], 2) / (double)n;
    if (!deviations(sd, variance, 1, mean, dim))
        return fail_not_finite(err);
    for (size_t d = 0; d < dim; d++) {
        centre[d] = (real)mean[d];
        scales[d] = sd[d] > 0 ? (real)(deviation / sd[d]) : 0;
    }
    *ret_whitening =
        (struct whitening){.centre = STEAL(centre), .scales = STEAL(scales), .dim = dim};
    return 0;
}

void whitening_done(struct whitening *w)
{
    free(w->centre);
    free(w->matrix);
    free(w->scales);
    *w = (struct whitening){0};
}

int whitening_apply(const struct whitening *w, float *x, size_t n, size_t stride,
                    struct elmo_error *err)
{
    size_t dim = w->dim;
    AUTO(mem_free) real *in = calloc(CHUNK_ROWS * dim, sizeof *in);
    AUTO(mem_free) real *out = calloc(CHUNK_ROWS * dim, sizeof *out);
    if (!in || !out)
        return elmo_fail_nomem(err);
    for (size_t first = 0; first < n; first += CHUNK_ROWS) {
        size_t rows = n - first < CHUNK_ROWS ? n - first : CHUNK_ROWS;
        for (size_t row = 0; row < rows; row++)
            for (size_t d = 0; d < dim; d++)
                in[row * dim + d] = (real)x[(first + row) * stride + d] - w->centre[d];
        if (w->matrix)
            real_linear(out, in, w->matrix, rows, dim, dim, 0);
        for (size_t k = 0; k < rows * dim && w->scales; k++)
            out[k] = in[k] * w->scales[k % dim];
        for (size_t row = 0; row < rows; row++)
            for (size_t d = 0; d < dim; d++)
                x[(first + row) * stride + d] = (float)out[row * dim + d];
    }
    return 0;
}

int whitening_fold(const struct whitening *w, real *kernel, real *bias, size_t n_out,
                   struct elmo_error *err)
{
    size_t dim = w->dim;
    if (w->matrix) {
        AUTO(mem_free) real *folded = calloc(dim * n_out, sizeof *folded);
        if (!folded)
            return elmo_fail_nomem(err);
        real_linear(folded, w->matrix, kernel, dim, dim, n_out, 0);
        memcpy(kernel, folded, dim * n_out * sizeof *kernel);
    } else {
        for (size_t k = 0; k < dim * n_out; k++)
            kernel[k] *= w->scales[k / n_out];
    }
    for (size_t out = 0; out < n_out; out++) {
        double shift = 0;
        for (size_t d = 0; d < dim; d++)
            shift += (double)w->centre[d] * (double)kernel[d * n_out + out];
        bias[out] -= (real)shift;
    }
    return 0;
}

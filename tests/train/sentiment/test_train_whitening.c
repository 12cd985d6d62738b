/* Whitening of features, on made-up ones that are as correlated as a biLM's: against means and
 * covariances taken one by one, and what columns and rows that tell nothing must not do. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "train/sentiment/whitening.h"
#include "util/rng.h"

#define N      600 /* more than two of the module's chunks of rows */
#define DIM    6
#define STRIDE 9

static double noise(struct rng *rng)
{
    return 2 * rng_uniform(rng) - 1;
}

/* Rows whose elements share most of their variance, on very different scales, and STRIDE - DIM
 * floats behind each that are nobody's business. */
static float *correlated_rows(size_t n, uint64_t seed)
{
    struct rng rng = {seed};
    float *x = malloc(n * STRIDE * sizeof *x);
    assert_non_null(x);
    for (size_t row = 0; row < n; row++) {
        double common = noise(&rng);
        for (size_t d = 0; d < STRIDE; d++)
            x[row * STRIDE + d] =
                d < DIM ? (float)(pow(10, (double)d - 3) * (3 + common + 0.2 * noise(&rng))) : 77;
    }
    return x;
}

static float *copy_of(const float *x, size_t n)
{
    float *copy = malloc(n * STRIDE * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, x, n * STRIDE * sizeof *copy);
    return copy;
}

static double mean_of(const float *x, size_t n, size_t d)
{
    double sum = 0;
    for (size_t row = 0; row < n; row++)
        sum += (double)x[row * STRIDE + d];
    return sum / (double)n;
}

static double covariance_of(const float *x, size_t n, size_t a, size_t b)
{
    double sum = 0, mean_a = mean_of(x, n, a), mean_b = mean_of(x, n, b);
    for (size_t row = 0; row < n; row++)
        sum += ((double)x[row * STRIDE + a] - mean_a) * ((double)x[row * STRIDE + b] - mean_b);
    return sum / (double)n;
}

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%.9g, expected %.9g", found, expected);
}

static void learn(struct whitening *w, const float *x, size_t n, double ridge)
{
    struct elmo_error err = {0};
    if (whitening_init(w, x, n, STRIDE, DIM, ridge, &err))
        fail_msg("%s", err.message);
    assert_int_equal(w->dim, DIM);
}

static void a_small_ridge_leaves_no_mean_and_no_correlation(void **state)
{
    (void)state;
    struct whitening w;
    AUTO(mem_free) float *x = correlated_rows(N, 1);
    learn(&w, x, N, 1e-7);
    assert_int_equal(whitening_apply(&w, x, N, STRIDE, NULL), 0);
    for (size_t a = 0; a < DIM; a++) {
        assert_near(mean_of(x, N, a), 0, 1e-4);
        for (size_t b = 0; b < DIM; b++)
            assert_near(covariance_of(x, N, a, b), a == b, 2e-3);
    }
    whitening_done(&w);
}

static void a_huge_ridge_only_standardises(void **state)
{
    (void)state;
    const double ridge = 1e8;
    struct whitening w;
    AUTO(mem_free) float *x = correlated_rows(N, 2);
    AUTO(mem_free) float *z = copy_of(x, N);
    learn(&w, x, N, ridge);
    assert_int_equal(whitening_apply(&w, z, N, STRIDE, NULL), 0);
    for (size_t d = 0; d < DIM; d++) {
        double mean = mean_of(x, N, d), scale = 1 / sqrt(covariance_of(x, N, d, d) * ridge);
        for (size_t row = 0; row < N; row++)
            assert_near((double)z[row * STRIDE + d] * sqrt(ridge),
                        ((double)x[row * STRIDE + d] - mean) * scale * sqrt(ridge), 1e-5);
    }
    whitening_done(&w);
}

static void what_lies_behind_a_row_stays(void **state)
{
    (void)state;
    struct whitening w;
    AUTO(mem_free) float *x = correlated_rows(N, 3);
    learn(&w, x, N, 0.1);
    assert_int_equal(whitening_apply(&w, x, N, STRIDE, NULL), 0);
    for (size_t row = 0; row < N; row++)
        for (size_t d = DIM; d < STRIDE; d++)
            assert_true(x[row * STRIDE + d] == 77);
    whitening_done(&w);
}

/* ---- Folding ---- */

#define N_OUT 4

static double linear(const float *x, const real *kernel, const real *bias, size_t out)
{
    double sum = (double)bias[out];
    for (size_t d = 0; d < DIM; d++)
        sum += (double)x[d] * (double)kernel[d * N_OUT + out];
    return sum;
}

/* A layer on whitened rows and, folded, on the rows themselves. */
static void check_fold(const struct whitening *w, const float *x, size_t n, double tolerance)
{
    struct rng rng = {9};
    real kernel[DIM * N_OUT], bias[N_OUT], folded[DIM * N_OUT], folded_bias[N_OUT];
    AUTO(mem_free) float *z = copy_of(x, n);
    for (size_t k = 0; k < DIM * N_OUT; k++)
        kernel[k] = (real)noise(&rng);
    for (size_t k = 0; k < N_OUT; k++)
        bias[k] = (real)noise(&rng);
    memcpy(folded, kernel, sizeof kernel);
    memcpy(folded_bias, bias, sizeof bias);
    assert_int_equal(whitening_apply(w, z, n, STRIDE, NULL), 0);
    assert_int_equal(whitening_fold(w, folded, folded_bias, N_OUT, NULL), 0);
    for (size_t row = 0; row < n; row++)
        for (size_t out = 0; out < N_OUT; out++)
            assert_near(linear(x + row * STRIDE, folded, folded_bias, out),
                        linear(z + row * STRIDE, kernel, bias, out), tolerance);
}

static void folded_into_a_layer_it_gives_the_same_outputs(void **state)
{
    (void)state;
    static const double ridges[] = {0.001, 0.1, 10};
    for (size_t k = 0; k < ARRAY_LEN(ridges); k++) {
        struct whitening w;
        AUTO(mem_free) float *x = correlated_rows(N, 4);
        AUTO(mem_free) float *unseen = correlated_rows(N, 5);
        learn(&w, x, N, ridges[k]);
        check_fold(&w, x, N, 1e-3);
        check_fold(&w, unseen, N, 1e-3);
        whitening_done(&w);
    }
}

/* ---- Scales ---- */

static void scales_bring_all_columns_to_one_deviation(void **state)
{
    (void)state;
    struct whitening w;
    AUTO(mem_free) float *x = correlated_rows(N, 2);
    AUTO(mem_free) float *z = copy_of(x, N);
    assert_int_equal(whitening_init_scales(&w, x, N, STRIDE, DIM, 0.5, NULL), 0);
    assert_int_equal(whitening_apply(&w, z, N, STRIDE, NULL), 0);
    for (size_t d = 0; d < DIM; d++) {
        double mean = mean_of(x, N, d), scale = 0.5 / sqrt(covariance_of(x, N, d, d));
        for (size_t row = 0; row < N; row++)
            assert_near((double)z[row * STRIDE + d], ((double)x[row * STRIDE + d] - mean) * scale,
                        1e-5);
    }
    check_fold(&w, x, N, 1e-3);
    whitening_done(&w);
}

static void a_constant_column_has_no_scale(void **state)
{
    (void)state;
    struct whitening w;
    AUTO(mem_free) float *x = correlated_rows(N, 6);
    for (size_t row = 0; row < N; row++)
        x[row * STRIDE + 2] = 0.3f;
    assert_int_equal(whitening_init_scales(&w, x, N, STRIDE, DIM, 0.5, NULL), 0);
    for (size_t d = 0; d < DIM; d++)
        assert_int_equal(w.scales[d] == 0, d == 2);
    check_fold(&w, x, N, 1e-3);
    whitening_done(&w);
    x[N / 2 * STRIDE] = NAN;
    assert_int_equal(whitening_init_scales(&w, x, N, STRIDE, DIM, 0.5, NULL), ELMO_E_NUMERIC);
}

/* ---- Features that tell nothing ---- */

static void assert_bounded(const float *z, size_t n, double most)
{
    for (size_t row = 0; row < n; row++)
        for (size_t d = 0; d < DIM; d++)
            assert_near((double)z[row * STRIDE + d], 0, most);
}

/* Nothing is known of its scale: an unseen text that differs there must not drown all else. */
static void a_column_that_never_changed_is_left_out(void **state)
{
    (void)state;
    static const float constants[] = {0, 0.3f, -3, 1e6f};
    for (size_t k = 0; k < ARRAY_LEN(constants); k++) {
        struct whitening w;
        AUTO(mem_free) float *x = correlated_rows(N, 6);
        AUTO(mem_free) float *unseen = correlated_rows(N, 7);
        for (size_t row = 0; row < N; row++) {
            x[row * STRIDE + 2] = constants[k];
            unseen[row * STRIDE + 2] = constants[k] + 0.125f * (float)(row % 3);
        }
        learn(&w, x, N, 0.1);
        check_fold(&w, x, N, 1e-3);
        check_fold(&w, unseen, N, 1e-3);
        assert_int_equal(whitening_apply(&w, x, N, STRIDE, NULL), 0);
        assert_int_equal(whitening_apply(&w, unseen, N, STRIDE, NULL), 0);
        assert_bounded(x, N, 10);
        assert_bounded(unseen, N, 10);
        assert_near(covariance_of(x, N, 0, 0), 1, 0.2); /* the others are whitened as ever */
        whitening_done(&w);
    }
}

static void fewer_rows_than_columns_do_no_harm(void **state)
{
    (void)state;
    for (size_t n = 1; n < DIM; n++) {
        struct whitening w;
        AUTO(mem_free) float *x = correlated_rows(n, 8);
        learn(&w, x, n, 0.1);
        check_fold(&w, x, n, 1e-2);
        assert_int_equal(whitening_apply(&w, x, n, STRIDE, NULL), 0);
        assert_bounded(x, n, 10);
        whitening_done(&w);
    }
}

static void features_that_are_not_finite_are_an_error(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const size_t places[] = {0, 3 * STRIDE + 2, (N - 1) * STRIDE + DIM - 1};
    for (size_t b = 0; b < ARRAY_LEN(bad); b++)
        for (size_t k = 0; k < ARRAY_LEN(places); k++) {
            struct whitening w = {0};
            struct elmo_error err = {0};
            AUTO(mem_free) float *x = correlated_rows(N, 10);
            x[places[k]] = bad[b];
            assert_int_equal(whitening_init(&w, x, N, STRIDE, DIM, 0.1, &err), ELMO_E_NUMERIC);
            assert_non_null(strstr(err.message, "not finite"));
            assert_null(w.matrix);
        }
}

static void not_finite_behind_the_row_does_not_matter(void **state)
{
    (void)state;
    struct whitening w;
    AUTO(mem_free) float *x = correlated_rows(N, 10);
    x[DIM] = NAN;
    learn(&w, x, N, 0.1);
    whitening_done(&w);
}

/* ---- Memory ---- */

static int run_all(const float *x, float *z)
{
    struct whitening w = {0};
    real kernel[DIM * N_OUT] = {0}, bias[N_OUT] = {0};
    int r = whitening_init_scales(&w, x, N, STRIDE, DIM, 0.5, NULL);
    whitening_done(&w);
    if (!r)
        r = whitening_init(&w, x, N, STRIDE, DIM, 0.1, NULL);
    if (!r)
        r = whitening_apply(&w, z, N, STRIDE, NULL);
    if (!r)
        r = whitening_fold(&w, kernel, bias, N_OUT, NULL);
    whitening_done(&w);
    return r;
}

static void out_of_memory_is_reported(void **state)
{
    (void)state;
    AUTO(mem_free) float *x = correlated_rows(N, 11);
    AUTO(mem_free) float *z = copy_of(x, N);
    size_t n_good = 0, n_failed;
    do {
        fail_alloc_after(n_good);
        int r = run_all(x, z);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        n_good++;
    } while (n_failed);
    assert_true(n_good > 9); /* five of init, its chunk, two of apply, one of fold */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_ridge_leaves_no_mean_and_no_correlation),
        cmocka_unit_test(a_huge_ridge_only_standardises),
        cmocka_unit_test(what_lies_behind_a_row_stays),
        cmocka_unit_test(folded_into_a_layer_it_gives_the_same_outputs),
        cmocka_unit_test(scales_bring_all_columns_to_one_deviation),
        cmocka_unit_test(a_constant_column_has_no_scale),
        cmocka_unit_test(a_column_that_never_changed_is_left_out),
        cmocka_unit_test(fewer_rows_than_columns_do_no_harm),
        cmocka_unit_test(features_that_are_not_finite_are_an_error),
        cmocka_unit_test(not_finite_behind_the_row_does_not_matter),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests_name("train_whitening", tests, NULL, NULL);
}

/* Calibration on made-up logits whose labels were drawn with known probabilities: it must find the
 * numbers that they were drawn with, give no weight to noise, and learn nothing from too little. */
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
#include "train/sentiment/calibration.h"
#include "util/rng.h"

#define N           2500
#define MAX_OUTPUTS 3

/* Logits of two classifiers, and labels drawn from a * first + b * second + c. */
struct made {
    real first[N * MAX_OUTPUTS], second[N * MAX_OUTPUTS];
    struct labelled_text items[N];
};

struct truth {
    size_t n_outputs;
    double a, b, c[MAX_OUTPUTS];
};

/* p [labels] of one text; returns their number. */
static size_t probabilities(double *p, const struct truth *t, const real *first, const real *second)
{
    double z[MAX_OUTPUTS], sum = 0;
    for (size_t k = 0; k < t->n_outputs; k++)
        z[k] = t->a * (double)first[k] + t->b * (double)second[k] + t->c[k];
    if (t->n_outputs == 1) {
        p[1] = 1 / (1 + exp(-z[0]));
        p[0] = 1 - p[1];
        return 2;
    }
    for (size_t k = 0; k < t->n_outputs; k++)
        sum += p[k] = exp(z[k]);
    for (size_t k = 0; k < t->n_outputs; k++)
        p[k] /= sum;
    return t->n_outputs;
}

static uint32_t drawn(const double *p, size_t n, double u)
{
    uint32_t label = 0;
    while (label + 1 < n && u >= p[label])
        u -= p[label++];
    return label;
}

static struct made *make(const struct truth *t, uint64_t seed)
{
    struct rng rng = {seed};
    struct made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    for (size_t k = 0; k < N; k++) {
        double p[MAX_OUTPUTS];
        real *first = m->first + k * t->n_outputs, *second = m->second + k * t->n_outputs;
        for (size_t out = 0; out < t->n_outputs; out++) {
            first[out] = (real)(8 * rng_uniform(&rng) - 4);
            second[out] = (real)(8 * rng_uniform(&rng) - 4);
        }
        size_t n = probabilities(p, t, first, second);
        m->items[k].label = drawn(p, n, rng_uniform(&rng));
    }
    return m;
}

/* Mean cross-entropy of what calibration_apply makes of the logits: the readable reference. */
static double loss_of(const struct calibration *c, const struct made *m, size_t n_outputs)
{
    const struct truth as_it_is = {n_outputs, 1, 0, {0}};
    double sum = 0;
    AUTO(mem_free) real *z = calloc(N * MAX_OUTPUTS, sizeof *z);
    assert_non_null(z);
    memcpy(z, m->first, N * n_outputs * sizeof *z);
    calibration_apply(c, z, m->second, N, n_outputs);
    for (size_t k = 0; k < N; k++) {
        double p[MAX_OUTPUTS];
        probabilities(p, &as_it_is, z + k * n_outputs, m->second);
        sum -= log(p[m->items[k].label]);
    }
    return sum / N;
}

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%.6f, expected %.6f", found, expected);
}

static void what_the_labels_were_drawn_with_is_found(void **state)
{
    (void)state;
    static const struct truth truths[] = {
        {1, 1, 0, {0}},                   /* calibrated as it is; the second is noise */
        {1, 0.5, 0, {0.7}},               /* too sure of itself, and biased */
        {1, 2, 0, {-1}},                  /* not sure enough */
        {1, 0.6, 0.9, {0.3}},             /* both count */
        {1, 0, 1.2, {0}},                 /* the first is noise */
        {3, 0.5, 0, {0.8, 0, -0.8}},      /* three labels */
        {3, 0.6, 0.9, {-0.5, 0.25, 0.25}} /* and both */
    };
    for (size_t k = 0; k < ARRAY_LEN(truths); k++) {
        const struct truth *t = &truths[k];
        struct calibration c;
        AUTO(mem_free) struct made *m = make(t, k);
        assert_int_equal(calibration_init(&c, m->first, m->second, m->items, N, t->n_outputs, NULL),
                         0);
        assert_near(c.a, t->a, 0.1); /* N texts tell it about so well */
        assert_near(c.b, t->b, 0.1);
        double shift = t->n_outputs > 1 ? (c.c[0] + c.c[1] + c.c[2]) / 3 : 0;
        for (size_t out = 0; out < t->n_outputs; out++) /* a softmax: up to a constant */
            assert_near(c.c[out] - shift, t->c[out], 0.15);
        calibration_done(&c);
    }
}

/* Nothing near it is better. */
static void its_loss_is_the_least(void **state)
{
    (void)state;
    static const double moves[] = {-0.05, 0.05};
    const struct truth t = {3, 0.5, 0.3, {0.4, -0.4, 0}};
    struct calibration c;
    AUTO(mem_free) struct made *m = make(&t, 40);
    assert_int_equal(calibration_init(&c, m->first, m->second, m->items, N, 3, NULL), 0);
    double least = loss_of(&c, m, 3), *const parameters[] = {&c.a, &c.b, &c.c[0], &c.c[1], &c.c[2]};
    for (size_t k = 0; k < ARRAY_LEN(parameters); k++)
        for (size_t i = 0; i < ARRAY_LEN(moves); i++) {
            *parameters[k] += moves[i];
            assert_true(loss_of(&c, m, 3) > least);
            *parameters[k] -= moves[i];
        }
    calibration_done(&c);
}

static void without_a_second_classifier_it_has_no_weight(void **state)
{
    (void)state;
    const struct truth t = {1, 0.5, 0, {0.7}};
    struct calibration c;
    AUTO(mem_free) struct made *m = make(&t, 50);
    AUTO(mem_free) real *z = calloc(N, sizeof *z);
    assert_non_null(z);
    assert_int_equal(calibration_init(&c, m->first, NULL, m->items, N, 1, NULL), 0);
    assert_true(c.b == 0);
    assert_near(c.a, t.a, 0.1);
    assert_near(c.c[0], t.c[0], 0.15);
    memcpy(z, m->first, N * sizeof *z);
    calibration_apply(&c, z, NULL, N, 1);
    for (size_t k = 0; k < N; k++)
        assert_near((double)z[k], c.a * (double)m->first[k] + c.c[0], 1e-5);
    calibration_done(&c);
}

static void few_texts_teach_nothing(void **state)
{
    (void)state;
    static const size_t few[] = {0, 1, 19};
    const struct truth t = {3, 0.2, 0.1, {3, 0, 0}};
    AUTO(mem_free) struct made *m = make(&t, 60);
    for (size_t k = 0; k < ARRAY_LEN(few); k++)
        for (size_t both = 0; both < 2; both++) {
            struct calibration c;
            assert_int_equal(
                calibration_init(&c, m->first, both ? m->second : NULL, m->items, few[k], 3, NULL),
                0);
            assert_true(c.a == (both ? 0.5 : 1) && c.b == (both ? 0.5 : 0));
            assert_true(c.c[0] == 0 && c.c[1] == 0 && c.c[2] == 0);
            calibration_done(&c);
        }
}

/* No finite scale is the best of logits that are always right: it stops, and of few texts it does
 * not believe much. */
static void logits_without_a_fault_stay_finite(void **state)
{
    (void)state;
    const struct truth t = {1, 1e6, 0, {0}};
    struct calibration c;
    AUTO(mem_free) struct made *m = make(&t, 70);
    assert_int_equal(calibration_init(&c, m->first, m->second, m->items, N, 1, NULL), 0);
    assert_true(isfinite(c.a) && isfinite(c.b) && isfinite(c.c[0]));
    assert_true(c.a > 2);
    double many = c.a;
    calibration_done(&c);
    assert_int_equal(calibration_init(&c, m->first, m->second, m->items, 24, 1, NULL), 0);
    assert_true(c.a < 3 && c.a < many);
    calibration_done(&c);
}

static void the_same_texts_give_the_same_numbers(void **state)
{
    (void)state;
    const struct truth t = {3, 0.6, 0.9, {-0.5, 0.25, 0.25}};
    struct calibration once, again;
    AUTO(mem_free) struct made *m = make(&t, 80);
    assert_int_equal(calibration_init(&once, m->first, m->second, m->items, 200, 3, NULL), 0);
    assert_int_equal(calibration_init(&again, m->first, m->second, m->items, 200, 3, NULL), 0);
    assert_true(once.a == again.a && once.b == again.b);
    assert_memory_equal(once.c, again.c, 3 * sizeof *once.c);
    calibration_done(&once);
    calibration_done(&again);
}

static void out_of_memory_is_reported(void **state)
{
    (void)state;
    const struct truth t = {3, 0.5, 0.5, {0}};
    size_t n_good = 0, n_failed;
    AUTO(mem_free) struct made *m = make(&t, 90);
    do {
        struct calibration c = {0};
        fail_alloc_after(n_good);
        int r = calibration_init(&c, m->first, m->second, m->items, 30, 3, NULL);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        assert_true(!n_failed || !c.c);
        calibration_done(&c);
        n_good++;
    } while (n_failed);
    assert_true(n_good > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_labels_were_drawn_with_is_found),
        cmocka_unit_test(its_loss_is_the_least),
        cmocka_unit_test(without_a_second_classifier_it_has_no_weight),
        cmocka_unit_test(few_texts_teach_nothing),
        cmocka_unit_test(logits_without_a_fault_stay_finite),
        cmocka_unit_test(the_same_texts_give_the_same_numbers),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests_name("train_calibration", tests, NULL, NULL);
}

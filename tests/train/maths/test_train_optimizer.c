/* The optimizer, built in double, against Adam written out for one number at a time: full and
 * compact moments, clipping, and rows of the softmax that some steps touch and others do not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "train/maths/optimizer.h"
#include "util/rng.h"

enum { N_VOCAB = 9, N_STEPS = 30 };

static const struct options options = {
    .char_dim = 2,
    .max_chars = 6,
    .n_char_filters = 1,
    .char_filters = {{1, 4}},
    .filter_dim = 4,
    .n_highway = 1,
    .activation = ACT_RELU,
    .n_layers = 1,
    .cell_dim = 3,
    .proj_dim = 2,
};

/* One number's moments, by the book. */
struct plain_adam {
    double first, second;
};

static double plain_step(struct plain_adam *a, double gradient, double rate, size_t n_steps)
{
    a->first = 0.9 * a->first + 0.1 * gradient;
    a->second = 0.999 * a->second + 0.001 * gradient * gradient;
    return rate * (a->first / (1 - pow(0.9, (double)n_steps))) /
           (sqrt(a->second / (1 - pow(0.999, (double)n_steps))) + 1e-8);
}

struct fixture {
    struct net net;
    struct team *team;
    struct optimizer optimizer;
    double *values, *expected, *gradients, *row_gradients; /* of rows: [N_VOCAB, P + 1] */
    struct plain_adam *plain;                              /* [net_size()] */
    struct rng rng;
};

static void fixture_init(struct fixture *f, enum moments moments, size_t threads)
{
    *f = (struct fixture){.rng = {5}};
    assert_int_equal(net_init(&f->net, &options, N_VOCAB, NULL), 0);
    assert_int_equal(team_new(&f->team, threads, NULL), 0);
    assert_int_equal(optimizer_init(&f->optimizer, &f->net, f->team, moments, NULL), 0);
    size_t n = net_size(&f->net);
    f->values = calloc(n, sizeof(double));
    f->expected = calloc(n, sizeof(double));
    f->gradients = calloc(f->net.n_dense, sizeof(double));
    f->row_gradients = calloc(N_VOCAB * (options.proj_dim + 1), sizeof(double));
    f->plain = calloc(n, sizeof *f->plain);
    assert_true(f->values && f->expected && f->gradients && f->row_gradients && f->plain);
    net_randomize(&f->net, f->values, 3);
    memcpy(f->expected, f->values, n * sizeof(double));
}

static void fixture_done(struct fixture *f)
{
    optimizer_done(&f->optimizer);
    team_free(f->team);
    net_done(&f->net);
    free(f->values);
    free(f->expected);
    free(f->gradients);
    free(f->row_gradients);
    free(f->plain);
}

/* Random gradients; rows of `touched` in this order. */
static void draw_gradients(struct fixture *f, double size)
{
    for (size_t k = 0; k < f->net.n_dense; k++)
        f->gradients[k] = size * (2 * rng_uniform(&f->rng) - 1);
    for (size_t k = 0; k < N_VOCAB * (options.proj_dim + 1); k++)
        f->row_gradients[k] = size * (2 * rng_uniform(&f->rng) - 1);
}

static double plain_norm(const struct fixture *f, size_t n_rows)
{
    double squares = 0;
    for (size_t k = 0; k < f->net.n_dense; k++)
        squares += f->gradients[k] * f->gradients[k];
    for (size_t k = 0; k < n_rows * (options.proj_dim + 1); k++)
        squares += f->row_gradients[k] * f->row_gradients[k];
    return sqrt(squares);
}

static void plain_update(struct fixture *f, size_t at, double gradient, double rate)
{
    f->expected[at] -= plain_step(&f->plain[at], gradient, rate, f->optimizer.n_steps + 1);
}

/* What a step has to do, on f->expected; before the optimizer's own. */
static void plain_optimizer(struct fixture *f, const uint32_t *ids, size_t n_rows, double rate,
                            double max_norm)
{
    size_t P = options.proj_dim, W = f->net.n_dense, b = W + N_VOCAB * P;
    double scale = fmin(1, max_norm / plain_norm(f, n_rows));
    for (size_t k = 0; k < f->net.n_dense; k++)
        plain_update(f, k, scale * f->gradients[k], rate);
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t p = 0; p <= P; p++)
            plain_update(f, p < P ? W + ids[r] * P + p : b + ids[r],
                         scale * f->row_gradients[r * (P + 1) + p], rate);
    }
}

static double step(struct fixture *f, const uint32_t *ids, size_t n_rows, double rate,
                   double max_norm)
{
    double dw[N_VOCAB * 8], db[N_VOCAB];
    size_t P = options.proj_dim;
    for (size_t r = 0; r < n_rows; r++) {
        memcpy(dw + r * P, f->row_gradients + r * (P + 1), P * sizeof(double));
        db[r] = f->row_gradients[r * (P + 1) + P];
    }
    const struct bilm_result result = {
        .softmax_ids = ids, .softmax_dw = dw, .softmax_db = db, .n_softmax_rows = n_rows};
    const struct optimizer_settings settings = {rate, max_norm};
    return optimizer_step(&f->optimizer, f->values, f->gradients, &result, &settings);
}

static void follow(enum moments moments, size_t threads)
{
    static const uint32_t ids[][3] = {{0, 4, 7}, {4, 0, 2}, {8, 4, 1}};
    struct fixture f;
    fixture_init(&f, moments, threads);
    for (size_t k = 0; k < N_STEPS; k++) {
        double rate = 1e-2 / (double)(k + 1), max_norm = k % 2 ? 0.5 : 1e9;
        size_t n_rows = 1 + k % 3;
        draw_gradients(&f, k % 5 ? 1 : 1e-3);
        plain_optimizer(&f, ids[k % ARRAY_LEN(ids)], n_rows, rate, max_norm);
        double norm = step(&f, ids[k % ARRAY_LEN(ids)], n_rows, rate, max_norm);
        assert_true(fabs(norm - plain_norm(&f, n_rows)) < 1e-12 * norm);
    }
    for (size_t k = 0; k < net_size(&f.net); k++)
        if (!(fabs(f.values[k] - f.expected[k]) < 1e-10))
            fail_msg("value %zu: %.15g, by the book %.15g", k, f.values[k], f.expected[k]);
    fixture_done(&f);
}

static void full_moments_are_those_of_the_book(void **state)
{
    (void)state;
    follow(MOMENTS_FULL, 1);
    follow(MOMENTS_FULL, 3);
}

static void compact_moments_are_the_same_but_for_their_rounding(void **state)
{
    (void)state;
    follow(MOMENTS_COMPACT, 1);
    follow(MOMENTS_COMPACT, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_moments_are_those_of_the_book),
        cmocka_unit_test(compact_moments_are_the_same_but_for_their_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The sentiment head's backward pass against central differences, in double: scalar mix with gamma,
 * pooled features, whitening, dense layers, dropout, sigmoid and softmax; and the mean of a mix as
 * the mix of the means. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/maths/cross_entropy.h"
#include "train/maths/head_net.h"
#include "util/rng.h"

#ifndef TRAIN_DOUBLE
#error "this test needs the trainer in double"
#endif

#define STEP      1e-6
#define TOLERANCE 1e-6 /* relative; below FLOOR absolute times FLOOR */
#define FLOOR     1e-3
#define P         3
#define L         2
#define N_TEXTS   5
#define N_MOST    4096

static const struct options options = {.proj_dim = P, .n_layers = L};

struct fixture {
    struct head_net net;
    struct arena arena;
    real values[N_MOST], gradients[N_MOST], features[N_MOST], dfeatures[N_MOST];
    real centre[64], scales[64], whitener[64 * 64];
    uint32_t labels[N_TEXTS];
    double dropout;
};

static void fill(real *x, size_t n, struct rng *rng)
{
    for (size_t k = 0; k < n; k++)
        x[k] = 2 * rng_uniform(rng) - 1;
}

static void fixture_init(struct fixture *f, const struct head_net *net, bool whitened,
                         double dropout)
{
    struct rng rng = {11};
    *f = (struct fixture){.net = *net, .dropout = dropout};
    size_t K = net->shape.output_dim;
    fill(f->features, N_TEXTS * net->n_features, &rng);
    fill(f->centre, net->shape.input_dim, &rng);
    fill(f->scales, net->shape.input_dim, &rng);
    fill(f->whitener, net->shape.input_dim * net->shape.input_dim, &rng);
    if (whitened) {
        f->net.centre = f->centre;
        f->net.scales = f->scales;
        f->net.whitener = f->whitener;
    }
    head_net_randomize(&f->net, f->values, 7);
    for (size_t k = 0; k < head_net_size(&f->net); k++) /* away from zeros and an even mix */
        f->values[k] += 0.3 * (2 * rng_uniform(&rng) - 1);
    for (size_t k = 0; k < N_TEXTS; k++)
        f->labels[k] = (uint32_t)(k % (K == 1 ? 2 : K));
}

static double run(struct fixture *f, real *gradients, real *dfeatures)
{
    struct rng rng = {5}; /* the same dropout each time */
    const struct head_batch batch = {f->features, f->labels, N_TEXTS};
    double loss;
    arena_reset(&f->arena);
    assert_true(head_net_run(&loss, NULL, gradients, dfeatures, &f->net, f->values, &batch,
                             f->dropout, &rng, &f->arena));
    return loss;
}

/* Gradients of x [n], which the loss depends on, against central differences. */
static void compare(struct fixture *f, real *x, const real *gradients, size_t n, const char *name)
{
    size_t n_nonzero = 0;
    for (size_t k = 0; k < n; k++) {
        real before = x[k];
        x[k] = before + STEP;
        double above = run(f, NULL, NULL);
        x[k] = before - STEP;
        double expected = (above - run(f, NULL, NULL)) / (2 * STEP);
        x[k] = before;
        double error = fabs(gradients[k] - expected) / fmax(fabs(expected), FLOOR);
        if (error > TOLERANCE)
            fail_msg("%s: element %zu of %zu: %.12g, expected %.12g", name, k, n, gradients[k],
                     expected);
        n_nonzero += fabs(expected) > 1e-9;
    }
    assert_true(n_nonzero * 4 >= n); /* it is not all dead */
}

static void check(const struct head_net *net, bool whitened, double dropout)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fixture_init(f, net, whitened, dropout);
    assert_true(head_net_size(net) <= N_MOST && N_TEXTS * net->n_features <= N_MOST);
    run(f, f->gradients, f->dfeatures);
    compare(f, f->values, f->gradients, head_net_size(&f->net), "parameters");
    compare(f, f->features, f->dfeatures, N_TEXTS * f->net.n_features, "features");
    arena_done(&f->arena);
    free(f);
}

static void gradients_are_those_of_central_differences(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) /* mix; all layers; their maxima too */
        for (size_t K = 1; K <= 3; K += 2)
            for (unsigned whitened = 0; whitened < 2; whitened++) {
                const struct head_net net = head_net_make(&options, kind > 0, kind > 1, 6, K);
                check(&net, whitened, 0);
                check(&net, whitened, 0.4);
            }
}

/* One text's logits by the book: mix each token, then mean, dense, relu, dense. */
static double logit_by_the_book(const struct fixture *f, const real *layers, size_t n_tokens)
{
    struct head_params p;
    head_net_params(&p, &f->net, (real *)f->values);
    size_t H = f->net.shape.hidden_dim;
    double exps[L + 1], sum = 0, logit = p.b2[0];
    for (size_t k = 0; k <= L; k++)
        sum += exps[k] = exp(p.mix_weights[k]);
    for (size_t h = 0; h < H; h++) {
        double hidden = p.b1[h];
        for (size_t t = 0; t < n_tokens; t++)
            for (size_t d = 0; d < 2 * P; d++) {
                const real *token = layers + t * (P + L * 2 * P);
                double mixed = exps[0] / sum * token[d % P];
                for (size_t k = 1; k <= L; k++)
                    mixed += exps[k] / sum * token[P + (k - 1) * 2 * P + d];
                hidden += *p.mix_gamma * mixed / (double)n_tokens * p.w1[d * H + h];
            }
        logit += fmax(hidden, 0) * p.w2[h];
    }
    return logit;
}

static void a_mix_of_means_is_the_mean_of_the_mixes(void **state)
{
    (void)state;
    enum { T = 4, DIM = P + L * 2 * P };
    real layers[T * DIM], logit;
    struct rng rng = {3};
    struct fixture *f = calloc(1, sizeof *f);
    const struct head_net net = head_net_make(&options, false, false, 6, 1);
    const struct head_batch batch = {f->features, f->labels, 1};
    double loss;
    assert_non_null(f);
    fixture_init(f, &net, false, 0);
    fill(layers, T * DIM, &rng);
    for (size_t d = 0; d < DIM; d++) {
        f->features[d] = 0;
        for (size_t t = 0; t < T; t++)
            f->features[d] += layers[t * DIM + d] / T;
    }
    assert_true(
        head_net_run(&loss, &logit, NULL, NULL, &f->net, f->values, &batch, 0, NULL, &f->arena));
    assert_true(fabs(logit - logit_by_the_book(f, layers, T)) < 1e-12);
    assert_true(fabs(loss - log1p(exp(logit))) < 1e-12); /* label 0 */
    arena_done(&f->arena);
    free(f);
}

static void cross_entropy_is_minus_the_logarithm_of_the_probability(void **state)
{
    (void)state;
    for (uint32_t label = 0; label < 3; label++) {
        const double logits[3] = {0.3, -1.1, 2.4};
        double z[3], sum = exp(logits[0]) + exp(logits[1]) + exp(logits[2]);
        memcpy(z, logits, sizeof z);
        assert_true(fabs(cross_entropy(z, 3, label) + log(exp(logits[label]) / sum)) < 1e-14);
        for (uint32_t k = 0; k < 3; k++)
            assert_true(fabs(z[k] - (exp(logits[k]) / sum - (k == label))) < 1e-14);
    }
    for (uint32_t label = 0; label < 2; label++) { /* one logit: as two of them, the first 0 */
        double one = 0.7, two[2] = {0, 0.7};
        assert_true(fabs(cross_entropy(&one, 1, label) - cross_entropy(two, 2, label)) < 1e-14);
        assert_true(fabs(one - two[1]) < 1e-14);
    }
}

static void cross_entropy_of_far_logits_is_finite(void **state)
{
    (void)state;
    double one = -2000, many[2] = {2000, -2000};
    assert_true(cross_entropy(&one, 1, 1) == 2000 && one == -1);
    assert_true(cross_entropy(many, 2, 1) == 4000 && many[0] == 1 && many[1] == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_central_differences),
        cmocka_unit_test(cross_entropy_is_minus_the_logarithm_of_the_probability),
        cmocka_unit_test(cross_entropy_of_far_logits_is_finite),
        cmocka_unit_test(a_mix_of_means_is_the_mean_of_the_mixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The classifier's loss through the biLSTMs, against central differences in double: pooling
 * (means, and maxima with their routing), every layer's gradient joining that from above, biLSTMs,
 * the words' vectors, head. The token encoder is frozen: its gradients are 0. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/maths/tune_loss.h"
#include "util/rng.h"

#ifndef TRAIN_DOUBLE
#error "this test needs the trainer in double"
#endif

#define STEP       1e-6
#define TOLERANCE  1e-6 /* relative; below FLOOR absolute times FLOOR */
#define FLOOR      1e-3
#define PER_TENSOR 30

static const struct options options = {
    .char_dim = 3,
    .max_chars = 9,
    .n_char_filters = 2,
    .char_filters = {{1, 3}, {2, 4}},
    .filter_dim = 7,
    .n_highway = 1,
    .activation = ACT_TANH,
    .n_layers = 2,
    .cell_dim = 6,
    .proj_dim = 4,
    .cell_clip = 3,
    .proj_clip = 3,
    .skip_connections = true,
};

#define N_WORDS 7

struct fixture {
    struct net net;
    struct team *team;
    struct tune_loss *loss;
    struct head_net head;
    real *values, *head_values, *vectors;
    struct tune_gradients gradients;
    struct bilm_batch texts;
    struct tune_settings settings;
};

static double run(struct fixture *f, bool backward)
{
    static const uint32_t labels[] = {1, 0, 1};
    const struct tune_batch batch = {&f->texts, f->vectors, labels};
    real logits[3];
    double loss;
    assert_int_equal(tune_loss_run(f->loss, &loss, logits, backward ? &f->gradients : NULL,
                                   f->values, &f->head, f->head_values, &batch, &f->settings, NULL),
                     0);
    return loss;
}

static void compare(struct fixture *f, real *x, real gradient, const char *name)
{
    real before = *x;
    *x = before + STEP;
    double above = run(f, false);
    *x = before - STEP;
    double expected = (above - run(f, false)) / (2 * STEP);
    *x = before;
    if (fabs(gradient - expected) > TOLERANCE * fmax(fabs(expected), FLOOR))
        fail_msg("%s: %.12g, expected %.12g", name, gradient, expected);
}

static void fixture_init(struct fixture *f, bool all_layers, bool max, size_t n_team)
{
    static const uint32_t positions[] = {0, 2, 3, 4, 1, 0, 5, 2, 2, 1, 0, 6, 4, 3, 1};
    struct rng rng = {9};
    *f = (struct fixture){
        .texts = {.n_sentences = 3, .n_steps = 4, .positions = positions, .n_words = N_WORDS},
        .settings = {.step_seed = 4},
        .head = head_net_make(&options, all_layers, max, 5, 1),
    };
    assert_int_equal(net_init(&f->net, &options, 3, NULL), 0);
    assert_int_equal(team_new(&f->team, n_team, NULL), 0);
    assert_int_equal(tune_loss_new(&f->loss, &f->net, f->team, NULL), 0);
    size_t n_head = head_net_size(&f->head);
    f->values = calloc(net_size(&f->net), sizeof(real));
    f->gradients.bilm = calloc(net_size(&f->net), sizeof(real));
    f->head_values = calloc(n_head, sizeof(real));
    f->gradients.head = calloc(n_head, sizeof(real));
    f->vectors = calloc(N_WORDS * options.proj_dim, sizeof(real));
    f->gradients.vectors = calloc(N_WORDS * options.proj_dim, sizeof(real));
    assert_true(f->values && f->gradients.bilm && f->head_values && f->gradients.head &&
                f->vectors && f->gradients.vectors);
    net_randomize(&f->net, f->values, 1);
    head_net_randomize(&f->head, f->head_values, 2);
    for (size_t k = 0; k < net_size(&f->net); k++)
        f->values[k] += 0.2 * (2 * rng_uniform(&rng) - 1);
    for (size_t k = 0; k < n_head; k++)
        f->head_values[k] += 0.2 * (2 * rng_uniform(&rng) - 1);
    for (size_t k = 0; k < N_WORDS * options.proj_dim; k++)
        f->vectors[k] = 2 * rng_uniform(&rng) - 1;
}

static void fixture_done(struct fixture *f)
{
    tune_loss_free(f->loss);
    team_free(f->team);
    net_done(&f->net);
    free(f->values);
    free(f->vectors);
    free(f->head_values);
    free(f->gradients.bilm);
    free(f->gradients.head);
    free(f->gradients.vectors);
}

static void check(bool all_layers, bool max, double dropout, size_t n_team)
{
    struct fixture f;
    fixture_init(&f, all_layers, max, n_team);
    f.settings.dropout = dropout;
    run(&f, true);
    for (size_t t = 0; f.net.offsets[t] < f.net.n_dense; t++) {
        const char *name = f.net.specs.items[t].name;
        size_t begin = f.net.offsets[t], n = f.net.offsets[t + 1] - begin;
        size_t stride = n / PER_TENSOR + 1, n_nonzero = 0;
        for (size_t k = 0; k < n; k += stride) {
            compare(&f, &f.values[begin + k], f.gradients.bilm[begin + k], name);
            n_nonzero += f.gradients.bilm[begin + k] != 0;
        }
        assert_int_equal(n_nonzero > 0, !strncmp(name, "RNN_", 4));
    }
    for (size_t k = 0; k < head_net_size(&f.head); k++)
        compare(&f, &f.head_values[k], f.gradients.head[k], "head");
    for (size_t k = 0; k < N_WORDS * options.proj_dim; k++)
        compare(&f, &f.vectors[k], f.gradients.vectors[k], "vectors");
    fixture_done(&f);
}

static void gradients_are_those_of_central_differences(void **state)
{
    (void)state;
    check(false, false, 0, 1); /* scalar mix */
    check(true, false, 0, 1);  /* all layers, means */
    check(true, true, 0, 2);   /* and maxima */
    check(false, false, 0.3, 1);
    check(true, true, 0.3, 2);
}

static void dropout_hangs_on_the_seed_alone(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true, true, 2);
    f.settings.dropout = 0.3;
    f.settings.head_dropout = 0.3;
    double once = run(&f, true), again = run(&f, true);
    assert_true(once == again);
    f.settings.step_seed++;
    assert_true(run(&f, true) != once);
    fixture_done(&f);
}

/* Texts whose words are all different, so that a word's gradient is that of its place. */
static void adversary_fixture_init(struct fixture *f, size_t n_team)
{
    static const uint32_t positions[] = {0, 2, 3, 4, 1, 0, 5, 6, 7, 1, 0, 8, 9, 10, 1};
    struct rng rng = {10};
    fixture_init(f, true, true, n_team);
    f->texts.positions = positions;
    f->texts.n_words = 11;
    size_t n = f->texts.n_words * options.proj_dim;
    free(f->vectors);
    free(f->gradients.vectors);
    f->vectors = calloc(n, sizeof(real));
    f->gradients.vectors = calloc(n, sizeof(real));
    assert_true(f->vectors && f->gradients.vectors);
    for (size_t k = 0; k < n; k++)
        f->vectors[k] = 2 * rng_uniform(&rng) - 1;
}

/* Of dimension p over the tokens, words 2 .. 10. */
static double variance(const real *vectors, size_t p)
{
    double mean = 0, sum = 0;
    for (size_t word = 2; word < 11; word++)
        mean += vectors[word * options.proj_dim + p] / 9;
    for (size_t word = 2; word < 11; word++)
        sum += pow(vectors[word * options.proj_dim + p] - mean, 2) / 9;
    return sum;
}

/* Words 2 .. 10, three to a text, go `length` deviations along the gradient. */
static void shift_vectors(real *vectors, const real *before, const real *gradients, double length)
{
    size_t P = options.proj_dim;
    for (size_t text = 0; text < 3; text++) {
        double squares = 0;
        size_t begin = (2 + 3 * text) * P;
        for (size_t k = begin; k < begin + 3 * P; k++)
            squares += variance(before, k % P) * gradients[k] * gradients[k];
        for (size_t k = begin; k < begin + 3 * P; k++)
            vectors[k] += length * variance(before, k % P) * gradients[k] / sqrt(squares);
    }
}

static void assert_sum(const real *sum, const real *a, const real *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        assert_true(fabs(sum[k] - a[k] - b[k]) <= 1e-9 * fmax(1e-3, fabs(sum[k])));
}

static real *copy_of(const real *x, size_t n)
{
    real *copy = calloc(n, sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

/* The gradients with an adversary are the sum of those without one, here and at the vectors that
 * the adversary chooses; the loss is the one here. */
static void check_adversary(double dropout, size_t n_team)
{
    static const double share = 0.25;
    struct fixture f;
    adversary_fixture_init(&f, n_team);
    f.settings.dropout = dropout;
    f.settings.head_dropout = dropout;
    size_t n_bilm = f.net.n_dense, n_head = head_net_size(&f.head), n = 11 * options.proj_dim;
    double loss = run(&f, true);
    real *bilm = copy_of(f.gradients.bilm, n_bilm), *head = copy_of(f.gradients.head, n_head);
    real *vectors = copy_of(f.gradients.vectors, n), *before = copy_of(f.vectors, n);
    shift_vectors(f.vectors, before, vectors, share * sqrt((double)options.proj_dim));
    assert_true(run(&f, true) > loss);
    real *bilm_there = copy_of(f.gradients.bilm, n_bilm);
    real *head_there = copy_of(f.gradients.head, n_head);
    real *vectors_there = copy_of(f.gradients.vectors, n);
    memcpy(f.vectors, before, n * sizeof *before);
    f.settings.adversary = share;
    assert_true(run(&f, true) == loss);
    assert_sum(f.gradients.bilm, bilm, bilm_there, n_bilm);
    assert_sum(f.gradients.head, head, head_there, n_head);
    assert_sum(f.gradients.vectors, vectors, vectors_there, n);
    real *owned[] = {bilm, head, vectors, before, bilm_there, head_there, vectors_there};
    for (size_t k = 0; k < ARRAY_LEN(owned); k++)
        free(owned[k]);
    fixture_done(&f);
}

static void an_adversary_shifts_each_text_to_a_higher_loss(void **state)
{
    (void)state;
    check_adversary(0, 1);
    check_adversary(0.3, 2);
}

/* A head that does not look at its inputs: the gradient is 0, and there is nowhere to go. */
static void without_a_gradient_the_adversary_stays(void **state)
{
    (void)state;
    struct fixture f;
    adversary_fixture_init(&f, 1);
    memset(f.head_values, 0, head_net_size(&f.head) * sizeof(real));
    f.settings.adversary = 0.25;
    assert_true(isfinite(run(&f, true)));
    for (size_t k = 0; k < f.net.n_dense; k++)
        assert_true(f.gradients.bilm[k] == 0);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_central_differences),
        cmocka_unit_test(dropout_hangs_on_the_seed_alone),
        cmocka_unit_test(an_adversary_shifts_each_text_to_a_higher_loss),
        cmocka_unit_test(without_a_gradient_the_adversary_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

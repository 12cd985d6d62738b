/* Twenty steps of the trainer as it ships, in float and on two threads, against the naive reference
 * in double: the same loss in every step and the same weights at the end. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "reference/naive_training.h"
#include "train/maths/bilm_loss.h"
#include "train/maths/optimizer.h"

#define TOLERANCE 1e-4 /* relative: of a loss; of a tensor's change over all steps, in its norm */

enum { N_STEPS = 20, N_VOCAB = 40, N_SAMPLES = 12 };

static const struct options options = {
    .char_dim = 3,
    .max_chars = 9,
    .n_char_filters = 3,
    .char_filters = {{1, 3}, {2, 4}, {4, 5}},
    .filter_dim = 12,
    .n_highway = 1,
    .activation = ACT_RELU,
    .n_layers = 2,
    .cell_dim = 7,
    .proj_dim = 5,
    .cell_clip = 0.5f,
    .proj_clip = 0.4f,
    .skip_connections = true,
};

static const struct elmo_token vocabulary[] = {{"<S>", 3},  {"</S>", 4},      {"a", 1},
                                               {"film", 4}, {"wonderful", 9}, {"caf\xc3\xa9", 5},
                                               {"of", 2}};
static const struct elmo_token *words[ARRAY_LEN(vocabulary)];
static const uint32_t vocab_ids[] = {0, 1, 3, 17, 2, 39, 3};

/* Batches of two shapes in turn. */
static const struct bilm_batch batches[] = {
    {3, 4, (const uint32_t[]){0, 2, 3, 4, 1, 0, 5, 2, 2, 1, 0, 6, 4, 3, 1}, words, vocab_ids,
     ARRAY_LEN(vocabulary)},
    {2, 6, (const uint32_t[]){0, 3, 6, 2, 5, 4, 1, 0, 4, 4, 3, 2, 6, 1}, words, vocab_ids,
     ARRAY_LEN(vocabulary)},
};

struct training {
    struct net net;
    struct team *team;
    struct bilm_loss *loss;
    struct optimizer optimizer;
    real *values, *start, *gradients;
    struct naive_training naive;
};

static void training_init(struct training *t)
{
    kernels_init();
    for (size_t k = 0; k < ARRAY_LEN(vocabulary); k++)
        words[k] = &vocabulary[k];
    assert_int_equal(net_init(&t->net, &options, N_VOCAB, NULL), 0);
    assert_int_equal(team_new(&t->team, 2, NULL), 0);
    assert_int_equal(bilm_loss_new(&t->loss, &t->net, t->team, NULL), 0);
    assert_int_equal(optimizer_init(&t->optimizer, &t->net, t->team, MOMENTS_FULL, NULL), 0);
    t->values = calloc(net_size(&t->net), sizeof(real));
    t->start = calloc(net_size(&t->net), sizeof(real));
    t->gradients = calloc(t->net.n_dense, sizeof(real));
    assert_true(t->values && t->start && t->gradients);
    net_randomize(&t->net, t->start, 1);
    for (size_t k = 0; k < net_size(&t->net); k++)
        t->start[k] *= (real)1.5; /* so that clips cut */
    memcpy(t->values, t->start, net_size(&t->net) * sizeof(real));
    naive_training_init(&t->naive, &t->net, t->start);
}

static void training_done(struct training *t)
{
    naive_training_done(&t->naive);
    optimizer_done(&t->optimizer);
    bilm_loss_free(t->loss);
    team_free(t->team);
    net_done(&t->net);
    free(t->values);
    free(t->start);
    free(t->gradients);
}

static double train_step(struct training *t, const struct bilm_batch *batch,
                         const struct naive_step *step)
{
    const struct bilm_settings settings = {step->n_samples, 0, step->step_seed};
    const struct optimizer_settings adam = {step->learning_rate, step->max_norm};
    struct bilm_result result;
    assert_int_equal(
        bilm_loss_run(t->loss, &result, t->gradients, t->values, batch, &settings, NULL), 0);
    optimizer_step(&t->optimizer, t->values, t->gradients, &result, &adam);
    return (result.loss[0] + result.loss[1]) / 2;
}

/* |found - expected| / |expected - start| over one tensor. */
static double relative_error(const struct training *t, size_t tensor)
{
    double error = 0, change = 0;
    for (size_t k = t->net.offsets[tensor]; k < t->net.offsets[tensor + 1]; k++) {
        error += pow((double)t->values[k] - t->naive.values[k], 2);
        change += pow(t->naive.values[k] - (double)t->start[k], 2);
    }
    assert_true(change > 0);
    return sqrt(error / change);
}

static void twenty_steps_equal_the_reference_in_double(void **state)
{
    (void)state;
    struct training t = {0};
    double first_loss = 0, loss = 0, worst = 0;
    training_init(&t);
    for (size_t k = 0; k < N_STEPS; k++) {
        const struct naive_step step = {N_SAMPLES, 100 + k, 5e-3, 0.7};
        const struct bilm_batch *batch = &batches[k % ARRAY_LEN(batches)];
        double expected = naive_training_step(&t.naive, batch, &step);
        loss = train_step(&t, batch, &step);
        first_loss = k ? first_loss : loss;
        if (fabs(loss - expected) > TOLERANCE * expected)
            fail_msg("step %zu: loss %.9g, the reference's %.9g", k, loss, expected);
    }
    for (size_t k = 0; k < t.net.specs.n_items; k++) {
        double error = relative_error(&t, k);
        worst = fmax(worst, error);
        if (error > TOLERANCE)
            fail_msg("%s: relative error %.2e", t.net.specs.items[k].name, error);
    }
    printf(
        "loss %.4f to %.4f; worst relative error of a tensor's change %.1e; %zu values clipped\n",
        first_loss, loss, worst, t.naive.n_clipped);
    assert_true(loss < first_loss);
    assert_true(t.naive.n_clipped > 0);
    training_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_steps_equal_the_reference_in_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

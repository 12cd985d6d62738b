/* The backward passes against central differences, in double: every tensor of small networks,
 * through the whole objective (token encoder, LSTMs with clips, skip connections and dropout,
 * sampled softmax). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/maths/bilm_loss.h"
#include "util/rng.h"

#ifndef TRAIN_DOUBLE
#error "this test needs the trainer in double"
#endif

#define STEP       1e-6
#define TOLERANCE  1e-6 /* relative; below FLOOR absolute times FLOOR */
#define FLOOR      1e-3
#define N_VOCAB    40
#define PER_TENSOR 40 /* elements tried of each tensor */

static const struct options plain = {
    .char_dim = 3,
    .max_chars = 9,
    .n_char_filters = 3,
    .char_filters = {{1, 3}, {2, 4}, {4, 5}},
    .filter_dim = 12,
    .n_highway = 2,
    .activation = ACT_RELU,
    .n_layers = 2,
    .cell_dim = 7,
    .proj_dim = 5,
    .cell_clip = 3,
    .proj_clip = 3,
    .skip_connections = true,
};

static const struct elmo_token vocabulary[] = {{"<S>", 3},  {"</S>", 4},      {"a", 1},
                                               {"film", 4}, {"wonderful", 9}, {"caf\xc3\xa9", 5},
                                               {"of", 2}};
static const struct elmo_token *words[ARRAY_LEN(vocabulary)];

struct fixture {
    struct net net;
    struct team *team;
    struct bilm_loss *loss;
    real *values, *gradients;
    struct bilm_batch batch;
    struct bilm_settings settings;
};

static double mean_loss(struct fixture *f)
{
    struct bilm_result result;
    static real *scratch;
    scratch = realloc(scratch, f->net.n_dense * sizeof *scratch);
    assert_int_equal(
        bilm_loss_run(f->loss, &result, scratch, f->values, &f->batch, &f->settings, NULL), 0);
    return (result.loss[0] + result.loss[1]) / 2 + result.word_vectors_loss;
}

static double central_difference(struct fixture *f, size_t at)
{
    real before = f->values[at];
    f->values[at] = before + STEP;
    double above = mean_loss(f);
    f->values[at] = before - STEP;
    double below = mean_loss(f);
    f->values[at] = before;
    return (above - below) / (2 * STEP);
}

/* Dense gradients and the softmax's rows as one array like the values. */
static void gradients_of(struct fixture *f)
{
    struct bilm_result r;
    struct net_tensors g;
    size_t P = f->net.options.proj_dim;
    memset(f->gradients, 0, net_size(&f->net) * sizeof(real));
    assert_int_equal(
        bilm_loss_run(f->loss, &r, f->gradients, f->values, &f->batch, &f->settings, NULL), 0);
    net_tensors(&g, &f->net, f->gradients);
    for (size_t k = 0; k < r.n_softmax_rows; k++) {
        memcpy(g.softmax_w + r.softmax_ids[k] * P, r.softmax_dw + k * P, P * sizeof(real));
        g.softmax_b[r.softmax_ids[k]] = r.softmax_db[k];
    }
}

/* Vectors of three words of the vocabulary and of others, as a file; free them. */
static struct word_vectors *open_vectors(void)
{
    static const char text[] = "the 1 2 3 4\nfilm 0.5 -1 2 0.25\nwonderful -2 1.5 0.75 -0.5\n"
                               "of 0.1 0.2 -0.3 1\n";
    char path[] = "/tmp/word-vectors-XXXXXX", cache[sizeof path + 6];
    struct word_vectors *vectors;
    const struct word_vectors_options how = {.path = path, .cache_path = cache};
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1);
    close(fd);
    snprintf(cache, sizeof cache, "%s.cache", path);
    assert_int_equal(word_vectors_open(&vectors, &how, NULL), 0);
    unlink(path);
    unlink(cache);
    return vectors;
}

static void check_with(const struct options *options, double dropout, size_t team_members,
                       const struct word_vectors *vectors, const char *name)
{
    static const uint32_t positions[] = {0, 2, 3, 4, 1, 0, 5, 2, 2, 1, 0, 6, 4, 3, 1};
    static const uint32_t vocab_ids[] = {0, 1, 3, 17, 2, 39, 3};
    struct fixture f = {
        .batch = {.n_sentences = 3,
                  .n_steps = 4,
                  .positions = positions,
                  .words = words,
                  .vocab_ids = vocab_ids,
                  .n_words = ARRAY_LEN(vocabulary)},
        .settings = {.n_samples = 11,
                     .dropout = dropout,
                     .step_seed = 5,
                     .word_vectors = vectors,
                     .word_vectors_weight = 0.7},
    };
    struct rng rng = {3};
    double worst = 0;
    size_t n_tried = 0, n_nonzero = 0;
    for (size_t k = 0; k < ARRAY_LEN(vocabulary); k++)
        words[k] = &vocabulary[k];
    assert_int_equal(net_init_with_word_vectors(&f.net, options, N_VOCAB,
                                                vectors ? word_vectors_info(vectors)->dim : 0,
                                                NULL),
                     0);
    assert_int_equal(team_new(&f.team, team_members, NULL), 0);
    assert_int_equal(bilm_loss_new(&f.loss, &f.net, f.team, NULL), 0);
    f.values = calloc(net_size(&f.net), sizeof(real));
    f.gradients = calloc(net_size(&f.net), sizeof(real));
    assert_true(f.values && f.gradients);
    net_randomize(&f.net, f.values, 1);
    for (size_t k = 0; k < net_size(&f.net); k++) /* away from zero biases and ties */
        f.values[k] = 1.5 * f.values[k] + 0.1 * (2 * rng_uniform(&rng) - 1);
    gradients_of(&f);
    for (size_t tensor = 0; tensor < f.net.specs.n_items; tensor++) {
        size_t begin = f.net.offsets[tensor], n = f.net.offsets[tensor + 1] - begin;
        for (size_t k = 0; k < PER_TENSOR; k++, n_tried++) {
            size_t at = begin + rng_next(&rng) % n;
            double expected = central_difference(&f, at), found = f.gradients[at];
            double error = fabs(expected - found) / fmax(FLOOR, fmax(fabs(expected), fabs(found)));
            n_nonzero += found != 0;
            worst = fmax(worst, error);
            if (error > TOLERANCE)
                fail_msg("%s: %s[%zu]: %.9g by differences, %.9g by the backward pass", name,
                         f.net.specs.items[tensor].name, at - begin, expected, found);
        }
    }
    printf("%-40s %zu gradients (%zu not zero), worst relative error %.1e\n", name, n_tried,
           n_nonzero, worst);
    assert_true(n_nonzero > n_tried / 2);
    bilm_loss_free(f.loss);
    team_free(f.team);
    net_done(&f.net);
    free(f.values);
    free(f.gradients);
}

static void check(const struct options *options, double dropout, size_t team_members,
                  const char *name)
{
    check_with(options, dropout, team_members, NULL, name);
}

static void the_plain_network(void **state)
{
    (void)state;
    check(&plain, 0, 1, "relu, two layers, skip connections");
}

static void two_threads(void **state)
{
    (void)state;
    check(&plain, 0, 2, "the same on two threads");
    check(&plain, 0, 3, "the same on three threads");
}

static void dropout(void **state)
{
    (void)state;
    check(&plain, 0.3, 2, "dropout 0.3");
}

static void word_vectors(void **state)
{
    (void)state;
    struct word_vectors *vectors = open_vectors();
    check_with(&plain, 0, 2, vectors, "word vectors as targets");
    word_vectors_free(vectors);
}

static void clips_that_cut(void **state)
{
    (void)state;
    struct options o = plain;
    o.cell_clip = 0.25f;
    o.proj_clip = 0.2f;
    check(&o, 0, 2, "cells clipped at 0.25, outputs at 0.2");
}

static void no_clips_no_skip_connections(void **state)
{
    (void)state;
    struct options o = plain;
    o.cell_clip = o.proj_clip = 0;
    o.skip_connections = false;
    o.n_layers = 3;
    check(&o, 0, 2, "no clips, no skip connections, three layers");
}

static void tanh_without_highways(void **state)
{
    (void)state;
    struct options o = plain;
    o.activation = ACT_TANH;
    o.n_highway = 0;
    o.n_layers = 1;
    check(&o, 0, 2, "tanh, no highway, one layer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_network),
        cmocka_unit_test(two_threads),
        cmocka_unit_test(dropout),
        cmocka_unit_test(word_vectors),
        cmocka_unit_test(clips_that_cut),
        cmocka_unit_test(no_clips_no_skip_connections),
        cmocka_unit_test(tanh_without_highways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

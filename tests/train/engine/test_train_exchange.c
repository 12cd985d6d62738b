/* Several ranks on parts of a batch are one rank on the whole: the trainer in double, as as many
 * processes as ranks_program.h says. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ranks_program.h"
#include "train/engine/gradient_exchange.h"
#include "train/maths/optimizer.h"
#include "util/fnv.h"
#include "util/rng.h"

#ifndef TRAIN_DOUBLE
#error "this test needs the trainer in double"
#endif

#define TOLERANCE 1e-12 /* of the greatest element of a tensor */

enum { N_SENTENCES = 6, MAX_TOKENS = 7, N_WORDS = 24, N_VOCAB = 60, N_SAMPLES = 9, MAX_RANKS = 3 };

static const struct options options = {
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

/* ---- Sentences, and batches of some of them ---- */

static char texts[N_WORDS][4];
static struct elmo_token vocabulary[N_WORDS];
static size_t sentences[N_SENTENCES][MAX_TOKENS + 2]; /* words; the first n_steps + 1 are used */

struct some_batch {
    uint32_t positions[N_SENTENCES * (MAX_TOKENS + 2)], vocab_ids[N_WORDS];
    const struct elmo_token *words[N_WORDS];
    struct bilm_batch batch;
};

static void make_sentences(void)
{
    struct rng rng = {77};
    for (size_t k = 0; k < N_WORDS; k++) {
        for (size_t c = 0; c < 3; c++)
            texts[k][c] = (char)('a' + rng_next(&rng) % 26);
        vocabulary[k] = (struct elmo_token){texts[k], 3};
    }
    for (size_t k = 0; k < N_SENTENCES; k++)
        for (size_t p = 0; p < MAX_TOKENS + 2; p++)
            sentences[k][p] = rng_next(&rng) % N_WORDS;
}

/* Sentences [begin, begin + n) as a batch with words of its own, as batches.c makes them. */
static void fill(struct some_batch *b, size_t begin, size_t n, size_t n_steps)
{
    size_t n_words = 0, n_positions = 0;
    uint32_t local_of[N_WORDS];
    memset(local_of, 0xff, sizeof local_of);
    for (size_t k = begin; k < begin + n; k++) {
        for (size_t p = 0; p <= n_steps; p++) {
            size_t word = sentences[k][p];
            if (local_of[word] == UINT32_MAX) {
                b->words[n_words] = &vocabulary[word];
                b->vocab_ids[n_words] = (uint32_t)(2 * word + 1);
                local_of[word] = (uint32_t)n_words++;
            }
            b->positions[n_positions++] = local_of[word];
        }
    }
    b->batch = (struct bilm_batch){n, n_steps, b->positions, b->words, b->vocab_ids, n_words};
}

/* ---- A rank's trainer ---- */

struct trainer {
    struct net net;
    struct team *team;
    struct bilm_loss *loss;
    struct gradient_exchange *exchange;
    real *values, *dense;
    struct bilm_result result;
};

static int trainer_setup(void **state)
{
    static struct trainer t;
    struct rng rng = {3};
    assert_int_equal(net_init(&t.net, &options, N_VOCAB, NULL), 0);
    assert_int_equal(team_new(&t.team, 2, NULL), 0);
    assert_int_equal(bilm_loss_new(&t.loss, &t.net, t.team, NULL), 0);
    assert_int_equal(gradient_exchange_new(&t.exchange, &ranks, &t.net, NULL), 0);
    t.values = calloc(net_size(&t.net), sizeof(real));
    t.dense = calloc(t.net.n_dense, sizeof(real));
    assert_true(t.values && t.dense);
    net_randomize(&t.net, t.values, 1);
    for (size_t k = 0; k < net_size(&t.net); k++)
        t.values[k] = 1.5 * t.values[k] + 0.1 * (2 * rng_uniform(&rng) - 1);
    *state = &t;
    return 0;
}

static int trainer_teardown(void **state)
{
    struct trainer *t = *state;
    gradient_exchange_free(t->exchange);
    bilm_loss_free(t->loss);
    team_free(t->team);
    net_done(&t->net);
    free(t->values);
    free(t->dense);
    return 0;
}

/* Leaves the gradients of a batch in dense and result. */
static void run_batch(struct trainer *t, const struct bilm_batch *batch,
                      const struct bilm_settings *settings)
{
    assert_int_equal(bilm_loss_run(t->loss, &t->result, t->dense, t->values, batch, settings, NULL),
                     0);
}

/* A gradient as one array like the values, so that rows in another order are the same. */
struct flat {
    real *values;  /* [net_size()], owned */
    bool *touched; /* [V] rows of the softmax that have one; owned */
    double loss[2];
};

static struct flat flat_new(const struct trainer *t)
{
    struct flat f = {calloc(net_size(&t->net), sizeof(real)), calloc(N_VOCAB, sizeof(bool)), {0}};
    assert_true(f.values && f.touched);
    return f;
}

static void flat_done(struct flat *f)
{
    free(f->values);
    free(f->touched);
}

/* f += share * the trainer's gradient. */
static void flat_add(struct flat *f, const struct trainer *t, double share)
{
    struct net_tensors g;
    const struct bilm_result *r = &t->result;
    size_t P = options.proj_dim;
    net_tensors(&g, &t->net, f->values);
    for (size_t k = 0; k < t->net.n_dense; k++)
        f->values[k] += share * t->dense[k];
    for (size_t k = 0; k < r->n_softmax_rows; k++) {
        for (size_t p = 0; p < P; p++)
            g.softmax_w[r->softmax_ids[k] * P + p] += share * r->softmax_dw[k * P + p];
        g.softmax_b[r->softmax_ids[k]] += share * r->softmax_db[k];
        f->touched[r->softmax_ids[k]] = true;
    }
    f->loss[0] += share * r->loss[0];
    f->loss[1] += share * r->loss[1];
}

static void assert_close(double found, double expected, double scale, const char *name, size_t at)
{
    if (!(fabs(found - expected) <= TOLERANCE * scale))
        fail_msg("%s[%zu]: %.17g, but %.17g on one rank", name, at, found, expected);
}

static void flat_compare(const struct flat *found, const struct flat *expected,
                         const struct net *net)
{
    for (size_t d = 0; d < 2; d++)
        assert_close(found->loss[d], expected->loss[d], expected->loss[d], "loss", d);
    assert_memory_equal(found->touched, expected->touched, N_VOCAB * sizeof(bool));
    for (size_t tensor = 0; tensor < net->specs.n_items; tensor++) {
        double greatest = 0;
        for (size_t k = net->offsets[tensor]; k < net->offsets[tensor + 1]; k++)
            greatest = fmax(greatest, fabs(expected->values[k]));
        assert_true(greatest > 0);
        for (size_t k = net->offsets[tensor]; k < net->offsets[tensor + 1]; k++)
            assert_close(found->values[k], expected->values[k], greatest,
                         net->specs.items[tensor].name, k - net->offsets[tensor]);
    }
}

/* ---- Without a second rank ---- */

static void merged_ids_are_the_samples_and_then_each_other_id_once(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t samples[4], others[6], ids[8];
        size_t n_samples, n_others, n_ids;
    } cases[] = {
        {"nothing", {0}, {0}, {0}, 0, 0, 0},
        {"samples keep their order", {7, 0, 3}, {0}, {7, 0, 3}, 3, 0, 3},
        {"others are sorted", {5}, {9, 2, 8, 0}, {5, 0, 2, 8, 9}, 1, 4, 5},
        {"two ranks have the same word", {5}, {4, 2, 4, 1, 2}, {5, 1, 2, 4}, 1, 5, 4},
        {"a sample among the others", {5, 1}, {5, 2, 1}, {5, 1, 2}, 2, 3, 3},
        {"no samples", {0}, {3, 1, 3}, {1, 3}, 0, 3, 2},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        uint32_t ids[10], row_of[10];
        size_t n = gradient_exchange_merge(ids, row_of, 10, cases[k].samples, cases[k].n_samples,
                                           cases[k].others, cases[k].n_others);
        print_message("%s\n", cases[k].name);
        assert_int_equal(n, cases[k].n_ids);
        assert_memory_equal(ids, cases[k].ids, n * sizeof *ids);
        for (size_t row = 0; row < n; row++)
            assert_int_equal(row_of[ids[row]], row);
    }
}

static void a_rank_changes_the_dropout_and_no_sample(void **state)
{
    struct trainer *t = *state;
    struct some_batch b;
    uint32_t samples[N_SAMPLES];
    double losses[MAX_RANKS];
    fill(&b, 0, N_SENTENCES, MAX_TOKENS);
    for (uint64_t rank = 0; rank < MAX_RANKS; rank++) {
        const struct bilm_settings s = {N_SAMPLES, 0.3, .step_seed = 5, .rank = rank};
        run_batch(t, &b.batch, &s);
        losses[rank] = t->result.loss[0];
        assert_int_equal(t->result.n_samples, N_SAMPLES);
        if (rank)
            assert_memory_equal(samples, t->result.softmax_ids, sizeof samples);
        memcpy(samples, t->result.softmax_ids, sizeof samples);
    }
    assert_true(losses[0] != losses[1] && losses[1] != losses[2] && losses[0] != losses[2]);
}

static void a_single_rank_keeps_its_gradient(void **state)
{
    struct trainer *t = *state;
    const struct bilm_settings s = {N_SAMPLES, 0.3, .step_seed = 5};
    struct some_batch b;
    fill(&b, 0, N_SENTENCES, MAX_TOKENS);
    run_batch(t, &b.batch, &s);
    const struct bilm_result before = t->result;
    struct flat expected = flat_new(t), found = flat_new(t);
    flat_add(&expected, t, 1);
    assert_int_equal(
        gradient_exchange_run(t->exchange, &t->result, t->dense, N_SENTENCES * MAX_TOKENS, NULL),
        0);
    flat_add(&found, t, 1);
    assert_memory_equal(&before, &t->result, sizeof before);
    assert_memory_equal(found.values, expected.values, net_size(&t->net) * sizeof(real));
    flat_done(&expected);
    flat_done(&found);
    struct elmo_error err = {0};
    assert_int_equal(gradient_exchange_run(t->exchange, &t->result, t->dense, 0, &err),
                     ELMO_E_INVALID);
    assert_string_equal(err.message, "no rank has a batch");
}

/* ---- With others ---- */

static void nets_of_two_kinds_are_refused(void **state)
{
    struct trainer *t = *state;
    struct elmo_error err = {0};
    struct gradient_exchange *exchange;
    struct net other = t->net;
    other.n_vocab += ranks.index;
    assert_int_equal(gradient_exchange_new(&exchange, &ranks, &other, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "rank 1 has another network than rank 0"));
}

/* Sentences of the whole batch that each rank takes; the next rank begins where it ends. */
static const size_t shares[][MAX_RANKS] = {
    {3, 3, 0}, {1, 5, 0}, {6, 0, 0}, {0, 6, 0}, {2, 2, 2},
    {3, 2, 1}, {4, 2, 0}, {0, 0, 6}, {0, 5, 1},
};

static void exchange(struct trainer *t, size_t n_predictions)
{
    assert_int_equal(gradient_exchange_run(t->exchange, &t->result, t->dense, n_predictions, NULL),
                     0);
}

static void check_shares(struct trainer *t, const size_t share[static MAX_RANKS])
{
    const struct bilm_settings s = {N_SAMPLES, 0, .step_seed = 5, .rank = ranks.index};
    struct some_batch whole, mine;
    struct flat expected = flat_new(t), found = flat_new(t);
    size_t begin = 0;
    fill(&whole, 0, N_SENTENCES, MAX_TOKENS);
    run_batch(t, &whole.batch, &s);
    flat_add(&expected, t, 1);
    for (size_t k = 0; k < ranks.index; k++)
        begin += share[k];
    fill(&mine, begin, share[ranks.index], MAX_TOKENS);
    /* A rank without a batch has no gradient, whatever is in its memory. */
    for (size_t k = 0; k < t->net.n_dense; k++)
        t->dense[k] = NAN;
    memset(&t->result, 0xff, sizeof t->result);
    if (share[ranks.index])
        run_batch(t, &mine.batch, &s);
    exchange(t, mine.batch.n_sentences * mine.batch.n_steps);
    assert_int_equal(t->result.n_samples, N_SAMPLES);
    flat_add(&found, t, 1);
    flat_compare(&found, &expected, &t->net);
    flat_done(&expected);
    flat_done(&found);
}

static void parts_of_a_batch_are_the_whole(void **state)
{
    size_t n_checked = 0;
    for (size_t k = 0; k < ARRAY_LEN(shares); k++) {
        if (ranks.size < MAX_RANKS && shares[k][ranks.size])
            continue;
        check_shares(*state, shares[k]);
        n_checked++;
    }
    assert_in_range(n_checked, 4, ARRAY_LEN(shares));
}

/* Batches of different lengths, as the ranks have them in training. */
static void each_prediction_counts_the_same(void **state)
{
    struct trainer *t = *state;
    static const size_t n_sentences[] = {2, 3, 1}, n_steps[] = {6, 2, 4};
    struct flat expected = flat_new(t), found = flat_new(t);
    struct some_batch b;
    double n_predictions = 0;
    for (size_t k = 0; k < ranks.size; k++)
        n_predictions += (double)(n_sentences[k] * n_steps[k]);
    for (size_t k = 0; k < ranks.size; k++) {
        const struct bilm_settings s = {N_SAMPLES, 0.3, .step_seed = 5, .rank = k};
        fill(&b, k, n_sentences[k], n_steps[k]);
        run_batch(t, &b.batch, &s);
        flat_add(&expected, t, (double)(n_sentences[k] * n_steps[k]) / n_predictions);
    }
    const size_t me = ranks.index;
    const struct bilm_settings s = {N_SAMPLES, 0.3, .step_seed = 5, .rank = me};
    fill(&b, me, n_sentences[me], n_steps[me]);
    run_batch(t, &b.batch, &s);
    exchange(t, n_sentences[me] * n_steps[me]);
    flat_add(&found, t, 1);
    flat_compare(&found, &expected, &t->net);
    flat_done(&expected);
    flat_done(&found);
}

static uint64_t hash_of(const real *values, size_t n)
{
    uint64_t hash = FNV_BASIS, bits;
    for (size_t k = 0; k < n; k++) {
        memcpy(&bits, values + k, sizeof bits);
        hash = fnv_step(hash, bits);
    }
    return hash;
}

static void assert_same_on_all_ranks(const struct trainer *t)
{
    uint64_t mine = hash_of(t->values, net_size(&t->net)), all[MAX_RANKS];
    assert_int_equal(ranks_gather(&ranks, all, &mine, sizeof mine, NULL), 0);
    for (size_t k = 0; k < ranks.size; k++)
        assert_true(all[k] == mine);
}

static void run_steps(struct trainer *t, enum moments moments)
{
    const struct optimizer_settings step = {0.01, 1};
    struct optimizer optimizer;
    uint64_t before = hash_of(t->values, net_size(&t->net));
    assert_int_equal(optimizer_init(&optimizer, &t->net, t->team, moments, NULL), 0);
    for (uint64_t n = 0; n < 20; n++) {
        const struct bilm_settings s = {N_SAMPLES, 0.3, .step_seed = n, .rank = ranks.index};
        struct some_batch b;
        size_t n_sentences = (n + ranks.index) % 3; /* 0: no batch */
        fill(&b, ranks.index, n_sentences, 2 + (n + ranks.index) % 4);
        if (n_sentences)
            run_batch(t, &b.batch, &s);
        exchange(t, b.batch.n_sentences * b.batch.n_steps);
        assert_true(isfinite(optimizer_step(&optimizer, t->values, t->dense, &t->result, &step)));
        assert_same_on_all_ranks(t);
    }
    assert_true(before != hash_of(t->values, net_size(&t->net)));
    optimizer_done(&optimizer);
}

static void steps_leave_the_same_bits_on_all_ranks(void **state)
{
    run_steps(*state, MOMENTS_FULL);
    run_steps(*state, MOMENTS_COMPACT);
}

static void other_samples_are_refused(void **state)
{
    struct trainer *t = *state;
    struct elmo_error err = {0};
    struct some_batch b;
    fill(&b, 0, 2, 3);
    for (size_t k = 0; k < 2; k++) {
        const struct bilm_settings s = {N_SAMPLES + (k == 1 ? ranks.index : 0), 0,
                                        .step_seed = k == 0 ? ranks.index : 5};
        run_batch(t, &b.batch, &s);
        memset(&err, 0, sizeof err);
        assert_int_equal(gradient_exchange_run(t->exchange, &t->result, t->dense, 6, &err),
                         ELMO_E_INVALID);
        assert_non_null(strstr(err.message, "rank 1 has other samples than rank 0"));
    }
    memset(&err, 0, sizeof err);
    assert_int_equal(gradient_exchange_run(t->exchange, &t->result, t->dense, 0, &err),
                     ELMO_E_INVALID);
    assert_string_equal(err.message, "no rank has a batch");
}

#define WITH_TRAINER(test) cmocka_unit_test_setup_teardown(test, trainer_setup, trainer_teardown)

static int run_alone(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_ids_are_the_samples_and_then_each_other_id_once),
        WITH_TRAINER(a_rank_changes_the_dropout_and_no_sample),
        WITH_TRAINER(a_single_rank_keeps_its_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_together(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TRAINER(nets_of_two_kinds_are_refused),
        WITH_TRAINER(parts_of_a_batch_are_the_whole),
        WITH_TRAINER(each_prediction_counts_the_same),
        WITH_TRAINER(steps_leave_the_same_bits_on_all_ranks),
        WITH_TRAINER(other_samples_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    make_sentences();
    return ranks_program(argc, argv, run_alone, run_together);
}

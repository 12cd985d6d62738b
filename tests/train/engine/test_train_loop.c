/* Training itself, in float and in bfloat16: ten sentences are learnt by heart, the number of
 * threads and the seed decide every bit, a loss that is not finite changes nothing, and an engine
 * makes the steps that its parts make. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "train/engine/engine.h"
#include "train/maths/bilm_eval.h"
#include "train/maths/bilm_loss.h"
#include "train/maths/optimizer.h"
#include "train/maths/products.h"
#include "util/rng.h"

enum { N_SENTENCES = 10, N_TOKENS = 7, N_WORDS = 30 };

static const struct options options = {
    .char_dim = 6,
    .max_chars = 12,
    .n_char_filters = 2,
    .char_filters = {{1, 12}, {3, 28}},
    .filter_dim = 40,
    .n_highway = 1,
    .activation = ACT_RELU,
    .n_layers = 2,
    .cell_dim = 48,
    .proj_dim = 24,
    .cell_clip = 3,
    .proj_clip = 3,
    .skip_connections = true,
};

struct training {
    struct net net;
    struct team *team;
    struct bilm_loss *loss;
    struct bilm_eval *eval;
    struct optimizer optimizer;
    real *values, *gradients;
    char texts[N_WORDS][8];
    struct elmo_token tokens[N_WORDS];
    const struct elmo_token *words[N_WORDS];
    uint32_t vocab_ids[N_WORDS], positions[N_SENTENCES * (N_TOKENS + 2)];
    struct bilm_batch batch;
};

/* Ten random sentences over <S>, </S> and 28 words. */
static void make_batch(struct training *t)
{
    struct rng rng = {77};
    for (uint32_t k = 0; k < N_WORDS; k++) {
        snprintf(t->texts[k], sizeof t->texts[k], "%s", k == 0 ? "<S>" : k == 1 ? "</S>" : "");
        for (size_t c = 0; k > 1 && c < 3; c++)
            t->texts[k][c] = (char)('a' + rng_next(&rng) % 26);
        t->tokens[k] = (struct elmo_token){t->texts[k], strlen(t->texts[k])};
        t->words[k] = &t->tokens[k];
        t->vocab_ids[k] = k < 2 ? k : k + 1; /* 2 is <UNK> */
    }
    for (size_t k = 0; k < N_SENTENCES * (N_TOKENS + 2); k++) {
        size_t p = k % (N_TOKENS + 2);
        t->positions[k] = p == 0              ? 0
                          : p == N_TOKENS + 1 ? 1
                                              : 2 + (uint32_t)(rng_next(&rng) % (N_WORDS - 2));
    }
    t->batch = (struct bilm_batch){N_SENTENCES, N_TOKENS + 1, t->positions,
                                   t->words,    t->vocab_ids, N_WORDS};
}

static void training_init(struct training *t, size_t threads)
{
    *t = (struct training){0};
    make_batch(t);
    assert_int_equal(net_init(&t->net, &options, N_WORDS + 1, NULL), 0);
    assert_int_equal(team_new(&t->team, threads, NULL), 0);
    assert_int_equal(bilm_loss_new(&t->loss, &t->net, t->team, NULL), 0);
    assert_int_equal(bilm_eval_new(&t->eval, &t->net, t->team, NULL), 0);
    assert_int_equal(optimizer_init(&t->optimizer, &t->net, t->team, MOMENTS_FULL, NULL), 0);
    t->values = calloc(net_size(&t->net), sizeof(real));
    t->gradients = calloc(t->net.n_dense, sizeof(real));
    assert_true(t->values && t->gradients);
    net_randomize(&t->net, t->values, 3);
}

static void training_done(struct training *t)
{
    optimizer_done(&t->optimizer);
    bilm_eval_free(t->eval);
    bilm_loss_free(t->loss);
    team_free(t->team);
    net_done(&t->net);
    free(t->values);
    free(t->gradients);
}

static double train_step(struct training *t, double dropout, uint64_t seed)
{
    struct bilm_result result;
    const struct bilm_settings settings = {20, dropout, seed};
    const struct optimizer_settings step = {5e-3, 1};
    assert_int_equal(
        bilm_loss_run(t->loss, &result, t->gradients, t->values, &t->batch, &settings, NULL), 0);
    return optimizer_step(&t->optimizer, t->values, t->gradients, &result, &step);
}

static double perplexity(struct training *t)
{
    struct bilm_score score = {0};
    assert_int_equal(bilm_eval_add(t->eval, &score, t->values, &t->batch, NULL), 0);
    assert_int_equal(score.n_predictions, N_SENTENCES * (N_TOKENS + 1));
    return bilm_joint_perplexity(&score);
}

static void learn_by_heart(enum precision precision)
{
    struct training t;
    training_init(&t, 2);
    double before = perplexity(&t);
    products_use(precision);
    for (uint64_t step = 0; step < 400; step++)
        train_step(&t, 0, step);
    products_use(PRECISION_F32);
    double after = perplexity(&t);
    printf("joint perplexity, %s: %.1f before, %.3f after\n", precision_name(precision), before,
           after);
    /* The first words of ten random sentences cannot be known: log(10) nats in 2 of 16 predictions
     * at most. */
    assert_true(before > 20);
    assert_true(after < 1.5);
    training_done(&t);
}

static void ten_sentences_are_learnt_by_heart(void **state)
{
    (void)state;
    learn_by_heart(PRECISION_F32);
    learn_by_heart(PRECISION_BF16);
}

/* |a - b| / |a|, of a tensor. */
static double distance(const real *a, const real *b, size_t n)
{
    double difference = 0, whole = 0;
    for (size_t k = 0; k < n; k++) {
        difference += (double)((a[k] - b[k]) * (a[k] - b[k]));
        whole += (double)(a[k] * a[k]);
    }
    return sqrt(difference / (whole + 1e-30));
}

/* A factor is rounded by at most 2^-9; a few of them lie behind each other. */
static void gradients_in_bf16_are_near_those_in_f32(void **state)
{
    (void)state;
    struct training f32, bf16;
    double worst = 0;
    training_init(&f32, 2);
    training_init(&bf16, 2);
    train_step(&f32, 0, 0);
    products_use(PRECISION_BF16);
    train_step(&bf16, 0, 0);
    products_use(PRECISION_F32);
    for (size_t k = 0; f32.net.offsets[k] < f32.net.n_dense; k++) {
        size_t begin = f32.net.offsets[k], n = f32.net.offsets[k + 1] - begin;
        worst = fmax(worst, distance(f32.gradients + begin, bf16.gradients + begin, n));
    }
    printf("worst tensor: %.2e of its gradient\n", worst);
    assert_true(worst > 0 && worst < 0.05);
    training_done(&f32);
    training_done(&bf16);
}

static void names_of_precisions_are_read_back(void **state)
{
    (void)state;
    enum precision precision;
    for (int k = PRECISION_F32; k <= PRECISION_BF16; k++) {
        assert_true(precision_parse(&precision, precision_name((enum precision)k)));
        assert_int_equal(precision, k);
    }
    assert_false(precision_parse(&precision, "f16"));
    assert_false(precision_parse(&precision, ""));
}

static void the_same_seed_and_threads_give_the_same_bits(void **state)
{
    (void)state;
    struct training a, b, other;
    training_init(&a, 2);
    training_init(&b, 2);
    training_init(&other, 2);
    for (uint64_t step = 0; step < 10; step++) {
        train_step(&a, 0.2, step);
        train_step(&b, 0.2, step);
        train_step(&other, 0.2, step + 1);
    }
    size_t n_bytes = net_size(&a.net) * sizeof(real);
    assert_memory_equal(a.values, b.values, n_bytes);
    assert_memory_not_equal(a.values, other.values, n_bytes);
    training_done(&a);
    training_done(&b);
    training_done(&other);
}

static void thread_counts_agree_but_for_rounding(void **state)
{
    (void)state;
    struct training one, three;
    double worst = 0;
    training_init(&one, 1);
    training_init(&three, 3);
    for (uint64_t step = 0; step < 3; step++) {
        train_step(&one, 0.2, step);
        train_step(&three, 0.2, step);
    }
    for (size_t k = 0; k < one.net.n_dense; k++)
        worst = fmax(worst, fabs((double)(one.values[k] - three.values[k])));
    printf("1 and 3 threads, 3 steps: weights differ by at most %.1e\n", worst);
    assert_true(worst < 1e-3);
    training_done(&one);
    training_done(&three);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    struct training t;
    struct net_tensors w;
    training_init(&t, 2);
    net_tensors(&w, &t.net, t.values);
    w.lstm[0][0].w_proj[0] = NAN;
    size_t n_bytes = net_size(&t.net) * sizeof(real);
    real *before = malloc(n_bytes);
    assert_non_null(before);
    memcpy(before, t.values, n_bytes);
    double norm = train_step(&t, 0, 1);
    assert_true(!isfinite(norm));
    assert_memory_equal(before, t.values, n_bytes);
    assert_int_equal(t.optimizer.n_steps, 0);
    free(before);
    training_done(&t);
}

static struct bilm_result losses_of(struct training *t, double dropout, uint64_t seed,
                                    uint64_t rank)
{
    struct bilm_result result;
    const struct bilm_settings settings = {20, dropout, seed, rank};
    assert_int_equal(
        bilm_loss_run(t->loss, &result, t->gradients, t->values, &t->batch, &settings, NULL), 0);
    return result;
}

/* The samples are those of the seed on every rank; what is dropped is the rank's own. */
static void ranks_share_samples_but_not_the_dropout(void **state)
{
    (void)state;
    struct training t;
    training_init(&t, 2);
    struct bilm_result first = losses_of(&t, 0, 5, 0), second = losses_of(&t, 0, 5, 1);
    assert_true(first.loss[0] == second.loss[0] && first.loss[1] == second.loss[1]);
    first = losses_of(&t, 0.5, 5, 0);
    for (uint64_t rank = 1; rank < 4; rank++) {
        second = losses_of(&t, 0.5, 5, rank);
        assert_true(first.loss[0] != second.loss[0] && first.loss[1] != second.loss[1]);
        first = second;
    }
    training_done(&t);
}

/* ---- The engine ---- */

static void engine_of(struct engine **ret_engine, struct engine_state *ret_state,
                      const struct training *t, const struct engine_settings *settings)
{
    assert_int_equal(engine_new(ret_engine, &t->net, t->team, settings, NULL), 0);
    assert_int_equal(engine_download(*ret_engine, ret_state, NULL), 0);
    net_randomize(&t->net, ret_state->values, 3);
    assert_int_equal(engine_upload(*ret_engine, ret_state, NULL), 0);
}

static void an_engine_makes_the_steps_of_its_parts(void **state)
{
    (void)state;
    static const struct engine_settings settings = {PRECISION_BF16, 0.2, 1, 0.9};
    struct training t;
    struct engine *engine;
    struct engine_state found;
    struct weight_average average;
    training_init(&t, 2);
    optimizer_done(&t.optimizer);
    assert_int_equal(optimizer_init(&t.optimizer, &t.net, t.team, MOMENTS_COMPACT, NULL), 0);
    engine_of(&engine, &found, &t, &settings);
    size_t n = net_size(&t.net), n_bytes = n * sizeof(real);
    assert_int_equal(weight_average_init(&average, n, 0.9, NULL), 0);
    assert_memory_equal(found.average->values, t.values, n_bytes); /* before the first step */
    weight_average_begin(&average, t.values);
    for (uint64_t seed = 0; seed < 2 * WEIGHT_AVERAGE_EVERY; seed++) {
        struct engine_result result;
        const struct engine_step step = {5e-3, 20, seed};
        assert_int_equal(engine_step(engine, &result, &t.batch, &step, NULL), 0);
        products_use(PRECISION_BF16);
        double norm = train_step(&t, 0.2, seed);
        products_use(PRECISION_F32);
        weight_average_step(&average, t.values, t.team);
        assert_true(result.norm == norm);
        assert_true(result.loss > 0.5 && result.loss < 4.5); /* of 30 words: log(30) is 3.4 */
    }
    assert_int_equal(engine_download(engine, &found, NULL), 0);
    assert_memory_equal(found.values, t.values, n_bytes);
    assert_memory_equal(found.optimizer->compact_first, t.optimizer.compact_first,
                        t.net.n_dense * sizeof(moment));
    assert_int_equal(found.optimizer->n_steps, t.optimizer.n_steps);
    assert_int_equal(found.average->n_steps, average.n_steps);
    assert_memory_equal(found.average->values, average.values, n_bytes);
    assert_memory_not_equal(found.average->values, t.values, n_bytes);
    weight_average_done(&average);
    engine_free(engine);
    training_done(&t);
}

static void an_engine_without_an_average_has_none(void **state)
{
    (void)state;
    static const struct engine_settings settings = {PRECISION_F32, 0, 1, 0};
    struct training t;
    struct engine *engine;
    struct engine_state found;
    struct engine_result result;
    const struct engine_step step = {5e-3, 20, 1};
    training_init(&t, 1);
    engine_of(&engine, &found, &t, &settings);
    assert_null(found.average);
    assert_int_equal(engine_step(engine, &result, &t.batch, &step, NULL), 0);
    found.values = t.values; /* not its own */
    assert_int_equal(engine_upload(engine, &found, NULL), ELMO_E_INVALID);
    engine_free(engine);
    engine_free(NULL);
    training_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_sentences_are_learnt_by_heart),
        cmocka_unit_test(gradients_in_bf16_are_near_those_in_f32),
        cmocka_unit_test(names_of_precisions_are_read_back),
        cmocka_unit_test(the_same_seed_and_threads_give_the_same_bits),
        cmocka_unit_test(thread_counts_agree_but_for_rounding),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(ranks_share_samples_but_not_the_dropout),
        cmocka_unit_test(an_engine_makes_the_steps_of_its_parts),
        cmocka_unit_test(an_engine_without_an_average_has_none),
    };
    kernels_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

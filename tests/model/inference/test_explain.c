/* Attributions: against brute force on random heads of every shape; that they and the bias sum to
 * the logit, on random heads and on the model that ships; the logit is that of the probabilities;
 * the same bits among neighbours. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "file/model_file.h"
#include "reference/naive.h"
#include "reference/outputs.h"
#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"

#define MAX_TOKENS 7
#define MAX_LABELS 4
#define N_STEPS    400

/* |sum of attributions + bias - logit| over what is summed: float32's rounding of the head's own
 * products. */
#define COMPLETENESS 2e-6

/* A random model with a head, open; owned: sample_done. */
static struct sample {
    struct random_model random;
    struct elmo_model *model;
    struct elmo_session *session;
} sample;

static void sample_open(void)
{
    struct elmo_error err = {0};
    AUTO(mem_free) char *path = temp_path(&group_dir, "model.safetensors");
    if (random_model_write(&sample.random, path, &err) ||
        elmo_model_open(&sample.model, path, NULL, &err) ||
        elmo_session_new(&sample.session, sample.model, &err))
        fail_msg("%s", err.message);
}

/* The next random model that has a head. */
static void sample_init(struct rng *rng)
{
    do {
        random_model_init(&sample.random, rng);
        if (!sample.random.has_head)
            random_model_done(&sample.random);
    } while (!sample.random.has_head);
    sample_open();
}

static void sample_done(void)
{
    elmo_session_free(sample.session);
    elmo_model_free(sample.model);
    random_model_done(&sample.random);
}

static const struct elmo_token words[] = {{"a", 1}, {"film", 4}, {"not", 3}, {"great", 5}, {"", 0},
                                          {".", 1}, {"the", 3},  {"bad", 3}, {"A", 1}};

/* None more than twice, see naive_attributions. */
static size_t random_tokens(struct elmo_token tokens[MAX_TOKENS], struct rng *rng)
{
    size_t n = rng_below(rng, MAX_TOKENS + 1), counts[ARRAY_LEN(words)] = {0};
    for (size_t t = 0; t < n; t++) {
        size_t word;
        do
            word = rng_below(rng, ARRAY_LEN(words));
        while (counts[word] == 2);
        counts[word]++;
        tokens[t] = words[word];
    }
    return n;
}

struct answer {
    float probabilities[MAX_LABELS], attributions[MAX_TOKENS + 3]; /* one more, to stay NaN */
};

static void explain(struct answer *a, const struct elmo_token *tokens, size_t n)
{
    struct elmo_error err = {0};
    for (size_t t = 0; t < ARRAY_LEN(a->attributions); t++)
        a->attributions[t] = NAN;
    const struct elmo_sentence s = {.tokens = tokens,
                                    .n_tokens = n,
                                    .probabilities = a->probabilities,
                                    .attributions = a->attributions};
    if (elmo_session_run(sample.session, &s, 1, &err))
        fail_msg("%s", err.message);
    assert_true(isnan(a->attributions[n + 2]));
}

/* How far the sum is off, as a part of what is summed. */
static double incompleteness(const float *attributions, size_t n)
{
    double sum = (double)attributions[n], size = 1 + fabs(sum);
    for (size_t t = 0; t < n; t++) {
        sum += (double)attributions[t];
        size += fabs((double)attributions[t]);
    }
    return fabs(sum - (double)attributions[n + 1]) / size;
}

/* ---- Random heads ---- */

static void attributions_are_those_of_brute_force(void **state)
{
    (void)state;
    double worst = 0;
    size_t n_compared = 0;
    struct rng rng = {1};
    bool seen[3][2][2] = {{{false}}}; /* pooling, all layers, n-grams */
    for (size_t k = 0; k < 80; k++) {
        struct elmo_token tokens[MAX_TOKENS];
        struct naive_sentence s;
        struct answer a;
        sample_init(&rng);
        const struct random_model *m = &sample.random;
        const struct naive_model naive = {&m->options, &m->weights};
        const struct naive_head head = {m->pooling, m->head.all_layers, m->ngram_order};
        size_t n = random_tokens(tokens, &rng);
        naive_run(&s, &naive, tokens, n, NULL);
        AUTO(mem_free) double *expected = naive_attributions(&naive, &s, tokens, &head, N_STEPS);
        explain(&a, tokens, n);
        n_compared += expected != NULL;
        for (size_t t = 0; t < n + 2 && expected; t++) {
            /* A step in which a unit opens is a part of the way too much or too little; the head's
             * weights are of order 1. */
            double error = fabs((double)a.attributions[t] - expected[t]);
            worst = fmax(worst, error / (1 + fabs(expected[t])));
            if (!(error <= (t < n ? 2e-3 : 1e-5) * (1 + fabs(expected[t]))))
                fail_msg("model %zu, token %zu of %zu: %.6g, expected %.6g", k, t, n,
                         (double)a.attributions[t], expected[t]);
        }
        seen[m->pooling][m->head.all_layers][m->ngram_order > 0] |= expected != NULL;
        naive_sentence_done(&s);
        sample_done();
    }
    print_message("%zu random heads against %d steps of quadrature: max error %.1e\n", n_compared,
                  N_STEPS, worst);
    assert_true(n_compared > 60);
    for (size_t k = 0; k < 12; k++)
        assert_true(seen[k / 4][k / 2 % 2][k % 2]);
}

/* The logit is the one that the probabilities come from. */
static double logit_of_probabilities(const float *p, size_t n)
{
    size_t best = 0;
    double mean = 0;
    for (size_t k = 0; k < n; k++) {
        best = p[k] > p[best] ? k : best;
        mean += log((double)p[k]) / (double)n;
    }
    return n == 2 ? log((double)p[1] / (double)p[0]) : log((double)p[best]) - mean;
}

static void attributions_and_bias_sum_to_the_logit(void **state)
{
    (void)state;
    double worst = 0, worst_logit = 0;
    struct rng rng = {2};
    for (size_t k = 0; k < 300; k++) {
        struct elmo_token tokens[MAX_TOKENS];
        struct answer a, empty;
        sample_init(&rng);
        size_t n = random_tokens(tokens, &rng);
        explain(&a, tokens, n);
        explain(&empty, NULL, 0);
        worst = fmax(worst, incompleteness(a.attributions, n));
        assert_true(empty.attributions[0] == empty.attributions[1]); /* the bias, to the bit */
        size_t n_labels = elmo_model_info(sample.model)->n_labels;
        if (n_labels == 2)
            assert_true(a.attributions[n] == empty.attributions[0]);
        double logit = logit_of_probabilities(a.probabilities, n_labels);
        worst_logit = fmax(worst_logit, fabs((double)a.attributions[n + 1] - logit));
        assert_string_equal(elmo_model_info(sample.model)->explained_by, "integrated_gradients");
        sample_done();
    }
    print_message("300 random heads: sums off by %.1e, logits by %.1e\n", worst, worst_logit);
    assert_true(worst <= COMPLETENESS);
    assert_true(worst_logit <= 1e-4);
}

/* ---- Heads of n-grams alone ---- */

static void zero(const char *name)
{
    const struct named_tensor *t = tensor_set_find(&sample.random.weights, name);
    memset(t->values, 0, t->n_values * sizeof *t->values);
}

static void a_head_without_hidden_units_is_linear(void **state)
{
    (void)state;
    static const struct options o = {.char_dim = 2,
                                     .max_chars = 8,
                                     .n_char_filters = 1,
                                     .char_filters = {{1, 4}},
                                     .filter_dim = 4,
                                     .n_layers = 1,
                                     .cell_dim = 3,
                                     .proj_dim = 4};
    const struct head_shape head = {
        .input_dim = 8, .hidden_dim = 2, .output_dim = 1, .n_ngram_rows = 1 << 16};
    struct rng rng = {7};
    struct answer twice, once;
    random_model_init_with(&sample.random, &rng, &o, &head, ELMO_POOL_MEAN, true);
    sample.random.ngram_order = 1;
    zero(HEAD_DENSE_2_KERNEL);
    sample_open();
    assert_string_equal(elmo_model_info(sample.model)->explained_by, "linear");
    const struct elmo_token tokens[] = {{"bad", 3}, {"film", 4}, {"BAD", 3}};
    explain(&twice, tokens, 3);
    explain(&once, tokens, 2);
    /* A word's weight counts once, and where it stands twice each has half of it. */
    assert_true(twice.attributions[0] == once.attributions[0] / 2);
    assert_true(twice.attributions[2] == twice.attributions[0]);
    assert_true(twice.attributions[1] == once.attributions[1]);
    assert_true(twice.attributions[3] == once.attributions[2]);
    assert_true(fabsf(twice.attributions[4] - once.attributions[3]) < 1e-6f);
    sample_done();
}

/* ---- Beside other work ---- */

static void neighbours_change_no_bit(void **state)
{
    (void)state;
    struct rng rng = {9};
    for (size_t k = 0; k < 60; k++) {
        struct elmo_token tokens[2][MAX_TOKENS];
        struct answer alone[2], together[2];
        struct elmo_sentence batch[2] = {{0}};
        sample_init(&rng);
        for (size_t i = 0; i < 2; i++) {
            size_t n = random_tokens(tokens[i], &rng);
            explain(&alone[i], tokens[i], n);
            batch[i] = (struct elmo_sentence){
                .tokens = tokens[i], .n_tokens = n, .attributions = together[i].attributions};
        }
        assert_int_equal(elmo_session_run(sample.session, batch, 2, NULL), 0);
        for (size_t i = 0; i < 2; i++)
            assert_memory_equal(alone[i].attributions, together[i].attributions,
                                (batch[i].n_tokens + 2) * sizeof(float));
        sample_done();
    }
}

static void memory_that_runs_out_is_reported(void **state)
{
    (void)state;
    struct rng rng = {10};
    static struct elmo_token many[3000];
    static float attributions[ARRAY_LEN(many) + 2];
    for (size_t t = 0; t < ARRAY_LEN(many); t++)
        many[t] = words[rng_below(&rng, ARRAY_LEN(words))];
    do {
        sample_init(&rng);
        if (!sample.random.ngram_order)
            sample_done();
    } while (!sample.random.ngram_order);
    size_t n_failed = 1;
    for (size_t n_good = 0; n_failed; n_good++) {
        struct elmo_session *session = NULL;
        assert_int_equal(elmo_session_new(&session, sample.model, NULL), 0);
        const struct elmo_sentence s = {
            .tokens = many, .n_tokens = ARRAY_LEN(many), .attributions = attributions};
        fail_alloc_after(n_good);
        int r = elmo_session_run(session, &s, 1, NULL);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        elmo_session_free(session);
    }
    assert_true(incompleteness(attributions, ARRAY_LEN(many)) <= COMPLETENESS);
    sample_done();
}

static void a_model_without_a_head_explains_nothing(void **state)
{
    (void)state;
    struct elmo_model *model = NULL;
    struct elmo_session *session = NULL;
    struct elmo_error err = {0};
    float attributions[2];
    AUTO(mem_free) char *path = source_path("tests/golden/no_projections.safetensors");
    const struct elmo_sentence s = {.attributions = attributions};
    assert_int_equal(elmo_model_open(&model, path, NULL, NULL), 0);
    assert_null(elmo_model_info(model)->explained_by);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    assert_int_equal(elmo_session_run(session, &s, 1, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "no sentiment head"));
    elmo_session_free(session);
    elmo_model_free(model);
}

/* ---- The model that ships ---- */

static const char *const reviews[] = {
    "I loved every minute of this movie!",
    "Dull, slow and far too long.",
    "Not bad at all, but not good either; the acting was wooden and the ending a surprise.",
    "",
    "terrible",
};

/* The text again and again, as long reviews are. */
static char *repeated(const char *text, size_t n)
{
    size_t length = strlen(text) + 1;
    char *all = must_calloc(n * length + 1, 1);
    for (size_t k = 0; k < n; k++)
        snprintf(all + k * length, length + 1, "%s ", text);
    return all;
}

static void the_shipped_model_s_attributions_sum_to_its_logit(void **state)
{
    (void)state;
    double worst = 0;
    for (enum elmo_dtype dtype = ELMO_DTYPE_F32; dtype <= ELMO_DTYPE_INT8; dtype++) {
        struct elmo_model *model = NULL;
        struct elmo_session *session = NULL;
        const struct elmo_model_settings settings = {.dtype = dtype};
        assert_int_equal(elmo_model_open_default(&model, &settings, NULL), 0);
        assert_int_equal(elmo_session_new(&session, model, NULL), 0);
        for (size_t k = 0; k < ARRAY_LEN(reviews); k++)
            for (size_t times = 1; times <= 60; times += 59) {
                size_t n;
                float probabilities[2];
                AUTO(mem_free) char *text = repeated(reviews[k], times);
                AUTO(mem_free) struct elmo_token *tokens = NULL;
                assert_int_equal(elmo_tokenize(model, text, strlen(text), &tokens, &n, NULL), 0);
                AUTO(mem_free) float *attributions = must_calloc(n + 2, sizeof *attributions);
                const struct elmo_sentence s = {.tokens = tokens,
                                                .n_tokens = n,
                                                .probabilities = probabilities,
                                                .attributions = attributions};
                assert_int_equal(elmo_session_run(session, &s, 1, NULL), 0);
                worst = fmax(worst, incompleteness(attributions, n));
                double logit = (double)attributions[n + 1];
                assert_true(fabs(1 / (1 + exp(-logit)) - (double)probabilities[1]) < 1e-6);
            }
        elmo_session_free(session);
        elmo_model_free(model);
    }
    print_message("the shipped model: sums off by %.1e\n", worst);
    assert_true(worst <= COMPLETENESS);
}

static void words_of_praise_and_blame_have_their_signs(void **state)
{
    (void)state;
    struct elmo_model *model = NULL;
    struct elmo_session *session = NULL;
    const struct elmo_token tokens[] = {{"a", 1},   {"wonderful", 9}, {"story", 5}, {",", 1},
                                        {"but", 3}, {"awful", 5},     {"acting", 6}};
    float attributions[ARRAY_LEN(tokens) + 2];
    const struct elmo_sentence s = {
        .tokens = tokens, .n_tokens = ARRAY_LEN(tokens), .attributions = attributions};
    assert_int_equal(elmo_model_open_default(&model, NULL, NULL), 0);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    assert_int_equal(elmo_session_run(session, &s, 1, NULL), 0);
    assert_true(attributions[1] > 0.1f);
    assert_true(attributions[5] < -0.1f);
    elmo_session_free(session);
    elmo_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributions_are_those_of_brute_force),
        cmocka_unit_test(attributions_and_bias_sum_to_the_logit),
        cmocka_unit_test(a_head_without_hidden_units_is_linear),
        cmocka_unit_test(neighbours_change_no_bit),
        cmocka_unit_test(memory_that_runs_out_is_reported),
        cmocka_unit_test(a_model_without_a_head_explains_nothing),
        cmocka_unit_test(the_shipped_model_s_attributions_sum_to_its_logit),
        cmocka_unit_test(words_of_praise_and_blame_have_their_signs),
    };
    return cmocka_run_group_tests_name("explain", tests, group_dir_init, group_dir_done);
}

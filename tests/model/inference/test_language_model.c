/* Scores of words: elmo_session_run against the naive reference, in every type that is computed in,
 * with vocabularies around the sizes of blocks; the same bits alone, among neighbours and on any
 * number of threads; softmax files that do not fit; memory that runs out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/packed.h"
#include "reference/naive.h"
#include "reference/outputs.h"
#include "reference/random_model.h"
#include "reference/random_softmax.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "text/vocabulary.h"

#define MAX_TOKENS  9
#define N_SENTENCES 5
#define UNKNOWN     "a word that no vocabulary has"

/* A model, its softmax and a few sentences; owned: sample_done. */
static struct sample {
    struct random_model random;
    struct random_softmax softmax;
    char *model_path, *softmax_path;
    char words[N_SENTENCES][MAX_TOKENS][40];
    struct elmo_token tokens[N_SENTENCES][MAX_TOKENS];
    size_t rows[N_SENTENCES][MAX_TOKENS + 1]; /* of the tokens, and room for the end */
    size_t n_tokens[N_SENTENCES];
} sample;

/* Known words, unknown ones and the marks. */
static void random_token(size_t k, size_t t, struct rng *rng)
{
    size_t V = sample.softmax.vocabulary.n_items, row = rng_below(rng, V);
    char *word = sample.words[k][t];
    if (rng_chance(rng, 20))
        row = VOCAB_UNKNOWN;
    const struct elmo_token *known = &sample.softmax.vocabulary.items[row];
    snprintf(word, sizeof sample.words[k][t], "%.*s", (int)known->n_bytes, known->bytes);
    if (row == VOCAB_UNKNOWN && rng_chance(rng, 80))
        strcpy(word, UNKNOWN);
    sample.tokens[k][t] = (struct elmo_token){word, strlen(word)};
    sample.rows[k][t] = row;
}

static void sample_init(uint64_t seed, size_t V, const struct options *options)
{
    struct rng rng = {seed};
    struct elmo_error err = {0};
    sample.model_path = temp_path(&group_dir, "model.safetensors");
    sample.softmax_path = temp_path(&group_dir, "softmax.safetensors");
    if (options)
        random_model_init_with(&sample.random, &rng, options, NULL, ELMO_POOL_MEAN, true);
    else
        random_model_init(&sample.random, &rng);
    random_softmax_init(&sample.softmax, &rng, V, sample.random.options.proj_dim,
                        rng_chance(&rng, 20) ? 40 : 3);
    if (random_model_write(&sample.random, sample.model_path, &err) ||
        random_softmax_write(&sample.softmax, sample.model_path, sample.softmax_path, &err))
        fail_msg("%s", err.message);
    for (size_t k = 0; k < N_SENTENCES; k++) {
        sample.n_tokens[k] = k ? rng_below(&rng, MAX_TOKENS + 1) : 0; /* one is empty */
        for (size_t t = 0; t < sample.n_tokens[k]; t++)
            random_token(k, t, &rng);
    }
}

static void sample_done(void)
{
    random_model_done(&sample.random);
    random_softmax_done(&sample.softmax);
    free(sample.model_path);
    free(sample.softmax_path);
}

static struct elmo_model *open_model(enum elmo_dtype dtype, const char *kernel)
{
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    const struct elmo_model_settings settings = {
        .dtype = dtype, .kernel = kernel, .softmax = sample.softmax_path};
    if (elmo_model_open(&model, sample.model_path, &settings, &err))
        fail_msg("%s", err.message);
    return model;
}

static struct elmo_session *new_session(const struct elmo_model *model, size_t n_threads)
{
    struct elmo_session *session = NULL;
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    assert_int_equal(elmo_session_set_threads(session, n_threads, NULL), 0);
    return session;
}

/* [sentence][direction][token or end]; what is not written stays NaN. */
struct scores {
    float log_probs[N_SENTENCES][2][MAX_TOKENS + 2];
};

/* Sentences [first, first + n) together, the directions in the set `directions` (1, 2 or 3). */
static void run(struct scores *ret_scores, struct elmo_session *session, size_t first, size_t n,
                unsigned directions)
{
    struct elmo_sentence batch[N_SENTENCES] = {{0}};
    struct elmo_error err = {0};
    for (size_t k = first; k < first + n; k++) {
        batch[k].tokens = sample.tokens[k];
        batch[k].n_tokens = sample.n_tokens[k];
        for (unsigned d = 0; d < 2; d++) {
            for (size_t t = 0; t < MAX_TOKENS + 2; t++)
                ret_scores->log_probs[k][d][t] = NAN;
            batch[k].log_probs[d] = directions >> d & 1 ? ret_scores->log_probs[k][d] : NULL;
        }
    }
    if (elmo_session_run(session, batch + first, n, &err))
        fail_msg("%s", err.message);
}

static void add_differences(struct difference *difference, const struct scores *found)
{
    const struct naive_model naive = {&sample.random.options, &sample.random.weights};
    static const size_t ends[] = {VOCAB_EOS, VOCAB_BOS};
    for (size_t k = 0; k < N_SENTENCES; k++) {
        struct naive_sentence s;
        size_t n = sample.n_tokens[k];
        naive_run(&s, &naive, sample.tokens[k], n, NULL);
        for (unsigned d = 0; d < 2; d++) {
            sample.rows[k][n] = ends[d];
            AUTO(mem_free)
            double *expected = naive_log_probs(&naive, &s, d, sample.rows[k], sample.softmax.w,
                                               sample.softmax.b, sample.softmax.vocabulary.n_items);
            difference_add(difference, found->log_probs[k][d], expected, n + 1);
            assert_true(isnan(found->log_probs[k][d][n + 1]));
        }
        naive_sentence_done(&s);
    }
}

/* ---- The numbers ---- */

static const size_t sizes[] = {3, 4, 17, 63, 64, 65, 511, 512, 513, 1024, 1500};

static void scores_are_the_reference_s(void **state)
{
    (void)state;
    struct difference difference = {0};
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct scores scores;
        sample_init(seed, sizes[seed % ARRAY_LEN(sizes)], NULL);
        struct elmo_model *model = open_model(ELMO_DTYPE_F32, NULL);
        struct elmo_session *session = new_session(model, 1);
        assert_int_equal(elmo_model_info(model)->n_words, sizes[seed % ARRAY_LEN(sizes)]);
        run(&scores, session, 0, N_SENTENCES, 3);
        add_differences(&difference, &scores);
        elmo_session_free(session);
        elmo_model_free(model);
        sample_done();
        if (!(difference.scaled <= 1e-5))
            fail_msg("seed %llu: %.1e", (unsigned long long)seed, difference.scaled);
    }
    print_message("60 random models, f32: max error %.1e\n", difference.scaled);
}

static const struct options wide = {.char_dim = 3,
                                    .max_chars = 8,
                                    .n_char_filters = 1,
                                    .char_filters = {{2, 90}},
                                    .filter_dim = 90,
                                    .n_layers = 2,
                                    .cell_dim = 70,
                                    .proj_dim = 90,
                                    .cell_clip = 1,
                                    .proj_clip = 1,
                                    .skip_connections = true};

static void every_kernel_and_type_is_near_the_reference(void **state)
{
    (void)state;
    static const double bounds[] = {1e-5, 0.03, 0.3}; /* f32, bf16, int8: as exact as their types */
    sample_init(5, 1500, &wide);
    for (size_t k = 0; kernel_at(k); k++)
        for (enum elmo_dtype dtype = ELMO_DTYPE_F32; dtype <= ELMO_DTYPE_INT8; dtype++) {
            struct difference difference = {0};
            struct scores scores;
            if (!kernel_is_supported(kernel_at(k)))
                continue;
            struct elmo_model *model = open_model(dtype, cpu_set_name(kernel_at(k)->set));
            struct elmo_session *session = new_session(model, 1);
            run(&scores, session, 0, N_SENTENCES, 3);
            add_differences(&difference, &scores);
            print_message("%s, type %d: max error %.1e\n", cpu_set_name(kernel_at(k)->set),
                          (int)dtype, difference.absolute);
            assert_true(difference.absolute <= bounds[dtype]);
            elmo_session_free(session);
            elmo_model_free(model);
        }
    sample_done();
}

/* exp(log p) over all words that might come next is 1. */
static void probabilities_of_all_words_sum_to_one(void **state)
{
    (void)state;
    enum { V = 600 };
    sample_init(11, V, &wide);
    struct elmo_model *model = open_model(ELMO_DTYPE_F32, NULL);
    struct elmo_session *session = new_session(model, 1);
    double sums[2] = {0};
    for (size_t row = 0; row < V; row++) {
        float forward[3], backward[3], end[1];
        const struct elmo_token *word = &sample.softmax.vocabulary.items[row];
        const struct elmo_token left[] = {sample.softmax.vocabulary.items[7], *word},
                                right[] = {*word, sample.softmax.vocabulary.items[9]};
        const struct elmo_sentence batch[] = {
            {.tokens = left, .n_tokens = 2, .log_probs = {forward}},
            {.tokens = right, .n_tokens = 2, .log_probs = {NULL, backward}},
            {.log_probs = {end}}};
        assert_int_equal(elmo_session_run(session, batch, ARRAY_LEN(batch), NULL), 0);
        sums[0] += exp((double)forward[1]);
        sums[1] += exp((double)backward[0]);
    }
    assert_true(fabs(sums[0] - 1) < 1e-5 && fabs(sums[1] - 1) < 1e-5);
    elmo_session_free(session);
    elmo_model_free(model);
    sample_done();
}

/* ---- The same bits ---- */

static void assert_same(const struct scores *a, const struct scores *b, unsigned directions)
{
    for (size_t k = 0; k < N_SENTENCES; k++)
        for (unsigned d = 0; d < 2; d++)
            if (directions >> d & 1)
                assert_memory_equal(a->log_probs[k][d], b->log_probs[k][d],
                                    (sample.n_tokens[k] + 1) * sizeof(float));
}

static void neighbours_threads_and_directions_change_no_bit(void **state)
{
    (void)state;
    static const size_t n_threads[] = {1, 2, 3, 5};
    for (enum elmo_dtype dtype = ELMO_DTYPE_F32; dtype <= ELMO_DTYPE_INT8; dtype++) {
        struct scores together, others;
        sample_init(20 + (uint64_t)dtype, 1500, &wide);
        struct elmo_model *model = open_model(dtype, NULL);
        struct elmo_session *session = new_session(model, 1);
        run(&together, session, 0, N_SENTENCES, 3);
        for (size_t k = 0; k < N_SENTENCES; k++)
            run(&others, session, k, 1, 3);
        assert_same(&together, &others, 3);
        for (unsigned directions = 1; directions <= 2; directions++) {
            run(&others, session, 0, N_SENTENCES, directions);
            assert_same(&together, &others, directions);
        }
        elmo_session_free(session);
        for (size_t k = 0; k < ARRAY_LEN(n_threads); k++) {
            session = new_session(model, n_threads[k]);
            run(&others, session, 0, N_SENTENCES, 3);
            assert_same(&together, &others, 3);
            elmo_session_free(session);
        }
        elmo_model_free(model);
        sample_done();
    }
}

/* More rows than are multiplied at once, so that chunks meet; each sentence as it is alone. */
static void a_large_batch_has_the_bits_of_its_sentences(void **state)
{
    (void)state;
    enum { N = 400 };
    static float forward[N][4], backward[N][4], alone[2][4];
    static struct elmo_sentence batch[N];
    sample_init(31, 700, &wide);
    struct elmo_model *model = open_model(ELMO_DTYPE_BF16, NULL);
    struct elmo_session *session = new_session(model, 2);
    const struct elmo_token *words = sample.softmax.vocabulary.items;
    for (size_t k = 0; k < N; k++)
        batch[k] = (struct elmo_sentence){
            .tokens = words + k, .n_tokens = k % 4, .log_probs = {forward[k], backward[k]}};
    assert_int_equal(elmo_session_run(session, batch, N, NULL), 0);
    for (size_t k = 0; k < N; k += 7) {
        struct elmo_sentence s = batch[k];
        s.log_probs[0] = alone[0];
        s.log_probs[1] = alone[1];
        assert_int_equal(elmo_session_run(session, &s, 1, NULL), 0);
        assert_memory_equal(forward[k], alone[0], (k % 4 + 1) * sizeof(float));
        assert_memory_equal(backward[k], alone[1], (k % 4 + 1) * sizeof(float));
    }
    elmo_session_free(session);
    elmo_model_free(model);
    sample_done();
}

/* ---- What there is not ---- */

static void words_that_the_vocabulary_lacks_are_told(void **state)
{
    (void)state;
    struct elmo_model *bare = NULL;
    const struct elmo_token unknown = {UNKNOWN, strlen(UNKNOWN)}, empty = {NULL, 0};
    sample_init(40, 20, &wide);
    struct elmo_model *model = open_model(ELMO_DTYPE_F32, NULL);
    for (size_t row = 0; row < 20; row++)
        assert_int_equal(elmo_model_knows(model, &sample.softmax.vocabulary.items[row]),
                         row != VOCAB_UNKNOWN);
    assert_false(elmo_model_knows(model, &unknown));
    assert_false(elmo_model_knows(model, &empty));
    assert_true(elmo_model_info(model)->score_cost >= 1);
    elmo_model_free(model);
    assert_int_equal(elmo_model_open(&bare, sample.model_path, NULL, NULL), 0);
    assert_false(elmo_model_knows(bare, &sample.softmax.vocabulary.items[5]));
    assert_int_equal(elmo_model_info(bare)->n_words, 0);
    assert_int_equal(elmo_model_info(bare)->score_cost, 0);
    elmo_model_free(bare);
    sample_done();
}

static void a_model_without_a_softmax_has_no_scores(void **state)
{
    (void)state;
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    float end;
    sample_init(41, 20, &wide);
    const struct elmo_model_settings settings = {.softmax = ""};
    assert_int_equal(elmo_model_open(&model, sample.model_path, &settings, NULL), 0);
    struct elmo_session *session = new_session(model, 1);
    const struct elmo_sentence s = {.log_probs = {NULL, &end}};
    assert_int_equal(elmo_session_run(session, &s, 1, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "no softmax"));
    elmo_session_free(session);
    elmo_model_free(model);
    sample_done();
}

/* ---- Files that do not fit ---- */

static void assert_refused(const char *model, const char *softmax, int status, const char *says)
{
    struct elmo_model *opened = NULL;
    struct elmo_error err = {0};
    const struct elmo_model_settings settings = {.softmax = softmax};
    assert_int_equal(elmo_model_open(&opened, model, &settings, &err), status);
    assert_null(opened);
    if (!strstr(err.message, says) || !strstr(err.message, softmax))
        fail_msg("no \"%s\" or path in \"%s\"", says, err.message);
}

static void a_softmax_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct rng rng = {50};
    struct random_softmax narrow;
    struct options other = wide;
    sample_init(50, 20, &wide);
    AUTO(mem_free) char *path = temp_path(&group_dir, "other.safetensors");
    assert_refused(sample.model_path, "/no/such/file", ELMO_E_IO, "cannot open");
    assert_refused(sample.model_path, sample.model_path, ELMO_E_FORMAT, "not a softmax file");
    random_softmax_init(&narrow, &rng, 20, wide.proj_dim - 1, 1);
    assert_int_equal(random_softmax_write(&narrow, sample.model_path, path, NULL), 0);
    assert_refused(sample.model_path, path, ELMO_E_INVALID, "have 89 weights; the model has 90");
    random_softmax_done(&narrow);
    /* of a model that differs in its weights alone */
    struct random_model stranger;
    random_model_init_with(&stranger, &rng, &other, NULL, ELMO_POOL_MEAN, true);
    assert_int_equal(random_model_write(&stranger, path, NULL), 0);
    assert_refused(path, sample.softmax_path, ELMO_E_INVALID, "another biLM");
    random_model_done(&stranger);
    sample.softmax.w[7 * wide.proj_dim] = INFINITY;
    assert_int_equal(
        random_softmax_write(&sample.softmax, sample.model_path, sample.softmax_path, NULL), 0);
    assert_refused(sample.model_path, sample.softmax_path, ELMO_E_FORMAT, "not finite");
    sample_done();
}

static void scores_that_overflow_are_an_error(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    sample_init(60, 20, &wide);
    for (size_t k = 0; k < 20 * wide.proj_dim; k++)
        sample.softmax.w[k] = 3e38f;
    assert_int_equal(
        random_softmax_write(&sample.softmax, sample.model_path, sample.softmax_path, NULL), 0);
    struct elmo_model *model = open_model(ELMO_DTYPE_F32, NULL);
    struct elmo_session *session = new_session(model, 1);
    float forward[3], backward[3];
    const struct elmo_sentence s = {.tokens = sample.softmax.vocabulary.items + 5,
                                    .n_tokens = 2,
                                    .log_probs = {forward, backward}};
    assert_int_equal(elmo_session_run(session, &s, 1, &err), ELMO_E_NUMERIC);
    elmo_session_free(session);
    elmo_model_free(model);
    sample_done();
}

/* ---- Memory ---- */

static void memory_that_runs_out_is_reported(void **state)
{
    (void)state;
    size_t n_failed = 1;
    sample_init(70, 600, &wide);
    const struct elmo_model_settings settings = {.softmax = sample.softmax_path};
    for (size_t n_good = 0; n_failed; n_good++) {
        struct elmo_model *model = NULL;
        struct elmo_error err = {0};
        fail_alloc_after(n_good);
        int r = elmo_model_open(&model, sample.model_path, &settings, &err);
        n_failed = fail_alloc_stop();
        assert_true(n_failed ? r != 0 : r == 0);
        assert_int_equal(err.status, r);
        elmo_model_free(model);
    }
    struct elmo_model *model = open_model(ELMO_DTYPE_INT8, NULL);
    n_failed = 1;
    for (size_t n_good = 0; n_failed; n_good++) {
        struct scores scores;
        struct elmo_session *session = new_session(model, 1);
        struct elmo_sentence s = {.tokens = sample.tokens[1],
                                  .n_tokens = sample.n_tokens[1],
                                  .log_probs = {scores.log_probs[1][0], scores.log_probs[1][1]}};
        fail_alloc_after(n_good);
        int r = elmo_session_run(session, &s, 1, NULL);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        elmo_session_free(session);
    }
    elmo_model_free(model);
    sample_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_reference_s),
        cmocka_unit_test(every_kernel_and_type_is_near_the_reference),
        cmocka_unit_test(probabilities_of_all_words_sum_to_one),
        cmocka_unit_test(neighbours_threads_and_directions_change_no_bit),
        cmocka_unit_test(a_large_batch_has_the_bits_of_its_sentences),
        cmocka_unit_test(words_that_the_vocabulary_lacks_are_told),
        cmocka_unit_test(a_model_without_a_softmax_has_no_scores),
        cmocka_unit_test(a_softmax_that_does_not_fit_is_refused),
        cmocka_unit_test(scores_that_overflow_are_an_error),
        cmocka_unit_test(memory_that_runs_out_is_reported),
    };
    return cmocka_run_group_tests_name("language_model", tests, group_dir_init, group_dir_done);
}

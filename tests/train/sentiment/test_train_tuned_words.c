/* The words that fine-tuning gives vectors: which ones, where they begin, and how they move. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/lexicon.h"
#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "text/vocabulary.h"
#include "train/sentiment/tuned_words.h"

#define N_WORDS 5 /* of a batch */

static struct {
    struct temp_dir dir;
    struct elmo_model *model;
    size_t dim;
} fixture;

/* "good" 3 times, "film" twice, "long" once; one with a NUL cannot be named in a file. */
static struct elmo_token first[] = {{"good", 4}, {"film", 4}, {"good", 4}, {"a\0b", 3}};
static struct elmo_token second[] = {{"long", 4}, {"film", 4}, {"good", 4},
                                     {"a\0b", 3}, {"a\0b", 3}, {"", 0}};
static const struct tune_text texts[] = {{first, ARRAY_LEN(first), 0},
                                         {second, ARRAY_LEN(second), 1}};

static const struct elmo_token *const batch[N_WORDS] = {&first[0], &second[0], &first[1], &first[3],
                                                        &vocabulary_marks[VOCAB_BOS]};

static int set_up(void **state)
{
    (void)state;
    struct rng rng = {12};
    struct random_model random;
    struct elmo_error err = {0};
    temp_dir_init(&fixture.dir);
    AUTO(mem_free) char *path = temp_path(&fixture.dir, "model");
    random_model_init(&random, &rng);
    if (random_model_write(&random, path, &err) ||
        elmo_model_open(&fixture.model, path, NULL, &err))
        fail_msg("%s", err.message);
    fixture.dim = random.options.proj_dim;
    random_model_done(&random);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    elmo_model_free(fixture.model);
    temp_dir_done(&fixture.dir);
    return 0;
}

static void init(struct tuned_words *w, size_t min_count)
{
    assert_int_equal(tuned_words_init(w, fixture.model, texts, ARRAY_LEN(texts), min_count, NULL),
                     0);
}

static bool has(const struct tuned_words *w, const char *word)
{
    return word_table_find(&w->words, word, strlen(word)) != WORD_NONE;
}

static void frequent_words_are_tuned_and_the_marks(void **state)
{
    (void)state;
    static const size_t n_expected[] = {6, 6, 5, 4, 3};
    for (size_t min_count = 0; min_count < ARRAY_LEN(n_expected); min_count++) {
        struct tuned_words w;
        init(&w, min_count);
        assert_int_equal(w.words.n_items, n_expected[min_count]);
        for (size_t k = 0; k < VOCAB_N_MARKS; k++)
            assert_memory_equal(w.words.items[k].bytes, vocabulary_marks[k].bytes,
                                vocabulary_marks[k].n_bytes);
        assert_int_equal(has(&w, "long"), min_count <= 1);
        assert_int_equal(has(&w, "film"), min_count <= 2);
        assert_int_equal(has(&w, "good"), min_count <= 3);
        tuned_words_done(&w);
    }
}

/* A model that was tuned before: its words keep their vectors, whether these texts have them or
 * not, as the new file has no other lexicon. */
static void words_of_an_older_lexicon_stay(void **state)
{
    (void)state;
    static const char *const older[] = {"<S>", "</S>", "<UNK>", "rare"};
    struct elmo_model tuned = *fixture.model;
    struct tuned_words w;
    uint32_t row;
    size_t n = ARRAY_LEN(older) * fixture.dim;
    AUTO(mem_free) float *vectors = calloc(n, sizeof *vectors);
    AUTO(mem_free) float *found = calloc(fixture.dim, sizeof *found);
    assert_true(vectors && found);
    tuned.lexicon = (struct word_table){0};
    for (uint32_t k = 0; k < ARRAY_LEN(older); k++)
        assert_int_equal(word_table_add(&tuned.lexicon, older[k], strlen(older[k])), k);
    for (size_t k = 0; k < n; k++)
        vectors[k] = (float)k;
    tuned.weights.lexicon = vectors;
    tuned.weights.n_lexicon = ARRAY_LEN(older);
    assert_int_equal(tuned_words_init(&w, &tuned, texts, ARRAY_LEN(texts), 2, NULL), 0);
    assert_int_equal(w.words.n_items, ARRAY_LEN(older) + 2);
    assert_true(has(&w, "good") && has(&w, "film") && has(&w, "rare"));
    const struct elmo_token rare = {"rare", 4}, *const one[] = {&rare};
    assert_true(tuned_words_gather(&w, found, &row, one, 1));
    assert_memory_equal(found, vectors + 3 * fixture.dim, fixture.dim * sizeof *found);
    tuned_words_done(&w);
    word_table_done(&tuned.lexicon);
}

static void they_begin_where_the_model_has_them(void **state)
{
    (void)state;
    struct tuned_words w;
    struct arena arena = {0};
    uint32_t rows[N_WORDS];
    AUTO(mem_free) float *expected = calloc(N_WORDS * fixture.dim, sizeof *expected);
    AUTO(mem_free) float *found = calloc(N_WORDS * fixture.dim, sizeof *found);
    assert_true(expected && found);
    assert_int_equal(
        lexicon_encode(expected, batch, N_WORDS, fixture.model, &subteam_of_one, &arena), 0);
    init(&w, 2);
    assert_true(tuned_words_gather(&w, found, rows, batch, N_WORDS));
    for (size_t k = 0; k < N_WORDS * fixture.dim; k++) /* batches of other sizes round otherwise */
        assert_true(fabsf(found[k] - expected[k]) <= 1e-5f * fmaxf(1, fabsf(expected[k])));
    assert_int_equal(rows[0], VOCAB_N_MARKS);
    assert_int_equal(rows[1], WORD_NONE);
    assert_int_equal(rows[2], VOCAB_N_MARKS + 1);
    assert_int_equal(rows[3], WORD_NONE);
    assert_int_equal(rows[4], VOCAB_BOS);
    tuned_words_done(&w);
    arena_done(&arena);
}

/* Adam's first step is the learning rate against the sign of the gradient; words that are not in
 * the batch, or are not tuned, stay. */
static void only_the_words_of_a_batch_move(void **state)
{
    (void)state;
    static const float rate = 0.01f;
    struct tuned_words w;
    uint32_t rows[N_WORDS];
    size_t n = N_WORDS * fixture.dim;
    AUTO(mem_free) float *before = calloc(n, sizeof *before);
    AUTO(mem_free) float *after = calloc(n, sizeof *after);
    AUTO(mem_free) float *gradients = calloc(n, sizeof *gradients);
    assert_true(before && after && gradients);
    init(&w, 2);
    assert_true(tuned_words_gather(&w, before, rows, batch, N_WORDS));
    for (size_t k = 0; k < n; k++)
        gradients[k] = k % 2 ? 0.5f : -2;
    rows[2] = WORD_NONE; /* "film" is not in this batch */
    tuned_words_step(&w, rows, gradients, N_WORDS, (double)rate);
    assert_true(tuned_words_gather(&w, after, rows, batch, N_WORDS));
    for (size_t k = 0; k < n; k++) {
        size_t word = k / fixture.dim;
        float step = word == 0 || word == 4 ? (k % 2 ? -rate : rate) : 0;
        assert_true(fabsf(after[k] - before[k] - step) <= 1e-5f);
    }
    tuned_words_done(&w);
}

static void out_of_memory_is_reported(void **state)
{
    (void)state;
    size_t n_good = 0, n_failed;
    uint32_t rows[N_WORDS];
    AUTO(mem_free) float *vectors = calloc(N_WORDS * fixture.dim, sizeof *vectors);
    assert_non_null(vectors);
    do {
        struct tuned_words w = {0};
        fail_alloc_after(n_good);
        int r = tuned_words_init(&w, fixture.model, texts, ARRAY_LEN(texts), 2, NULL);
        if (!r && !tuned_words_gather(&w, vectors, rows, batch, N_WORDS))
            r = ELMO_E_NOMEM;
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        tuned_words_done(&w);
        n_good++;
    } while (n_failed);
    assert_true(n_good > 5);
}

/* Rows as a whole, about as many as they should be, and a gradient where its vector is. */
static void words_are_dropped_as_a_whole(void **state)
{
    (void)state;
    enum { N = 4000, P = 3 };
    static float vectors[N * P], gradients[N * P], kept[N * P];
    size_t n_dropped = 0;
    for (size_t k = 0; k < N * P; k++)
        vectors[k] = gradients[k] = kept[k] = (float)(1 + k);
    tuned_words_drop(kept, N, P, 0, 7);
    assert_memory_equal(kept, vectors, sizeof kept);
    tuned_words_drop(vectors, N, P, 0.2, 7);
    tuned_words_drop(gradients, N, P, 0.2, 7);
    assert_memory_equal(vectors, gradients, sizeof vectors);
    tuned_words_drop(kept, N, P, 0.2, 8);
    assert_memory_not_equal(vectors, kept, sizeof vectors);
    for (size_t k = 0; k < N * P; k++) {
        bool dropped = !(vectors[k / P * P] > 0);
        assert_true(vectors[k] == (dropped ? 0 : (float)(1 + k) * 1.25f));
        n_dropped += dropped;
    }
    assert_true(n_dropped * 100 > 17 * N * P && n_dropped * 100 < 23 * N * P);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequent_words_are_tuned_and_the_marks),
        cmocka_unit_test(words_of_an_older_lexicon_stay),
        cmocka_unit_test(they_begin_where_the_model_has_them),
        cmocka_unit_test(only_the_words_of_a_batch_move),
        cmocka_unit_test(words_are_dropped_as_a_whole),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

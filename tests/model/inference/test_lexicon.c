/* Words with vectors of their own. The lexicon of the model under test gives "film" the vector that
 * its token encoder gives "book": to it "a film" must be "a book", and all else as before (but for
 * the rounding of batches of other sizes). Files whose lexicon is wrong say how. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "file/model_file.h"
#include "inference/lexicon.h"
#include "reference/outputs.h"
#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"

#define P          5
#define VOCABULARY "[\"<S>\",\"</S>\",\"<UNK>\",\"film\"]"
#define N_WORDS    4

static const struct options options = {
    .char_dim = 2,
    .max_chars = 8,
    .n_char_filters = 2,
    .char_filters = {{2, 3}, {1, 2}},
    .filter_dim = 5,
    .n_highway = 1,
    .n_layers = 2,
    .cell_dim = 3,
    .proj_dim = P,
    .skip_connections = true,
};

static const struct elmo_token book = {"book", 4}, film = {"film", 4}, bos = {"<S>", 3},
                               eos = {"</S>", 4}, unknown = {"<UNK>", 5}, a = {"a", 1};

static struct {
    struct temp_dir dir;
    struct random_model random;
    struct elmo_model *plain;
    float vectors[N_WORDS * P];
} fixture;

static void must(int r, const struct elmo_error *err)
{
    if (r)
        fail_msg("%s", err->message);
}

static int set_up(void **state)
{
    (void)state;
    static const struct elmo_token *const words[N_WORDS] = {&bos, &eos, &unknown, &book};
    struct rng rng = {3};
    struct elmo_error err = {0};
    struct arena arena = {0};
    temp_dir_init(&fixture.dir);
    random_model_init_with(&fixture.random, &rng, &options, NULL, ELMO_POOL_MEAN, true);
    AUTO(mem_free) char *path = temp_path(&fixture.dir, "plain");
    must(random_model_write(&fixture.random, path, &err), &err);
    must(elmo_model_open(&fixture.plain, path, NULL, &err), &err);
    assert_int_equal(
        lexicon_encode(fixture.vectors, words, N_WORDS, fixture.plain, &subteam_of_one, &arena), 0);
    arena_done(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    elmo_model_free(fixture.plain);
    random_model_done(&fixture.random);
    temp_dir_done(&fixture.dir);
    return 0;
}

/* The plain model and this lexicon; vocabulary NULL: none is said. */
static int open_with(struct elmo_model **ret_model, const char *vocabulary, const size_t *dims,
                     size_t n_dims, struct elmo_error *err)
{
    const struct tensor_set *set = &fixture.random.weights;
    struct st_tensor tensors[64];
    assert_true(set->n_items < ARRAY_LEN(tensors));
    for (size_t k = 0; k < set->n_items; k++) {
        const struct named_tensor *t = &set->items[k];
        tensors[k] = (struct st_tensor){.name = t->name,
                                        .dtype = ST_F32,
                                        .n_dims = t->n_dims,
                                        .data = (const unsigned char *)t->values,
                                        .n_bytes = t->n_values * sizeof(float)};
        memcpy(tensors[k].dims, t->dims, sizeof t->dims);
    }
    struct st_tensor *lexicon = &tensors[set->n_items];
    *lexicon = (struct st_tensor){.name = LEXICON_VECTORS,
                                  .dtype = ST_F32,
                                  .n_dims = n_dims,
                                  .data = (const unsigned char *)fixture.vectors,
                                  .n_bytes = sizeof(float)};
    for (size_t k = 0; k < n_dims; k++) {
        lexicon->dims[k] = dims[k];
        lexicon->n_bytes *= dims[k];
    }
    const struct st_metadata metadata[] = {{META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
                                           {META_NAME, "lexicon"},
                                           {META_OPTIONS, fixture.random.options_json},
                                           {META_TOKENIZER, "whitespace"},
                                           {META_VOCABULARY, vocabulary}};
    AUTO(mem_free) char *path = temp_path(&fixture.dir, "lexicon");
    must(safetensors_write(path, tensors, set->n_items + 1, metadata,
                           ARRAY_LEN(metadata) - !vocabulary, err),
         err);
    return elmo_model_open(ret_model, path,
                           &(struct elmo_model_settings){.word_cache_bytes = 1 << 16}, err);
}

/* elmo [2, 2P] of two tokens. */
static void run(float *ret, const struct elmo_model *model, struct elmo_token first,
                struct elmo_token second)
{
    const struct elmo_token tokens[] = {first, second};
    struct elmo_session *session = NULL;
    struct outputs o;
    struct elmo_sentence s = {.tokens = tokens, .n_tokens = 2};
    struct elmo_error err = {0};
    must(elmo_session_new(&session, model, &err), &err);
    outputs_attach(&o, &s, model, WANT_ALL);
    must(elmo_session_run(session, &s, 1, &err), &err);
    memcpy(ret, o.elmo, 4 * P * sizeof *ret);
    outputs_done(&o);
    elmo_session_free(session);
}

static bool close_to(const float *found, const float *expected)
{
    bool ok = true;
    for (size_t k = 0; k < 4 * P; k++)
        ok = ok && fabsf(found[k] - expected[k]) < 1e-5f;
    return ok;
}

static void a_word_of_the_lexicon_has_its_vector_and_others_are_spelt(void **state)
{
    (void)state;
    static const size_t dims[] = {N_WORDS, P};
    static const struct elmo_token rest[] = {{"films", 5}, {"Film", 4}, {"book", 4}, {"", 0}};
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    float expected[4 * P], found[4 * P], spelt[4 * P];
    must(open_with(&model, VOCABULARY, dims, 2, &err), &err);
    assert_int_equal(elmo_model_info(model)->n_parameters,
                     elmo_model_info(fixture.plain)->n_parameters + N_WORDS * P);
    run(expected, fixture.plain, a, book);
    run(spelt, fixture.plain, a, film);
    run(found, model, a, film);
    assert_true(close_to(found, expected));
    assert_false(close_to(found, spelt));
    for (size_t k = 0; k < ARRAY_LEN(rest); k++) {
        run(expected, fixture.plain, a, rest[k]);
        run(found, model, a, rest[k]);
        assert_true(close_to(found, expected));
    }
    elmo_model_free(model);
}

static void warming_leaves_the_words_of_the_lexicon_alone(void **state)
{
    (void)state;
    static const size_t dims[] = {N_WORDS, P};
    static const struct elmo_token words[] = {{"film", 4}, {"book", 4}, {"films", 5}, {"book", 4}};
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    size_t n_added;
    must(open_with(&model, VOCABULARY, dims, 2, &err), &err);
    must(elmo_model_warm(model, words, ARRAY_LEN(words), &n_added, &err), &err);
    assert_int_equal(n_added, 2);
    assert_int_equal(elmo_model_cache_stats(model).n_words, 2);
    elmo_model_free(model);
}

static void a_wrong_lexicon_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *vocabulary;
        size_t dims[3], n_dims;
        const char *message;
    } cases[] = {
        {NULL, {N_WORDS, P}, 2, "__metadata__ 'vocabulary'"},
        {"[]", {N_WORDS, P}, 2, "expected a JSON array of 3 marks"},
        {"[\"a\",\"b\",\"c\",\"d\"]", {N_WORDS, P}, 2, "entry 0 must be <S>"},
        {VOCABULARY, {N_WORDS - 1, P}, 2, "has 3 rows for the 4 words"},
        {VOCABULARY, {N_WORDS, P - 1}, 2, "expected shape [4, 5], found [4, 4]"},
        {VOCABULARY, {N_WORDS * P}, 1, "expected two dimensions"},
        {VOCABULARY, {2, 2, P}, 3, "expected two dimensions"},
        {VOCABULARY, {0, P}, 2, "at least one row"},
        {VOCABULARY, {N_WORDS, 0}, 2, "at least one row"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct elmo_model *model = NULL;
        struct elmo_error err = {0};
        assert_int_equal(
            open_with(&model, cases[k].vocabulary, cases[k].dims, cases[k].n_dims, &err),
            ELMO_E_FORMAT);
        if (!strstr(err.message, cases[k].message))
            fail_msg("case %zu: %s", k, err.message);
        assert_null(model);
    }
}

/* Opening a model with a lexicon and encoding by it, as far as memory lasts. */
static void out_of_memory_is_reported(void **state)
{
    (void)state;
    static const size_t dims[] = {N_WORDS, P};
    static const struct elmo_token *const tokens[] = {&film, &a, &book};
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    float vectors[3 * P];
    size_t n_good = 0, n_failed, n_bytes;
    must(open_with(&model, VOCABULARY, dims, 2, &err), &err);
    elmo_model_free(model);
    AUTO(mem_free) char *path = temp_path(&fixture.dir, "lexicon");
    AUTO(mem_free) unsigned char *file = read_whole_file(path, &n_bytes);
    assert_non_null(file);
    do {
        struct arena arena = {0};
        model = NULL;
        fail_alloc_after(n_good);
        int r = elmo_model_open_memory(&model, file, n_bytes, NULL, NULL);
        if (!r)
            r = lexicon_encode(vectors, tokens, ARRAY_LEN(tokens), model, &subteam_of_one, &arena);
        n_failed = fail_alloc_stop();
        assert_true(n_failed ? r != 0 : r == 0);
        arena_done(&arena);
        elmo_model_free(model);
        n_good++;
    } while (n_failed);
    assert_true(n_good > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_of_the_lexicon_has_its_vector_and_others_are_spelt),
        cmocka_unit_test(warming_leaves_the_words_of_the_lexicon_alone),
        cmocka_unit_test(a_wrong_lexicon_is_named),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

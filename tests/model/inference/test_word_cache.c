/* The cache of word vectors: what was put in comes out, to the bit, or does not come; bounded; many
 * threads; and a model gives the same vectors with it, without it, and when it is full. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/word_cache.h"
#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"

#define DIM       5
#define MAX_BYTES 6

static struct elmo_token token_of(const char *text)
{
    return (struct elmo_token){text, strlen(text)};
}

/* A vector that tells its word. */
static void vector_of(float *vector, const char *word)
{
    for (size_t k = 0; k < DIM; k++)
        vector[k] = (float)(k + 1) * (float)strtol(word + 1, NULL, 10);
}

static void put(struct word_cache *cache, const char *word)
{
    float vector[DIM];
    const struct elmo_token token = token_of(word);
    vector_of(vector, word);
    word_cache_put(cache, &token, vector);
}

/* Whether the word is there; if so its vector is right. */
static bool get(struct word_cache *cache, const char *word)
{
    float vector[DIM], expected[DIM];
    const struct elmo_token token = token_of(word);
    if (!word_cache_get(cache, &token, vector))
        return false;
    vector_of(expected, word);
    assert_memory_equal(vector, expected, sizeof vector);
    return true;
}

static struct word_cache *new_cache(size_t n_bytes)
{
    struct word_cache *cache;
    assert_int_equal(word_cache_new(&cache, n_bytes, DIM, MAX_BYTES, NULL), 0);
    assert_non_null(cache);
    return cache;
}

static void what_was_put_in_comes_out(void **state)
{
    (void)state;
    struct word_cache *cache = new_cache(1 << 20);
    assert_false(get(cache, "w1"));
    put(cache, "w1");
    put(cache, "w2");
    put(cache, "w2");
    assert_true(get(cache, "w1") && get(cache, "w2"));
    assert_false(get(cache, "w3"));
    const struct elmo_cache_stats stats = word_cache_stats(cache);
    assert_int_equal(stats.n_hits, 2);
    assert_int_equal(stats.n_misses, 2);
    assert_int_equal(stats.n_words, 2);
    word_cache_free(cache);
}

/* Words are told apart by what the model sees of them, and where it sees no more, by that. */
static void words_are_told_apart_by_their_first_bytes(void **state)
{
    (void)state;
    static const float one[DIM] = {1, 1, 1, 1, 1}, two[DIM] = {2, 2, 2, 2, 2};
    float found[DIM];
    struct word_cache *cache = new_cache(1 << 20);
    const struct elmo_token whole = token_of("abcdef"), cut = token_of("abcdefg"),
                            same_cut = token_of("abcdefxyz"), zero = {"abc\0ef", 6},
                            empty = {NULL, 0};
    word_cache_put(cache, &whole, one);
    assert_false(word_cache_get(cache, &cut, found));
    word_cache_put(cache, &cut, two);
    assert_true(word_cache_get(cache, &same_cut, found) && found[0] == 2);
    assert_true(word_cache_get(cache, &whole, found) && found[0] == 1);
    assert_false(word_cache_get(cache, &zero, found));
    assert_false(word_cache_get(cache, &empty, found));
    word_cache_put(cache, &empty, two);
    assert_true(word_cache_get(cache, &empty, found) && found[0] == 2);
    word_cache_free(cache);
}

static void it_keeps_to_its_bytes(void **state)
{
    (void)state;
    struct word_cache *cache = new_cache(20000);
    char word[16];
    size_t n_there = 0;
    for (size_t k = 0; k < 5000; k++) {
        snprintf(word, sizeof word, "w%zu", k);
        put(cache, word);
        assert_true(get(cache, word)); /* the newest is there */
    }
    for (size_t k = 0; k < 5000; k++) {
        snprintf(word, sizeof word, "w%zu", k);
        n_there += get(cache, word);
    }
    assert_int_equal(word_cache_stats(cache).n_words, n_there);
    assert_true(n_there * (DIM * sizeof(float) + MAX_BYTES) < 20000);
    assert_true(n_there > 200);
    word_cache_free(cache);
}

/* One that is asked for again and again stays while others come and go. */
static void what_is_asked_for_stays(void **state)
{
    (void)state;
    struct word_cache *cache = new_cache(4000);
    char word[16];
    put(cache, "w7");
    for (size_t k = 10; k < 3000; k++) {
        snprintf(word, sizeof word, "w%zu", k);
        put(cache, word);
        assert_true(get(cache, "w7"));
    }
    word_cache_free(cache);
}

static void no_memory_is_no_cache(void **state)
{
    (void)state;
    struct word_cache *cache = (void *)1;
    assert_int_equal(word_cache_new(&cache, 0, DIM, MAX_BYTES, NULL), 0);
    assert_null(cache);
    assert_int_equal(word_cache_new(&cache, 100, DIM, MAX_BYTES, NULL), 0);
    assert_null(cache);
    assert_int_equal(word_cache_new(&cache, 1 << 20, DIM, 3, NULL), 0);
    assert_null(cache);
    put(cache, "w1");
    assert_false(get(cache, "w1"));
    assert_int_equal(word_cache_stats(cache).n_misses, 0);
    word_cache_free(cache);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    size_t n_good = 0, n_failed;
    do {
        struct word_cache *cache;
        fail_alloc_after(n_good++);
        int r = word_cache_new(&cache, 1 << 16, DIM, MAX_BYTES, NULL);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        assert_int_equal(cache == NULL, n_failed > 0);
        word_cache_free(cache);
    } while (n_failed);
    assert_true(n_good > 3);
}

/* ---- Words that nobody has asked for yet ---- */

static bool add_unasked(struct word_cache *cache, const char *word)
{
    float vector[DIM];
    const struct elmo_token token = token_of(word);
    vector_of(vector, word);
    return word_cache_add(cache, &token, vector);
}

static bool add(struct word_cache *cache, const char *word)
{
    const struct elmo_token token = token_of(word);
    bool has_room = word_cache_has_room(cache, &token);
    bool added = add_unasked(cache, word);
    assert_int_equal(added, has_room);
    return added;
}

static void what_is_added_gives_nothing_up_and_is_not_counted(void **state)
{
    (void)state;
    struct word_cache *cache = new_cache(20000);
    bool was_added[5000];
    char word[16];
    size_t n_added = 0;
    put(cache, "w9000");
    assert_false(add(cache, "w9000"));
    for (size_t k = 0; k < 5000; k++) {
        snprintf(word, sizeof word, "w%zu", k);
        n_added += was_added[k] = add(cache, word);
        assert_false(add(cache, word));
    }
    const struct elmo_cache_stats stats = word_cache_stats(cache);
    assert_int_equal(stats.n_words, n_added + 1);
    assert_int_equal(stats.n_words, stats.n_places); /* so many words find every place */
    assert_int_equal(stats.n_hits + stats.n_misses, 0);
    for (size_t k = 0; k < 5000; k++) {
        snprintf(word, sizeof word, "w%zu", k);
        assert_int_equal(get(cache, word), was_added[k]);
    }
    assert_true(get(cache, "w9000"));
    word_cache_free(cache);
    assert_false(word_cache_has_room(NULL, &(struct elmo_token){"a", 1}));
    assert_false(word_cache_add(NULL, &(struct elmo_token){"a", 1}, (float[DIM]){0}));
}

/* In one set of eight places: words that were added go before those that were put, the last added
 * first, whatever of it came first. */
static void what_is_added_last_goes_first(void **state)
{
    (void)state;
    for (size_t n_put = 0; n_put <= 4; n_put += 4)
        for (size_t put_first = 0; put_first <= 1; put_first++) {
            char word[32];
            struct word_cache *cache = new_cache(600);
            assert_int_equal(word_cache_stats(cache).n_places, 8);
            for (size_t k = 0; put_first && k < n_put; k++) {
                snprintf(word, sizeof word, "p%zu", k);
                put(cache, word);
            }
            for (size_t k = 0; k < 8 - n_put; k++) {
                snprintf(word, sizeof word, "a%zu", k);
                assert_true(add(cache, word));
            }
            for (size_t k = 0; !put_first && k < n_put; k++) {
                snprintf(word, sizeof word, "p%zu", k);
                put(cache, word);
            }
            for (size_t k = 8 - n_put; k-- > 1;) {
                char next[32];
                snprintf(word, sizeof word, "n%zu", k);
                put(cache, word); /* the k-th added word goes for it */
                snprintf(word, sizeof word, "a%zu", k);
                snprintf(next, sizeof next, "a%zu", k - 1);
                assert_false(word_cache_has_room(cache, &(struct elmo_token){next, strlen(next)}));
                assert_int_equal(word_cache_stats(cache).n_words, 8);
                assert_false(get(cache, word));
            }
            assert_true(get(cache, "a0"));
            for (size_t k = 0; k < n_put; k++) {
                snprintf(word, sizeof word, "p%zu", k);
                assert_true(get(cache, word));
            }
            word_cache_free(cache);
        }
}

/* ---- Threads ---- */

#define N_THREADS 4

static void *ask_and_put(void *arg)
{
    struct word_cache *cache = arg;
    char word[16];
    for (size_t k = 0; k < 20000; k++) {
        snprintf(word, sizeof word, "w%zu", k * 7919 % 700);
        if (k % 3 == 0)
            add_unasked(cache, word);
        else if (!get(cache, word))
            put(cache, word);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    struct word_cache *cache = new_cache(20000); /* room for fewer words than are asked for */
    pthread_t threads[N_THREADS];
    for (size_t k = 0; k < N_THREADS; k++)
        assert_int_equal(pthread_create(&threads[k], NULL, ask_and_put, cache), 0);
    for (size_t k = 0; k < N_THREADS; k++)
        assert_int_equal(pthread_join(threads[k], NULL), 0);
    const struct elmo_cache_stats stats = word_cache_stats(cache);
    assert_int_equal(stats.n_hits + stats.n_misses, N_THREADS * (20000 - 6667));
    assert_true(stats.n_hits > 0);
    word_cache_free(cache);
}

/* ---- In a model ---- */

#define N_TOKENS 60

static void check_model(const char *path, size_t n_bytes, float *ret_vectors, bool *ret_hits)
{
    const struct elmo_model_settings settings = {.word_cache_bytes = n_bytes};
    struct elmo_model *model;
    struct elmo_session *session;
    char words[N_TOKENS][8];
    struct elmo_token tokens[N_TOKENS];
    assert_int_equal(elmo_model_open(&model, path, &settings, NULL), 0);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    size_t dim = elmo_model_info(model)->layer_dim;
    for (size_t round = 0; round < 3; round++) {
        for (size_t k = 0; k < N_TOKENS; k++) {
            snprintf(words[k], sizeof words[k], "w%zu", k * (round + 1) % 47);
            tokens[k] = token_of(words[k]);
        }
        const struct elmo_sentence sentence = {
            .tokens = tokens, .n_tokens = N_TOKENS, .elmo = ret_vectors + round * N_TOKENS * dim};
        assert_int_equal(elmo_session_run(session, &sentence, 1, NULL), 0);
    }
    *ret_hits = elmo_model_cache_stats(model).n_hits > 0;
    elmo_session_free(session);
    elmo_model_free(model);
}

static void vectors_have_the_same_bits_with_and_without(void **state)
{
    (void)state;
    struct rng rng = {3};
    struct random_model random;
    struct temp_dir dir;
    temp_dir_init(&dir);
    AUTO(mem_free) char *path = temp_path(&dir, "model");
    random_model_init(&random, &rng);
    assert_int_equal(random_model_write(&random, path, NULL), 0);
    size_t n = 3 * N_TOKENS * 2 * random.options.proj_dim;
    random_model_done(&random);
    AUTO(mem_free) float *without = calloc(n, sizeof *without);
    AUTO(mem_free) float *with = calloc(n, sizeof *with);
    assert_true(without && with);
    bool hits;
    check_model(path, 0, without, &hits);
    assert_false(hits);
    static const size_t sizes[] = {4000, 1 << 20};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        check_model(path, sizes[k], with, &hits);
        assert_true(hits);
        assert_memory_equal(with, without, n * sizeof *with);
    }
    temp_dir_done(&dir);
}

/* ---- Warming a model ---- */

#define N_WARM 900 /* more than one batch of elmo_model_warm */

struct warm_fixture {
    struct temp_dir dir;
    char *path;
    size_t token_dim;
    char text[N_WARM][8];
    struct elmo_token words[N_WARM];
};

static void warm_fixture_init(struct warm_fixture *f)
{
    struct rng rng = {3};
    struct random_model random;
    temp_dir_init(&f->dir);
    f->path = temp_path(&f->dir, "model");
    random_model_init(&random, &rng);
    assert_int_equal(random_model_write(&random, f->path, NULL), 0);
    f->token_dim = random.options.proj_dim;
    random_model_done(&random);
    for (size_t k = 0; k < N_WARM; k++) {
        snprintf(f->text[k], sizeof f->text[k], "w%zu", k);
        f->words[k] = token_of(f->text[k]);
    }
}

static void warm_fixture_done(struct warm_fixture *f)
{
    temp_dir_done(&f->dir);
    free(f->path);
}

static struct elmo_model *open_cached(const struct warm_fixture *f, size_t n_bytes)
{
    struct elmo_model *model;
    const struct elmo_model_settings settings = {.word_cache_bytes = n_bytes};
    assert_int_equal(elmo_model_open(&model, f->path, &settings, NULL), 0);
    return model;
}

/* Layer 0 of the first n words. */
static void encode(float *vectors, const struct warm_fixture *f, const struct elmo_model *model,
                   size_t n)
{
    float *layers[64] = {vectors};
    struct elmo_session *session;
    const struct elmo_sentence sentence = {.tokens = f->words, .n_tokens = n, .layers = layers};
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    assert_int_equal(elmo_session_run(session, &sentence, 1, NULL), 0);
    elmo_session_free(session);
}

static void warmed_words_are_hits_with_the_same_bits(void **state)
{
    (void)state;
    struct warm_fixture f;
    warm_fixture_init(&f);
    struct elmo_model *warm = open_cached(&f, 1 << 20), *cold = open_cached(&f, 0);
    AUTO(mem_free) float *found = calloc(N_WARM * f.token_dim, sizeof *found);
    AUTO(mem_free) float *expected = calloc(N_WARM * f.token_dim, sizeof *expected);
    size_t n_added = 77;
    assert_true(found && expected);
    assert_int_equal(elmo_model_warm(warm, f.words, N_WARM, &n_added, NULL), 0);
    assert_int_equal(n_added, N_WARM);
    assert_int_equal(elmo_model_warm(warm, f.words, N_WARM, &n_added, NULL), 0);
    assert_int_equal(n_added, 0);
    struct elmo_cache_stats stats = elmo_model_cache_stats(warm);
    assert_int_equal(stats.n_words, N_WARM);
    assert_int_equal(stats.n_hits + stats.n_misses, 0);
    encode(found, &f, warm, N_WARM);
    encode(expected, &f, cold, N_WARM);
    assert_memory_equal(found, expected, N_WARM * f.token_dim * sizeof *found);
    stats = elmo_model_cache_stats(warm);
    assert_int_equal(stats.n_hits, N_WARM);
    assert_int_equal(stats.n_misses, 2); /* <S> and </S> */
    elmo_model_free(warm);
    elmo_model_free(cold);
    warm_fixture_done(&f);
}

static void warming_keeps_to_the_places_and_to_what_is_there(void **state)
{
    (void)state;
    struct warm_fixture f;
    warm_fixture_init(&f);
    struct elmo_model *model = open_cached(&f, 8000);
    AUTO(mem_free) float *vectors = calloc(10 * f.token_dim, sizeof *vectors);
    size_t n_added;
    assert_non_null(vectors);
    encode(vectors, &f, model, 10);
    assert_int_equal(elmo_model_cache_stats(model).n_words, 12);
    assert_int_equal(elmo_model_warm(model, f.words, N_WARM, &n_added, NULL), 0);
    struct elmo_cache_stats stats = elmo_model_cache_stats(model);
    assert_true(stats.n_places < N_WARM);
    assert_int_equal(stats.n_words, 12 + n_added);
    assert_true(stats.n_words <= stats.n_places);
    encode(vectors, &f, model, 10);
    assert_int_equal(elmo_model_cache_stats(model).n_hits - stats.n_hits, 12);
    assert_int_equal(elmo_model_cache_stats(model).n_misses, stats.n_misses);
    elmo_model_free(model);
    model = open_cached(&f, 0);
    assert_int_equal(elmo_model_warm(model, f.words, N_WARM, &n_added, NULL), 0);
    assert_int_equal(n_added, 0);
    assert_int_equal(elmo_model_cache_stats(model).n_places, 0);
    elmo_model_free(model);
    warm_fixture_done(&f);
}

static void warming_without_memory_says_so(void **state)
{
    (void)state;
    struct warm_fixture f;
    size_t n_good = 0, n_failed;
    warm_fixture_init(&f);
    do {
        struct elmo_model *model = open_cached(&f, 1 << 20);
        struct elmo_error err = {0};
        size_t n_added = 77;
        fail_alloc_after(n_good++);
        int r = elmo_model_warm(model, f.words, N_WARM, &n_added, &err);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        assert_int_equal(err.status, r);
        assert_int_equal(n_added, n_failed ? 77 : N_WARM);
        elmo_model_free(model);
    } while (n_failed);
    assert_true(n_good > 1);
    warm_fixture_done(&f);
}

struct warm_thread {
    const struct warm_fixture *fixture;
    struct elmo_model *model;
    size_t n_added;
};

static void *warm_all(void *arg)
{
    struct warm_thread *t = arg;
    AUTO(mem_free) float *vectors = calloc(N_WARM * t->fixture->token_dim, sizeof *vectors);
    if (!vectors || elmo_model_warm(t->model, t->fixture->words, N_WARM, &t->n_added, NULL))
        t->n_added = SIZE_MAX;
    else
        encode(vectors, t->fixture, t->model, N_WARM);
    return NULL;
}

static void threads_warm_together(void **state)
{
    (void)state;
    struct warm_fixture f;
    pthread_t threads[N_THREADS];
    struct warm_thread each[N_THREADS];
    size_t n_added = 0;
    warm_fixture_init(&f);
    struct elmo_model *model = open_cached(&f, 1 << 20);
    for (size_t k = 0; k < N_THREADS; k++) {
        each[k] = (struct warm_thread){&f, model, 0};
        assert_int_equal(pthread_create(&threads[k], NULL, warm_all, &each[k]), 0);
    }
    for (size_t k = 0; k < N_THREADS; k++) {
        assert_int_equal(pthread_join(threads[k], NULL), 0);
        assert_true(each[k].n_added <= N_WARM);
        n_added += each[k].n_added;
    }
    assert_true(n_added <= N_WARM);
    assert_int_equal(elmo_model_cache_stats(model).n_words, N_WARM + 2);
    elmo_model_free(model);
    warm_fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_comes_out),
        cmocka_unit_test(words_are_told_apart_by_their_first_bytes),
        cmocka_unit_test(it_keeps_to_its_bytes),
        cmocka_unit_test(what_is_asked_for_stays),
        cmocka_unit_test(no_memory_is_no_cache),
        cmocka_unit_test(failing_memory_is_reported),
        cmocka_unit_test(what_is_added_gives_nothing_up_and_is_not_counted),
        cmocka_unit_test(what_is_added_last_goes_first),
        cmocka_unit_test(threads_share_it),
        cmocka_unit_test(vectors_have_the_same_bits_with_and_without),
        cmocka_unit_test(warmed_words_are_hits_with_the_same_bits),
        cmocka_unit_test(warming_keeps_to_the_places_and_to_what_is_there),
        cmocka_unit_test(warming_without_memory_says_so),
        cmocka_unit_test(threads_warm_together),
    };
    return cmocka_run_group_tests_name("word_cache", tests, NULL, NULL);
}

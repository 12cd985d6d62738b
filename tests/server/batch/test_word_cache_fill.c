/* Filling the word cache from files of all kinds. The test has its own elmo_model_warm and cache
 * size. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "batch/word_cache_fill.h"
#include "defs.h"
#include "support/fail_alloc.h"

#define MANY 5000

static struct {
    pthread_mutex_t mu; /* guards the following fields, except the settings */
    char text[8192];    /* the received words, each followed by '|' */
    size_t n_text;
    unsigned times[MANY]; /* that "w<k>" came */
    /* Settings: */
    uint64_t n_places;
    bool fails;
    atomic_int *stops; /* set when the first words are received; NULL: nothing */
} model = {.mu = PTHREAD_MUTEX_INITIALIZER};

struct elmo_cache_stats elmo_model_cache_stats(const struct elmo_model *ignored)
{
    (void)ignored;
    return (struct elmo_cache_stats){.n_places = model.n_places};
}

static void note_word(const struct elmo_token *word)
{
    char digits[16] = "";
    if (model.n_text + word->n_bytes + 1 < sizeof model.text) {
        memcpy(model.text + model.n_text, word->bytes, word->n_bytes);
        model.n_text += word->n_bytes;
        model.text[model.n_text++] = '|';
    }
    if (word->n_bytes > 1 && word->n_bytes < sizeof digits && word->bytes[0] == 'w') {
        memcpy(digits, word->bytes + 1, word->n_bytes - 1);
        model.times[strtoul(digits, NULL, 10) % MANY]++;
    }
}

int elmo_model_warm(const struct elmo_model *ignored, const struct elmo_token *words,
                    size_t n_words, size_t *ret_n_added, struct elmo_error *err)
{
    (void)ignored;
    (void)err;
    pthread_mutex_lock(&model.mu);
    for (size_t k = 0; k < n_words; k++)
        note_word(&words[k]);
    pthread_mutex_unlock(&model.mu);
    if (model.stops)
        atomic_store(model.stops, 15);
    if (model.fails)
        return ELMO_E_NOMEM;
    *ret_n_added = n_words;
    return 0;
}

static void reset_model(uint64_t n_places)
{
    model.n_text = 0;
    memset(model.times, 0, sizeof model.times);
    model.n_places = n_places;
    model.fails = false;
    model.stops = NULL;
}

/* ---- Files ---- */

static char path[64];

static void write_file(const void *bytes, size_t n_bytes)
{
    strcpy(path, "/tmp/elmod-warm-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n_bytes), n_bytes);
    close(fd);
}

static atomic_int stop;

static int warm(size_t n_threads, size_t *ret_n_words, struct elmo_error *err)
{
    const struct word_cache_fill_options options = {
        .path = path, .n_threads = n_threads, .stop = &stop};
    return word_cache_fill(&options, ret_n_words, err);
}

#define LONG "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" /* 64 bytes */

static void lines_are_words(void **state)
{
    (void)state;
    static char longest[WORD_CACHE_FILL_MAX_BYTES + 2], too_long[WORD_CACHE_FILL_MAX_BYTES + 8],
        far_too_long[100 * WORD_CACHE_FILL_MAX_BYTES];
    memset(longest, 'x', WORD_CACHE_FILL_MAX_BYTES);
    longest[WORD_CACHE_FILL_MAX_BYTES] = '\n';
    memset(too_long, 'x', WORD_CACHE_FILL_MAX_BYTES + 1);
    memcpy(too_long + WORD_CACHE_FILL_MAX_BYTES + 1, "\na\nb", 4);
    memset(far_too_long, 'x', sizeof far_too_long);
    memcpy(far_too_long + sizeof far_too_long - 3, "\na", 2);
    far_too_long[sizeof far_too_long - 1] = '\n';
    char longest_word[WORD_CACHE_FILL_MAX_BYTES + 2] = "";
    memset(longest_word, 'x', WORD_CACHE_FILL_MAX_BYTES);
    longest_word[WORD_CACHE_FILL_MAX_BYTES] = '|';
#define TEXT(text) (text), sizeof(text) - 1
    const struct {
        const char *bytes;
        size_t n_bytes;
        uint64_t n_places;
        const char *words;
        size_t n_word_bytes, n_words;
    } cases[] = {
        {TEXT("the\nof\n"), 9, TEXT("the|of|"), 2},
        {TEXT("the\nof"), 9, TEXT("the|of|"), 2},
        {TEXT("\n\nthe\n\nof\n\n"), 9, TEXT("the|of|"), 2},
        {TEXT("the\r\n\r\nof\r\na\rb\r\r\n"), 9, TEXT("the|of|a\rb\r|"), 3},
        {TEXT("a\0b\n\xff\xfe\n \tc \n"), 9, TEXT("a\0b|\xff\xfe| \tc |"), 3},
        {TEXT(LONG "\n<S>\n"), 9, TEXT(LONG "|<S>|"), 2},
        {TEXT(""), 9, TEXT(""), 0},
        {TEXT("\n"), 9, TEXT(""), 0},
        {TEXT("a\nb\nc\n"), 2, TEXT("a|b|"), 2},
        {TEXT("\na\n\nb"), 2, TEXT("a|b|"), 2},
        {TEXT("a\nb\n"), 0, TEXT(""), 0},
        {longest, WORD_CACHE_FILL_MAX_BYTES + 1, 9, longest_word, WORD_CACHE_FILL_MAX_BYTES + 1, 1},
        {longest, WORD_CACHE_FILL_MAX_BYTES, 9, longest_word, WORD_CACHE_FILL_MAX_BYTES + 1, 1},
        {too_long, WORD_CACHE_FILL_MAX_BYTES + 5, 9, TEXT("a|b|"), 2},
        {too_long, WORD_CACHE_FILL_MAX_BYTES + 1, 9, TEXT(""), 0},
        {far_too_long, sizeof far_too_long, 9, TEXT("a|"), 1},
    };
#undef TEXT
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        size_t n_words = 77;
        reset_model(cases[k].n_places);
        write_file(cases[k].bytes, cases[k].n_bytes);
        assert_int_equal(warm(1, &n_words, NULL), 0);
        unlink(path);
        if (n_words != cases[k].n_words || model.n_text != cases[k].n_word_bytes ||
            memcmp(model.text, cases[k].words, model.n_text))
            fail_msg("case %zu: %zu words, %.*s", k, n_words, (int)model.n_text, model.text);
    }
}

static void what_is_no_readable_file_is_named(void **state)
{
    (void)state;
    char fifo[80];
    write_file("a\n", 2);
    snprintf(fifo, sizeof fifo, "%s.fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const struct {
        const char *path, *why;
    } cases[] = {
        {"/no/such/file", "No such file or directory"},
        {"/tmp", "not a regular file"},
        {"/dev/zero", "not a regular file"},
        {fifo, "not a regular file"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct elmo_error err = {0};
        size_t n_words = 77;
        const struct word_cache_fill_options options = {
            .path = cases[k].path, .n_threads = 1, .stop = &stop};
        reset_model(9);
        assert_int_equal(word_cache_fill(&options, &n_words, &err), ELMO_E_IO);
        assert_int_equal(err.status, ELMO_E_IO);
        assert_non_null(strstr(err.message, cases[k].path));
        assert_non_null(strstr(err.message, cases[k].why));
        assert_int_equal(n_words, 77);
        assert_int_equal(model.n_text, 0);
    }
    unlink(fifo);
    unlink(path);
}

static void write_many(void)
{
    char *text = NULL;
    size_t n_bytes;
    FILE *stream = open_memstream(&text, &n_bytes);
    assert_non_null(stream);
    for (unsigned k = 0; k < MANY; k++)
        fprintf(stream, "w%u\n", k);
    fclose(stream);
    write_file(text, n_bytes);
    free(text);
}

static void any_number_of_threads_takes_each_word_once(void **state)
{
    (void)state;
    static const size_t n_threads[] = {1, 2, 7, 64};
    write_many();
    for (size_t k = 0; k < ARRAY_LEN(n_threads); k++) {
        size_t n_words = 77;
        reset_model(MANY - 10);
        assert_int_equal(warm(n_threads[k], &n_words, NULL), 0);
        assert_int_equal(n_words, MANY - 10);
        for (size_t w = 0; w < MANY; w++)
            assert_int_equal(model.times[w], w < MANY - 10);
    }
    unlink(path);
}

static void a_signal_to_stop_leaves_the_rest_out(void **state)
{
    (void)state;
    size_t n_words = 77;
    write_many();
    reset_model(MANY);
    model.stops = &stop;
    assert_int_equal(warm(1, &n_words, NULL), 0);
    assert_in_range(n_words, 1, MANY / 2);
    reset_model(MANY);
    assert_int_equal(warm(2, &n_words, NULL), 0); /* it is still set */
    assert_int_equal(n_words, 0);
    atomic_store(&stop, 0);
    unlink(path);
}

static void a_model_that_fails_is_reported(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    size_t n_words = 77;
    write_many();
    reset_model(MANY);
    model.fails = true;
    assert_int_equal(warm(2, &n_words, &err), ELMO_E_NOMEM);
    assert_string_equal(err.message, "out of memory");
    assert_int_equal(n_words, 77);
    assert_true(model.times[MANY - 1] == 0); /* it was not asked again and again */
    unlink(path);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    size_t n_good = 0, n_failed;
    write_many();
    do {
        struct elmo_error err = {0};
        size_t n_words = 77;
        reset_model(MANY);
        fail_alloc_after(n_good++);
        int r = warm(1, &n_words, &err);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        assert_int_equal(n_words, n_failed ? 77 : MANY);
        assert_int_equal(err.status, r);
    } while (n_failed);
    assert_true(n_good > 5);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_words),
        cmocka_unit_test(what_is_no_readable_file_is_named),
        cmocka_unit_test(any_number_of_threads_takes_each_word_once),
        cmocka_unit_test(a_signal_to_stop_leaves_the_rest_out),
        cmocka_unit_test(a_model_that_fails_is_reported),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests_name("warm", tests, NULL, NULL);
}

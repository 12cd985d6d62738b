/* The cache of word vectors: made once, mapped from then on, and never believed. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "defs.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "word_vectors.h"

#define TEXT "3 3\nthe 0.5 -1.25 7\ncat 3 4e-2 8\n. . . 5 6 9\n"

struct files {
    struct temp_dir dir;
    char *text, *cache, *tmp;
};

static int set_up(void **state)
{
    struct files *f = calloc(1, sizeof *f);
    assert_non_null(f);
    temp_dir_init(&f->dir);
    f->text = temp_path(&f->dir, "vec.txt");
    f->cache = temp_path(&f->dir, "vec.txt.cache");
    f->tmp = temp_path(&f->dir, "vec.txt.cache.tmp");
    assert_true(write_whole_file(f->text, TEXT, strlen(TEXT)));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct files *f = *state;
    temp_dir_done(&f->dir);
    free(f->text);
    free(f->cache);
    free(f->tmp);
    free(f);
    return 0;
}

static struct word_vectors *open_file(const char *path)
{
    const struct word_vectors_options options = {.path = path};
    struct word_vectors *v;
    struct elmo_error err = {0};
    if (word_vectors_open(&v, &options, &err))
        fail_msg("%s", err.message);
    return v;
}

static void assert_row(const struct word_vectors *v, const char *word, const float expected[3])
{
    const float *row = word_vectors_find(v, word, strlen(word));
    assert_non_null(row);
    assert_memory_equal(row, expected, 3 * sizeof *row);
}

static void assert_content(const struct word_vectors *v)
{
    assert_int_equal(word_vectors_info(v)->n_words, 3);
    assert_int_equal(word_vectors_info(v)->dim, 3);
    assert_row(v, "the", (const float[]){0.5F, -1.25F, 7});
    assert_row(v, "cat", (const float[]){3, 0.04F, 8});
    assert_row(v, ". . .", (const float[]){5, 6, 9});
    assert_null(word_vectors_find(v, "dog", 3));
}

/* Opens it, expects what TEXT says, and where that came from. */
static void assert_opens(const struct files *f, enum word_vectors_origin origin)
{
    struct word_vectors *v = open_file(f->text);
    assert_int_equal(word_vectors_info(v)->origin, origin);
    assert_content(v);
    assert_string_equal(word_vectors_info(v)->name, "vec.txt");
    assert_string_equal(word_vectors_info(v)->note, "");
    word_vectors_free(v);
    assert_int_equal(access(f->tmp, F_OK), -1); /* nothing is left behind */
}

static void a_cache_is_made_once(void **state)
{
    const struct files *f = *state;
    struct stat first, second;
    assert_opens(f, WORD_VECTORS_CACHED);
    assert_int_equal(stat(f->cache, &first), 0);
    assert_opens(f, WORD_VECTORS_FROM_CACHE);
    assert_opens(f, WORD_VECTORS_FROM_CACHE);
    assert_int_equal(stat(f->cache, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
}

static void counts_of_the_text_are_kept(void **state)
{
    const struct files *f = *state;
    static const char text[] = "4 1\na 1\n\xff 2\na 3\nb 4\n";
    assert_true(write_whole_file(f->text, text, strlen(text)));
    for (int k = 0; k < 2; k++) {
        struct word_vectors *v = open_file(f->text);
        const struct word_vectors_info *info = word_vectors_info(v);
        assert_int_equal(info->origin, k == 0 ? WORD_VECTORS_CACHED : WORD_VECTORS_FROM_CACHE);
        assert_int_equal(info->n_words, 2);
        assert_int_equal(info->n_left_out, 1);
        assert_int_equal(info->first_left_out, 3);
        assert_int_equal(info->n_repeated, 1);
        word_vectors_free(v);
    }
}

/* The same length and time, another byte: the first, one in the middle, the last. */
static void a_cache_of_another_text_is_made_anew(void **state)
{
    const struct files *f = *state;
    enum { N_LINES = 20000, LINE = 16 };
    char *text = malloc(N_LINES * LINE + 1);
    assert_non_null(text);
    for (int k = 0; k < N_LINES; k++)
        sprintf(text + LINE * k, "w%06d 1.25 2 \n", k);
    static const size_t lines[] = {0, N_LINES / 5, N_LINES - 1};
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    for (size_t i = 0; i <= ARRAY_LEN(lines); i++) {
        assert_true(write_whole_file(f->text, text, N_LINES * LINE));
        assert_int_equal(utimensat(AT_FDCWD, f->text, times, 0), 0);
        struct word_vectors *v = open_file(f->text);
        assert_int_equal(word_vectors_info(v)->origin, WORD_VECTORS_CACHED);
        for (size_t k = 0; k < i; k++) {
            char word[10];
            snprintf(word, sizeof word, "w%06zu", lines[k]);
            assert_float_equal(word_vectors_find(v, word, 7)[0], 7.25F, 0);
        }
        word_vectors_free(v);
        if (i < ARRAY_LEN(lines))
            text[LINE * lines[i] + 8] = '7';
    }
    const struct timespec later[2] = {{.tv_sec = 1000000001}, {.tv_sec = 1000000001}};
    assert_int_equal(utimensat(AT_FDCWD, f->text, later, 0), 0);
    struct word_vectors *v = open_file(f->text);
    assert_int_equal(word_vectors_info(v)->origin, WORD_VECTORS_CACHED);
    word_vectors_free(v);
    free(text);
}

static unsigned char *read_cache(const struct files *f, size_t *ret_n_bytes)
{
    assert_opens(f, WORD_VECTORS_CACHED);
    unsigned char *bytes = read_whole_file(f->cache, ret_n_bytes);
    assert_non_null(bytes);
    return bytes;
}

static void a_cache_that_is_cut_short_or_too_long_is_made_anew(void **state)
{
    const struct files *f = *state;
    size_t n_bytes;
    unsigned char *bytes = read_cache(f, &n_bytes);
    bytes = realloc(bytes, n_bytes + 1);
    assert_non_null(bytes);
    bytes[n_bytes] = 0;
    for (size_t n = 0; n <= n_bytes + 1; n += n < 4000 ? 401 : 13) {
        if (n == n_bytes)
            continue;
        assert_true(write_whole_file(f->cache, bytes, n));
        assert_opens(f, WORD_VECTORS_CACHED);
    }
    assert_true(write_whole_file(f->cache, bytes, n_bytes + 1));
    assert_opens(f, WORD_VECTORS_CACHED);
    free(bytes);
}

/* No vector is ever wrong: the cache is made anew, or the word is not found. */
static void no_damaged_byte_is_believed(void **state)
{
    const struct files *f = *state;
    size_t n_bytes, n_anew = 0, n_lost = 0;
    unsigned char *bytes = read_cache(f, &n_bytes);
    static const char *const words[] = {"the", "cat", ". . ."};
    static const float firsts[] = {0.5F, 3, 5};
    for (size_t at = 0; at < n_bytes; at += 3) {
        if (at >= 200 && at < 4096) /* zeros behind the header */
            continue;
        bytes[at] ^= 0x10;
        assert_true(write_whole_file(f->cache, bytes, n_bytes));
        bytes[at] ^= 0x10;
        struct word_vectors *v = open_file(f->text);
        n_anew += word_vectors_info(v)->origin == WORD_VECTORS_CACHED;
        for (size_t k = 0; k < ARRAY_LEN(words); k++) {
            const float *row = word_vectors_find(v, words[k], strlen(words[k]));
            assert_true(!row || row[0] == firsts[k]);
            n_lost += !row;
        }
        word_vectors_free(v);
    }
    assert_int_equal(n_lost, 3 * sizeof(float)); /* a third of the bytes of rows */
    assert_true(n_anew > 80);
    free(bytes);
}

static void a_cache_may_be_opened_without_its_text(void **state)
{
    const struct files *f = *state;
    assert_opens(f, WORD_VECTORS_CACHED);
    assert_int_equal(unlink(f->text), 0);
    struct word_vectors *v = open_file(f->cache);
    assert_content(v);
    assert_int_equal(word_vectors_info(v)->origin, WORD_VECTORS_FROM_CACHE);
    word_vectors_free(v);
    size_t n_bytes;
    unsigned char *bytes = read_whole_file(f->cache, &n_bytes);
    assert_true(write_whole_file(f->cache, bytes, n_bytes - 1));
    free(bytes);
    const struct word_vectors_options options = {.path = f->cache};
    struct elmo_error err = {0};
    assert_int_equal(word_vectors_open(&v, &options, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, "vec.txt.cache"));
}

static void assert_in_memory(const struct word_vectors_options *options, const char *note)
{
    struct word_vectors *v;
    struct elmo_error err = {0};
    assert_int_equal(word_vectors_open(&v, options, &err), 0);
    assert_content(v);
    assert_int_equal(word_vectors_info(v)->origin, WORD_VECTORS_IN_MEMORY);
    if (!strstr(word_vectors_info(v)->note, note))
        fail_msg("%s", word_vectors_info(v)->note);
    word_vectors_free(v);
}

static void a_cache_that_cannot_be_written_is_done_without(void **state)
{
    const struct files *f = *state;
    struct word_vectors_options options = {.path = f->text, .cache_path = "/nowhere/cache"};
    assert_in_memory(&options, "cannot write '/nowhere/cache.tmp': No such file");
    options.cache_path = f->dir.path; /* a folder */
    assert_in_memory(&options, "cannot write '/");
    /* A disk that is full is like a file that may not grow. */
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    options.cache_path = f->cache;
    for (rlim_t n = 0; n < 4400; n += 4096) {
        limit = (struct rlimit){n, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_in_memory(&options, "File too large");
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(access(f->tmp, F_OK), -1);
    assert_int_equal(access(f->cache, F_OK), -1);
}

static void a_text_that_is_wrong_leaves_no_cache(void **state)
{
    const struct files *f = *state;
    assert_opens(f, WORD_VECTORS_CACHED);
    assert_true(write_whole_file(f->text, "a 1 2\nb 3\n", 10));
    const struct word_vectors_options options = {.path = f->text};
    struct word_vectors *v;
    struct elmo_error err = {0};
    assert_int_equal(word_vectors_open(&v, &options, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, "line 2"));
    assert_int_equal(access(f->tmp, F_OK), -1);
}

/* What a process that was killed leaves behind is written over. */
static void an_unfinished_cache_is_made_anew(void **state)
{
    const struct files *f = *state;
    char rubbish[10000];
    memset(rubbish, 'x', sizeof rubbish);
    assert_true(write_whole_file(f->tmp, rubbish, sizeof rubbish));
    assert_opens(f, WORD_VECTORS_CACHED);
    assert_opens(f, WORD_VECTORS_FROM_CACHE);
}

static void processes_that_come_together_make_one_cache(void **state)
{
    const struct files *f = *state;
    enum { N = 8 };
    int gate[2];
    pid_t children[N];
    assert_int_equal(pipe(gate), 0);
    for (int k = 0; k < N; k++) {
        children[k] = fork();
        assert_true(children[k] >= 0);
        if (children[k] == 0) {
            const struct word_vectors_options options = {.path = f->text};
            struct word_vectors *v;
            char byte;
            close(gate[1]);
            if (read(gate[0], &byte, 1) != 0) /* until all are there */
                _exit(9);
            if (word_vectors_open(&v, &options, NULL))
                _exit(8);
            const float *row = word_vectors_find(v, "cat", 3);
            _exit(row && row[0] == 3 ? (int)word_vectors_info(v)->origin : 7);
        }
    }
    close(gate[0]);
    close(gate[1]);
    int n_made = 0;
    for (int k = 0; k < N; k++) {
        int status;
        assert_int_equal(waitpid(children[k], &status, 0), children[k]);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == WORD_VECTORS_CACHED ||
                    WEXITSTATUS(status) == WORD_VECTORS_FROM_CACHE);
        n_made += WEXITSTATUS(status) == WORD_VECTORS_CACHED;
    }
    assert_int_equal(n_made, 1);
    assert_opens(f, WORD_VECTORS_FROM_CACHE);
}

static void memory_that_runs_out_is_an_error_or_does_no_harm(void **state)
{
    const struct files *f = *state;
    bool done = false;
    for (size_t n_good = 0; !done; n_good++) {
        const struct word_vectors_options options = {.path = f->text};
        struct word_vectors *v = NULL;
        struct elmo_error err = {0};
        unlink(f->cache);
        fail_alloc_after(n_good);
        int r = word_vectors_open(&v, &options, &err);
        done = fail_alloc_stop() == 0;
        assert_true(r == 0 || r == ELMO_E_NOMEM);
        if (r == 0)
            assert_content(v);
        word_vectors_free(v);
        assert_int_equal(access(f->tmp, F_OK), -1);
    }
}

static void looking_up_takes_no_memory(void **state)
{
    const struct files *f = *state;
    assert_opens(f, WORD_VECTORS_CACHED);
    struct word_vectors *v;
    const struct word_vectors_options options = {.path = f->text, .lowercase = true};
    assert_int_equal(word_vectors_open(&v, &options, NULL), 0);
    fail_alloc_after(0);
    const float *row = word_vectors_find(v, "CAT", 3);
    const float *none = word_vectors_find(v, "DOG", 3);
    assert_int_equal(fail_alloc_stop(), 0);
    assert_non_null(row);
    assert_null(none);
    word_vectors_free(v);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_cache_is_made_once),
        TEST(counts_of_the_text_are_kept),
        TEST(a_cache_of_another_text_is_made_anew),
        TEST(a_cache_that_is_cut_short_or_too_long_is_made_anew),
        TEST(no_damaged_byte_is_believed),
        TEST(a_cache_may_be_opened_without_its_text),
        TEST(a_cache_that_cannot_be_written_is_done_without),
        TEST(a_text_that_is_wrong_leaves_no_cache),
        TEST(an_unfinished_cache_is_made_anew),
        TEST(processes_that_come_together_make_one_cache),
        TEST(memory_that_runs_out_is_an_error_or_does_no_harm),
        TEST(looking_up_takes_no_memory),
    };
    /* A thousand caches are made here, each of which waits for its disk. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Texts of word vectors: the formats, and files that are none. Their cache has a test of its own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "defs.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "word_vectors.h"

/* The text as a file, opened in memory alone: its cache would lie in no folder. */
static int open_bytes(struct word_vectors **ret_vectors, const void *bytes, size_t n_bytes,
                      bool lowercase, struct elmo_error *err)
{
    char *path = temp_path(&group_dir, "vectors.txt");
    unlink(path); /* a file that is written over may wait for the disk */
    assert_true(write_whole_file(path, bytes, n_bytes));
    const struct word_vectors_options options = {
        .path = path, .cache_path = "/nowhere/cache", .lowercase = lowercase};
    *err = (struct elmo_error){0};
    int r = word_vectors_open(ret_vectors, &options, err);
    free(path);
    return r;
}

static struct word_vectors *open_text(const char *text)
{
    struct word_vectors *v;
    struct elmo_error err;
    if (open_bytes(&v, text, strlen(text), false, &err))
        fail_msg("%s", err.message);
    return v;
}

static const float *find(const struct word_vectors *v, const char *word)
{
    return word_vectors_find(v, word, strlen(word));
}

static void assert_vector(const struct word_vectors *v, const char *word, float first, float second)
{
    const float *row = find(v, word);
    if (!row)
        fail_msg("no %s", word);
    assert_float_equal(row[0], first, 0);
    assert_float_equal(row[1], second, 0);
}

static void every_format_is_known_by_its_first_line(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text;
    } cases[] = {
        {"GloVe", "the 0.5 -1.25\ncat 3 4e-2\n"},
        {"without a line feed at the end", "the 0.5 -1.25\ncat 3 4e-2"},
        {"word2vec", "2 2\nthe 0.5 -1.25\ncat 3 4e-2\n"},
        {"fastText, with spaces at the ends", "2 2 \nthe 0.5 -1.25 \ncat 3 4e-2 \n"},
        {"tabs", "2\t2\nthe\t0.5\t-1.25\ncat\t3\t4e-2\n"},
        {"columns", "the   0.5   -1.25\ncat   3     4e-2\n"},
        {"Windows", "2 2\r\nthe 0.5 -1.25\r\ncat 3 4e-2\r\n"},
        {"a byte order mark", "\xef\xbb\xbf"
                              "2 2\nthe 0.5 -1.25\ncat 3 4e-2\n"},
        {"blank lines", "\nthe 0.5 -1.25\n\n  \ncat 3 4e-2\n\n"},
        {"other spellings", "the +.5 -125e-2\ncat 3. 0.40E-1\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct word_vectors *v = open_text(cases[i].text);
        const struct word_vectors_info *info = word_vectors_info(v);
        if (info->n_words != 2 || info->dim != 2)
            fail_msg("%s", cases[i].what);
        assert_vector(v, "the", 0.5F, -1.25F);
        assert_vector(v, "cat", 3, 0.04F);
        assert_null(find(v, "dog"));
        assert_null(find(v, "The"));
        assert_null(find(v, "th"));
        assert_null(find(v, ""));
        assert_string_equal(info->name, "vectors.txt");
        assert_int_equal(info->origin, WORD_VECTORS_IN_MEMORY);
        assert_non_null(strstr(info->note, "/nowhere/cache"));
        word_vectors_free(v);
    }
}

static void words_may_hold_spaces_and_any_characters(void **state)
{
    (void)state;
    struct word_vectors *v = open_text("the 1 2\nat name@domain.com 3 4\n. . . 5 6\n"
                                       "\xf0\x9f\x98\x80 7 8\n7 9 10\n\xc2\xa0 11 12\n");
    assert_vector(v, "at name@domain.com", 3, 4);
    assert_vector(v, ". . .", 5, 6);
    assert_vector(v, "\xf0\x9f\x98\x80", 7, 8);
    assert_vector(v, "7", 9, 10);
    assert_vector(v, "\xc2\xa0", 11, 12);
    word_vectors_free(v);
}

static void of_a_word_that_comes_twice_the_first_counts(void **state)
{
    (void)state;
    struct word_vectors *v = open_text("4 2\na 1 2\nb 3 4\na 5 6\na 7 8\n");
    assert_int_equal(word_vectors_info(v)->n_words, 2);
    assert_int_equal(word_vectors_info(v)->n_repeated, 2);
    assert_vector(v, "a", 1, 2);
    assert_vector(v, "b", 3, 4);
    word_vectors_free(v);
}

static void words_that_nobody_can_ask_for_are_left_out_and_counted(void **state)
{
    (void)state;
    struct word_vectors *v = open_text("5 2\na 1 2\n\xff 3 4\n 5 6\n\xed\xa0\x80 7 8\nb 9 10\n");
    assert_int_equal(word_vectors_info(v)->n_words, 2);
    assert_int_equal(word_vectors_info(v)->n_left_out, 3);
    assert_int_equal(word_vectors_info(v)->first_left_out, 3);
    assert_vector(v, "b", 9, 10);
    assert_null(find(v, "\xff"));
    word_vectors_free(v);
}

static void lower_case_is_looked_up_second_where_that_is_asked_for(void **state)
{
    (void)state;
    static const char text[] = "the 1 2\nBank 3 4\nbank 5 6\n\xc3\xa4rger 7 8\n";
    struct word_vectors *v;
    struct elmo_error err;
    assert_int_equal(open_bytes(&v, text, strlen(text), true, &err), 0);
    assert_vector(v, "The", 1, 2);
    assert_vector(v, "THE", 1, 2);
    assert_vector(v, "Bank", 3, 4);
    assert_vector(v, "BANK", 5, 6);
    assert_vector(v, "\xc3\x84RGER", 7, 8);
    assert_null(find(v, "Dog"));
    char *word = calloc(1, 5001);
    assert_non_null(word);
    memset(word, 'A', 5000);
    assert_null(find(v, word));
    free(word);
    word_vectors_free(v);
}

/* By way of double, as strtod and numpy do it. */
static void numbers_are_those_of_strtod(void **state)
{
    (void)state;
    static const char *const numbers[] = {"0.1",
                                          "-0.0",
                                          "0.123456789012345",
                                          "0.1234567890123456789",
                                          "123456789.125",
                                          "1e-45",
                                          "3.4028234e38",
                                          "1e-400",
                                          "-7",
                                          "000000000000000000000.5",
                                          "16777217",
                                          "0.000001",
                                          "5e-324",
                                          "999999999999999",
                                          "9999999999999999",
                                          "-.5",
                                          "5."};
    uint64_t random = 3;
    char number[80], line[200];
    for (size_t i = 0; i < ARRAY_LEN(numbers) + 500; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        if (i < ARRAY_LEN(numbers))
            snprintf(number, sizeof number, "%s", numbers[i]);
        else
            snprintf(number, sizeof number, "%.*f", (int)(random >> 33) % 20,
                     (double)(int64_t)random * 1e-19);
        int n = snprintf(line, sizeof line, "w %s 1\n", number);
        struct word_vectors *v;
        struct elmo_error err;
        if (open_bytes(&v, line, (size_t)n, false, &err))
            fail_msg("%s: %s", number, err.message);
        float expected = (float)strtod(number, NULL);
        assert_memory_equal(find(v, "w"), &expected, sizeof expected);
        word_vectors_free(v);
    }
}

/* ---- What is none ---- */

static void faults_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a 1 2\nb 3\n", "line 2: too few numbers"},
        {"a 1 2\nb\n", "line 2: too few numbers"},
        {"a 1 2\n3 4\n", "line 2: too few numbers"},
        {"a 1 2\n3\n", "line 2: too few numbers"},
        {"a 1 2\nb 3 4 5\n", "line 2: too many numbers"},
        {"a 1 2\n\n\nb 3 x\n", "line 4: not a number"},
        {"a 1 2\nb nan 4\n", "line 2: not a number"},
        {"a 1 2\nb inf 4\n", "line 2: not a number"},
        {"a 1 2\nb -Infinity 4\n", "line 2: not a number"},
        {"a 1 2\nb 1e39 4\n", "line 2: not a number"},
        {"a 1 2\nb 1e999 4\n", "line 2: not a number"},
        {"a 1 2\nb 0x10 4\n", "line 2: not a number"},
        {"a 1 2\nb 1,5 4\n", "line 2: not a number"},
        {"a 1 2\nb --1 4\n", "line 2: not a number"},
        {"a 1 2\nb . 4\n", "line 2: not a number"},
        {"a 1 2\nb - 4\n", "line 2: not a number"},
        {"a 1 2\nb 1e 4\n", "line 2: not a number"},
        {"a 1 2\nb 1.2.3 4\n", "line 2: not a number"},
        {"3 2\na 1 2\nb 3 4\n", "line 3: its first line says 3 words, not 2"},
        {"1 2\na 1 2\nb 3 4\n", "line 3: its first line says 1 words, not 2"},
        {"1 0\na\n", "line 1: a word and 1 to 8192 numbers"},
        {"1 8193\na\n", "line 1: a word and 1 to 8192 numbers"},
        {"word\n", "line 1: a word and 1 to 8192 numbers"},
        {"word one two\n", "line 1: not a number"},
        {"\x1f\x8b\x08\n", "line 1: a word and 1 to 8192 numbers"},
        {"\n\n", "holds no words"},
        {"0 2\n", "holds no words"},
        {"\xff 1 2\n", "holds no words"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct word_vectors *v = NULL;
        struct elmo_error err;
        assert_int_equal(open_bytes(&v, cases[i].text, strlen(cases[i].text), false, &err),
                         ELMO_E_FORMAT);
        assert_null(v);
        if (!strstr(err.message, cases[i].message) || !strstr(err.message, "vectors.txt"))
            fail_msg("%s for %s", err.message, cases[i].text);
    }
}

static void long_lines_and_numbers_are_refused(void **state)
{
    (void)state;
    size_t n = (1 << 20) + 100;
    char *text = malloc(n);
    struct word_vectors *v;
    struct elmo_error err;
    assert_non_null(text);
    memset(text, '0', n);
    memcpy(text, "a 1 2\nb 3 0.", 12);
    assert_int_equal(open_bytes(&v, text, n, false, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, "line 2: longer than 1 MiB"));
    assert_int_equal(open_bytes(&v, text, 200, false, &err), ELMO_E_FORMAT); /* a long number */
    assert_non_null(strstr(err.message, "line 2: not a number"));
    memset(text, 'x', n); /* a long word */
    memcpy(text, "a 1 2\n", 6);
    memcpy(text + 5000, " 3 4\n", 5);
    assert_int_equal(open_bytes(&v, text, 5005, false, &err), 0);
    assert_non_null(word_vectors_find(v, text + 6, 5000 - 6));
    word_vectors_free(v);
    free(text);
}

static void what_is_no_regular_file_is_refused(void **state)
{
    (void)state;
    const struct word_vectors_options options[] = {
        {.path = "/nowhere/vectors"}, {.path = "/dev/null"}, {.path = "/tmp"}};
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        struct word_vectors *v;
        struct elmo_error err = {0};
        assert_int_not_equal(word_vectors_open(&v, &options[i], &err), 0);
        assert_non_null(strstr(err.message, options[i].path));
    }
    struct word_vectors *v;
    struct elmo_error err;
    assert_int_not_equal(open_bytes(&v, "", 0, false, &err), 0);
}

/* Whatever the bytes are: words with finite values, or an error. */
static void any_bytes_are_read_or_refused(void **state)
{
    (void)state;
    static const char good[] = "3 2\nthe 0.5 -1.25\ncat 3 4e-2\n\xc3\xa4 b 1 2\n";
    static const char parts[] = " \n\t\r0123456789.-+eEax\xff\xc3";
    uint64_t random = 9;
    size_t n_good = 0;
    for (int round = 0; round < 2000; round++) {
        char text[sizeof good];
        size_t n = sizeof good - 1;
        memcpy(text, good, n);
        for (int k = 0; k <= round % 3; k++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            text[(random >> 40) % n] = parts[(random >> 33) % (sizeof parts - 1)];
        }
        struct word_vectors *v;
        struct elmo_error err;
        if (open_bytes(&v, text, n - (size_t)round % 2, false, &err)) {
            assert_true(err.status == ELMO_E_FORMAT && err.message[0]);
            continue;
        }
        n_good++;
        const float *row = find(v, "cat");
        for (size_t k = 0; row && k < word_vectors_info(v)->dim; k++)
            assert_true(isfinite(row[k]));
        word_vectors_free(v);
    }
    assert_true(n_good > 100 && n_good < 1900);
}

static void opening_stops_when_told(void **state)
{
    (void)state;
    char *path = temp_path(&group_dir, "vectors.txt"), *cache = temp_path(&group_dir, "cache");
    assert_true(write_whole_file(path, "a 1 2\n", 6));
    const atomic_int stop = 1;
    const struct word_vectors_options options = {.path = path, .cache_path = cache, .stop = &stop};
    struct word_vectors *v;
    struct elmo_error err = {0};
    assert_int_equal(word_vectors_open(&v, &options, &err), ELMO_E_IO);
    size_t n_bytes;
    assert_null(read_whole_file(cache, &n_bytes));
    free(path);
    free(cache);
}

static void memory_that_runs_out_is_an_error(void **state)
{
    (void)state;
    AUTO(mem_free) char *text = malloc(200000);
    assert_non_null(text);
    size_t n = 0;
    for (int k = 0; k < 3000; k++)
        n += (size_t)sprintf(text + n, "word%d %d %d\n", k, k, -k);
    bool done = false;
    for (size_t n_good = 0; !done; n_good++) {
        char *path = temp_path(&group_dir, "vectors.txt");
        assert_true(write_whole_file(path, text, n));
        const struct word_vectors_options options = {.path = path, .cache_path = "/nowhere/cache"};
        struct word_vectors *v = NULL;
        struct elmo_error err = {0};
        fail_alloc_after(n_good);
        int r = word_vectors_open(&v, &options, &err);
        done = fail_alloc_stop() == 0;
        assert_true(r == 0 || r == ELMO_E_NOMEM);
        if (r == 0)
            assert_vector(v, "word2999", 2999, -2999);
        word_vectors_free(v);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_is_known_by_its_first_line),
        cmocka_unit_test(words_may_hold_spaces_and_any_characters),
        cmocka_unit_test(of_a_word_that_comes_twice_the_first_counts),
        cmocka_unit_test(words_that_nobody_can_ask_for_are_left_out_and_counted),
        cmocka_unit_test(lower_case_is_looked_up_second_where_that_is_asked_for),
        cmocka_unit_test(numbers_are_those_of_strtod),
        cmocka_unit_test(faults_name_the_line),
        cmocka_unit_test(long_lines_and_numbers_are_refused),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
        cmocka_unit_test(any_bytes_are_read_or_refused),
        cmocka_unit_test(opening_stops_when_told),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, group_dir_init, group_dir_done);
}

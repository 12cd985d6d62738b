/* Words of --corpus: what is a file, what is a weight, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "train/data/weighted_files.h"

static void words_are_files_with_weights(void **state)
{
    (void)state;
    static const struct {
        const char *word, *path;
        double weight;
    } cases[] = {
        {"a.txt", "a.txt", 1},
        {"a.txt:2", "a.txt", 2},
        {"a.txt:0.5", "a.txt", 0.5},
        {"a.txt:.25", "a.txt", 0.25},
        {"a.txt:2.5", "a.txt", 2.5},
        {"a.txt:1e-3", "a.txt", 0.001},
        {"a.txt:1E+2", "a.txt", 100},
        {"a.txt:1000", "a.txt", 1000},
        {"a.txt:1e-300", "a.txt", 1e-300},
        {"/some/dir/a.txt.xz:3", "/some/dir/a.txt.xz", 3},
        {"a:b:2", "a:b", 2},
        {"a:1:2", "a:1", 2},
        {"a::2", "a:", 2},
        {"-", "-", 1},
        {"-:2", "-", 2},
        {" :2", " ", 2},
    };
    const char *words[ARRAY_LEN(cases)];
    struct weighted_files all;
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct weighted_files one;
        words[k] = cases[k].word;
        assert_int_equal(weighted_files_parse(&one, &words[k], 1, NULL), 0);
        assert_int_equal(one.n_files, 1);
        assert_string_equal(one.paths[0], cases[k].path);
        assert_true(one.weights[0] == cases[k].weight);
        weighted_files_done(&one);
    }
    assert_int_equal(weighted_files_parse(&all, words, ARRAY_LEN(words), NULL), 0);
    assert_int_equal(all.n_files, ARRAY_LEN(cases));
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        assert_string_equal(all.paths[k], cases[k].path);
        assert_true(all.weights[k] == cases[k].weight);
    }
    weighted_files_done(&all);
}

static void bad_words_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *word, *message;
    } cases[] = {
        {"a.txt:", "'' is not a weight"},      {"a.txt:0", "'0' is not a weight"},
        {"a.txt:0.0", "not a weight"},         {"a.txt:-1", "not a weight"},
        {"a.txt:1000.1", "at most 1000"},      {"a.txt:1e9", "not a weight"},
        {"a.txt:1e999", "not a weight"},       {"a.txt:1e-999", "not a weight"},
        {"a.txt:nan", "not a weight"},         {"a.txt:inf", "not a weight"},
        {"a.txt:0x10", "not a weight"},        {"a.txt: 2", "not a weight"},
        {"a.txt:2 ", "not a weight"},          {"a.txt:2x", "'2x' is not a weight"},
        {"a.txt:2,5", "not a weight"},         {"a.txt:1.5.2", "not a weight"},
        {"a.txt:2e", "not a weight"},          {"a.txt:2:b", "'b' is not a weight"},
        {"a.txt:e", "not a weight"},           {"C:/corpus.txt", "'/corpus.txt' is not a weight"},
        {"", "name of the file is missing"},   {":", "name of the file is missing"},
        {":2", "name of the file is missing"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct weighted_files f;
        struct elmo_error err = {0};
        const char *const words[] = {"good:2", cases[k].word, "good"};
        char quoted[60];
        assert_int_equal(weighted_files_parse(&f, words, ARRAY_LEN(words), &err), ELMO_E_INVALID);
        snprintf(quoted, sizeof quoted, "--corpus '%s'", cases[k].word);
        if (!strstr(err.message, quoted) || !strstr(err.message, cases[k].message))
            fail_msg("'%s': %s", cases[k].word, err.message);
    }
}

static void a_file_that_is_there_is_that_file(void **state)
{
    (void)state;
    static const char *const names[] = {"a:2", "a:", "a:b", "a:0"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        struct weighted_files f;
        char *path = temp_path(&group_dir, names[k]), with_weight[400];
        snprintf(with_weight, sizeof with_weight, "%s:3", path);
        const char *const words[] = {path, with_weight};
        assert_true(write_whole_file(path, "x\n", 2));
        assert_int_equal(weighted_files_parse(&f, words, 2, NULL), 0);
        assert_string_equal(f.paths[0], path);
        assert_true(f.weights[0] == 1);
        assert_string_equal(f.paths[1], path);
        assert_true(f.weights[1] == 3);
        weighted_files_done(&f);
        unlink(path);
        free(path);
    }
}

static void a_name_that_begins_with_a_colon_can_be_a_file(void **state)
{
    (void)state;
    char before[1000];
    struct weighted_files f;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(group_dir.path), 0);
    assert_true(write_whole_file(":2", "x\n", 2));
    assert_int_equal(weighted_files_parse(&f, (const char *const[]){":2"}, 1, NULL), 0);
    assert_string_equal(f.paths[0], ":2");
    assert_true(f.weights[0] == 1);
    weighted_files_done(&f);
    unlink(":2");
    assert_int_equal(chdir(before), 0);
}

static void no_words_are_no_files(void **state)
{
    (void)state;
    struct weighted_files f;
    assert_int_equal(weighted_files_parse(&f, NULL, 0, NULL), 0);
    assert_int_equal(f.n_files, 0);
    weighted_files_done(&f);
    weighted_files_done(&f);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    const char *const words[] = {"a:2", "b"};
    for (size_t n_good = 0; n_good <= 3; n_good++) {
        struct weighted_files f = {0};
        fail_alloc_after(n_good);
        int r = weighted_files_parse(&f, words, ARRAY_LEN(words), NULL);
        size_t n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        assert_int_equal(n_failed == 0, n_good == 3);
        weighted_files_done(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_files_with_weights),
        cmocka_unit_test(bad_words_are_refused_with_a_reason),
        cmocka_unit_test(a_file_that_is_there_is_that_file),
        cmocka_unit_test(a_name_that_begins_with_a_colon_can_be_a_file),
        cmocka_unit_test(no_words_are_no_files),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, group_dir_init, group_dir_done);
}

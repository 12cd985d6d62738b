/* Vocabularies: which words make one, bilm-tf's file, its faults; and the table of words below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "support/train_files.h"
#include "train/data/vocab.h"

#define TOKEN(text)            \
    {                          \
        text, sizeof(text) - 1 \
    }

/* ---- The table of words ---- */

static void words_are_numbered_as_they_appear(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct word_table table = {0};
    char text[16];
    for (int round = 0; round < 2; round++)
        for (uint32_t k = 0; k < N; k++) {
            size_t n = (size_t)snprintf(text, sizeof text, "w%u", k * 7919u);
            assert_int_equal(word_table_add(&table, text, n), k);
        }
    assert_int_equal(table.n_items, N);
    for (uint32_t k = 0; k < N; k++) {
        size_t n = (size_t)snprintf(text, sizeof text, "w%u", k * 7919u);
        assert_int_equal(word_table_find(&table, text, n), k);
        assert_int_equal(table.items[k].n_bytes, n);
        assert_memory_equal(table.items[k].bytes, text, n);
        text[0] = 'v';
        assert_int_equal(word_table_find(&table, text, n), WORD_NONE);
    }
    word_table_done(&table);
}

static void words_are_any_bytes_of_any_length(void **state)
{
    (void)state;
    struct word_table table = {0};
    char *long_word = calloc(1, 1 << 20);
    assert_int_equal(word_table_find(&table, "a", 1), WORD_NONE);
    assert_int_equal(word_table_add(&table, "", 0), 0);
    assert_int_equal(word_table_add(&table, "a\0b", 3), 1);
    assert_int_equal(word_table_add(&table, "a\0c", 3), 2);
    assert_int_equal(word_table_add(&table, "a", 1), 3);
    assert_int_equal(word_table_add(&table, long_word, 1 << 20), 4);
    assert_int_equal(word_table_add(&table, long_word, (1 << 20) - 1), 5);
    assert_int_equal(word_table_find(&table, long_word, 1 << 20), 4);
    assert_int_equal(word_table_find(&table, "a\0c", 3), 2);
    word_table_done(&table);
    free(long_word);
}

static void a_table_out_of_memory_keeps_what_it_has(void **state)
{
    (void)state;
    struct word_table table = {0};
    char text[16];
    for (uint32_t k = 0; k < 5000;) {
        size_t n = (size_t)snprintf(text, sizeof text, "%u", k);
        fail_alloc_after(0);
        uint32_t index = word_table_add(&table, text, n);
        if (fail_alloc_stop()) {
            assert_int_equal(index, WORD_NONE);
            assert_int_equal(table.n_items, k);
            index = word_table_add(&table, text, n);
        }
        assert_int_equal(index, k++);
    }
    assert_int_equal(word_table_find(&table, "4999", 4), 4999);
    word_table_done(&table);
}

/* ---- Making one ---- */

static const struct elmo_token words[] = {
    TOKEN("<UNK>"), TOKEN("b"),   TOKEN("the"), TOKEN("a"),   TOKEN("never"), TOKEN("</S>"),
    TOKEN("ab"),    TOKEN("<S>"), TOKEN(" x"),  TOKEN("x\t"), TOKEN("y\0z"),  TOKEN("\xc3\xa9"),
};
static const uint64_t counts[ARRAY_LEN(words)] = {100, 3, 50, 3, 0, 100, 3, 100, 99, 99, 99, 4};
static const char built[] = "<S>\n</S>\n<UNK>\nthe\n\xc3\xa9\na\nab\nb\n";

/* The lines of the file that vocab_write makes; free() it. */
static char *written(const struct vocab *vocab)
{
    size_t n_bytes;
    char *path = temp_path(&group_dir, "written");
    assert_int_equal(vocab_write(vocab, path, NULL), 0);
    unsigned char *bytes = read_whole_file(path, &n_bytes);
    char *text = calloc(1, n_bytes + 1);
    memcpy(text, bytes, n_bytes);
    free(bytes);
    free(path);
    return text;
}

static void words_are_sorted_by_count_then_bytes(void **state)
{
    (void)state;
    struct vocab vocab;
    assert_int_equal(vocab_build(&vocab, words, counts, ARRAY_LEN(words), 100, NULL), 0);
    char *text = written(&vocab);
    assert_string_equal(text, built);
    free(text);
    vocab_done(&vocab);
}

static void the_order_of_the_words_does_not_matter(void **state)
{
    (void)state;
    enum { N = ARRAY_LEN(words) };
    for (size_t shift = 0; shift < N; shift++) {
        struct elmo_token turned[N];
        uint64_t turned_counts[N];
        struct vocab vocab;
        for (size_t k = 0; k < N; k++) {
            turned[k] = words[(k + shift) % N];
            turned_counts[k] = counts[(k + shift) % N];
        }
        assert_int_equal(vocab_build(&vocab, turned, turned_counts, N, 100, NULL), 0);
        char *text = written(&vocab);
        assert_string_equal(text, built);
        free(text);
        vocab_done(&vocab);
    }
}

static void the_size_counts_the_marks(void **state)
{
    (void)state;
    for (size_t size = 4; size < 12; size++) {
        struct vocab vocab;
        assert_int_equal(vocab_build(&vocab, words, counts, ARRAY_LEN(words), size, NULL), 0);
        assert_int_equal(vocab.words.n_items, size < 8 ? size : 8);
        assert_int_equal(vocab_find(&vocab, "the", 3), 3);
        assert_int_equal(vocab_find(&vocab, "b", 1), size < 8 ? VOCAB_UNKNOWN : 7);
        vocab_done(&vocab);
    }
}

static void there_must_be_a_word_and_room_for_it(void **state)
{
    (void)state;
    struct vocab vocab;
    struct elmo_error err = {0};
    assert_int_equal(vocab_build(&vocab, words, counts, ARRAY_LEN(words), 3, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "no room"));
    err = (struct elmo_error){0};
    assert_int_equal(vocab_build(&vocab, words, counts, 1, 100, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "no word"));
    assert_int_equal(vocab_build(&vocab, words, counts, 0, 100, NULL), ELMO_E_INVALID);
}

/* ---- The file ---- */

static void a_file_gives_its_lines_as_ids(void **state)
{
    (void)state;
    static const char text[] = "<S>\r\n</S>\r\n<UNK>\r\nthe\r\ncaf\xc3\xa9";
    for (enum train_packing p = 0; p < TRAIN_N_PACKINGS; p++) {
        struct vocab vocab;
        char *path = train_write(group_dir.path, "vocab", text, sizeof text - 1, p);
        assert_int_equal(vocab_read(&vocab, path, NULL), 0);
        assert_int_equal(vocab.words.n_items, 5);
        assert_int_equal(vocab_find(&vocab, "<S>", 3), VOCAB_BOS);
        assert_int_equal(vocab_find(&vocab, "</S>", 4), VOCAB_EOS);
        assert_int_equal(vocab_find(&vocab, "the", 3), 3);
        assert_int_equal(vocab_find(&vocab, "caf\xc3\xa9", 5), 4);
        assert_int_equal(vocab_find(&vocab, "The", 3), VOCAB_UNKNOWN);
        assert_int_equal(vocab_find(&vocab, "", 0), VOCAB_UNKNOWN);
        vocab_done(&vocab);
        free(path);
    }
}

static void what_was_written_is_read_again(void **state)
{
    (void)state;
    struct vocab made, read;
    char *path = temp_path(&group_dir, "again"), *text;
    assert_int_equal(vocab_build(&made, words, counts, ARRAY_LEN(words), 100, NULL), 0);
    assert_int_equal(vocab_write(&made, path, NULL), 0);
    assert_int_equal(vocab_read(&read, path, NULL), 0);
    text = written(&read);
    assert_string_equal(text, built);
    free(text);
    vocab_done(&made);
    vocab_done(&read);
    free(path);
}

static void faults_of_a_file_are_named_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "has no word"},
        {"<S>\n</S>\n<UNK>\n", "has no word"},
        {"the\n</S>\n<UNK>\n", "line 1 must be <S>"},
        {"<S>\n<UNK>\n</S>\nthe\n", "line 2 must be </S>"},
        {"<S>\n</S>\n<unk>\nthe\n", "line 3 must be <UNK>"},
        {"<S>\n</S>\n<UNK>\nthe\n\na\n", "line 5 is empty"},
        {"<S>\n</S>\n<UNK>\nthe\na\nthe\n", "line 6 has a word that was there before"},
        {"<S>\n</S>\n<UNK>\n<S>\n", "line 4 has a word that was there before"},
        {"<S>\n</S>\n<UNK>\n\xc3\n", "line 4 is not UTF-8"},
        {"<S>\n</S>\n<UNK>\nthe \n", "line 4 has white space"},
        {"<S>\n</S>\n<UNK>\n the\n", "line 4 has white space"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct vocab vocab;
        struct elmo_error err = {0};
        char *path =
            train_write(group_dir.path, "fault", cases[k].text, strlen(cases[k].text), TRAIN_PLAIN);
        assert_int_equal(vocab_read(&vocab, path, &err), ELMO_E_FORMAT);
        assert_non_null(strstr(err.message, path));
        if (!strstr(err.message, cases[k].message))
            fail_msg("'%s' does not say '%s'", err.message, cases[k].message);
        free(path);
    }
}

static void a_line_of_megabytes_is_no_word(void **state)
{
    (void)state;
    enum { N = 3 << 20 };
    struct vocab vocab;
    struct elmo_error err = {0};
    char *text = malloc(N);
    memset(text, 'x', N);
    memcpy(text, "<S>\n</S>\n<UNK>\n", 15);
    char *path = train_write(group_dir.path, "megabytes", text, N, TRAIN_PLAIN);
    assert_int_equal(vocab_read(&vocab, path, &err), ELMO_E_FORMAT);
    free(path);
    free(text);
}

static void a_missing_file_is_an_error(void **state)
{
    (void)state;
    struct vocab vocab;
    assert_int_equal(vocab_read(&vocab, "/nowhere/vocab.txt", NULL), ELMO_E_IO);
}

static void a_file_survives_a_failed_write(void **state)
{
    (void)state;
    struct vocab vocab;
    struct elmo_error err = {0};
    size_t n_bytes;
    char *path = temp_path(&group_dir, "old"), *tmp = temp_path(&group_dir, "old.tmp");
    assert_int_equal(vocab_build(&vocab, words, counts, ARRAY_LEN(words), 100, NULL), 0);
    assert_true(write_whole_file(path, "old", 3));
    assert_int_equal(mkdir(tmp, 0777), 0);
    assert_int_equal(vocab_write(&vocab, path, &err), ELMO_E_IO);
    assert_int_equal(rmdir(tmp), 0);
    unsigned char *bytes = read_whole_file(path, &n_bytes);
    assert_int_equal(n_bytes, 3);
    assert_memory_equal(bytes, "old", 3);
    free(bytes);
    free(path);
    free(tmp);
    vocab_done(&vocab);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    struct vocab vocab;
    char *path = train_write(group_dir.path, "memory", built, strlen(built), TRAIN_PLAIN);
    for (int reads = 0; reads < 2; reads++)
        for (size_t n_good = 0;; n_good++) {
            fail_alloc_after(n_good);
            int r = reads ? vocab_read(&vocab, path, NULL)
                          : vocab_build(&vocab, words, counts, ARRAY_LEN(words), 100, NULL);
            if (!fail_alloc_stop()) {
                assert_int_equal(r, 0);
                assert_true(n_good >= 3);
                vocab_done(&vocab);
                break;
            }
            assert_int_equal(r, ELMO_E_NOMEM);
        }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_numbered_as_they_appear),
        cmocka_unit_test(words_are_any_bytes_of_any_length),
        cmocka_unit_test(a_table_out_of_memory_keeps_what_it_has),
        cmocka_unit_test(words_are_sorted_by_count_then_bytes),
        cmocka_unit_test(the_order_of_the_words_does_not_matter),
        cmocka_unit_test(the_size_counts_the_marks),
        cmocka_unit_test(there_must_be_a_word_and_room_for_it),
        cmocka_unit_test(a_file_gives_its_lines_as_ids),
        cmocka_unit_test(what_was_written_is_read_again),
        cmocka_unit_test(faults_of_a_file_are_named_with_their_line),
        cmocka_unit_test(a_line_of_megabytes_is_no_word),
        cmocka_unit_test(a_missing_file_is_an_error),
        cmocka_unit_test(a_file_survives_a_failed_write),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, group_dir_init, group_dir_done);
}

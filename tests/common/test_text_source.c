/* Lines of plain, gzip and xz files: every line end, every place to break off, long lines, and
 * files that are not what they say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <unistr.h>

#include "common/text_source.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "support/train_files.h"
#include "util/rng.h"

#define LIMIT 64 /* bytes of a line, in tests of long lines */

/* All lines, each followed by '|'; free() it. On an error: NULL, with the error in *err. */
static char *read_lines(const char *path, size_t max_line_bytes, size_t *ret_n_cut,
                        struct elmo_error *err)
{
    struct text_source *source;
    char *lines, *line;
    size_t n_lines_bytes, n_bytes;
    if (text_source_open(&source, path, max_line_bytes, err))
        return NULL;
    FILE *out = open_memstream(&lines, &n_lines_bytes);
    assert_non_null(out);
    int r;
    while (!(r = text_source_next(source, &line, &n_bytes, err)) && line) {
        assert_true(n_bytes <= max_line_bytes);
        fwrite(line, 1, n_bytes, out);
        putc('|', out);
    }
    fclose(out);
    if (ret_n_cut)
        *ret_n_cut = text_source_n_cut(source);
    if (r) { /* and it stays at the end */
        assert_int_equal(text_source_next(source, &line, &n_bytes, NULL), 0);
        assert_null(line);
        free(lines);
        lines = NULL;
    }
    text_source_free(source);
    return lines;
}

static void lines_end_in_lf_or_crlf_or_with_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *text, *lines;
    } cases[] = {
        {"", ""},
        {"\n", "|"},
        {"a\nb\n", "a|b|"},
        {"a\nb", "a|b|"},
        {"a\r\nb\r\n", "a|b|"},
        {"a\r\nb\r", "a|b|"},
        {"\r\n\n\na\n", "|||a|"},
        {"a\rb\n", "a\rb|"},
        {" a \t\n", " a \t|"},
        {"\xef\xbb\xbf"
         "a\n\xef\xbb\xbf"
         "b\n",
         "a|\xef\xbb\xbf"
         "b|"},
        {"caf\xc3\xa9 \xff\n", "caf\xc3\xa9 \xff|"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        for (enum train_packing p = 0; p < TRAIN_N_PACKINGS; p++) {
            char *path = train_write(group_dir.path, "x", cases[k].text, strlen(cases[k].text), p);
            char *lines = read_lines(path, LIMIT, NULL, NULL);
            assert_non_null(lines);
            assert_string_equal(lines, cases[k].lines);
            free(lines);
            free(path);
        }
}

/* Random lines of 0..900 bytes, about 3 MB: more than any buffer of the source. */
static char *random_text(size_t *ret_n_bytes)
{
    char *text;
    FILE *out = open_memstream(&text, ret_n_bytes);
    struct rng rng = {5};
    assert_non_null(out);
    for (int k = 0; k < 7000; k++)
        for (size_t n = rng_next(&rng) % 900 + 1; n > 0; n--)
            putc(n == 1 ? '\n' : (int)('a' + rng_next(&rng) % 26), out);
    fclose(out);
    return text;
}

static void large_files_come_whole_in_every_packing(void **state)
{
    (void)state;
    size_t n_bytes;
    char *text = random_text(&n_bytes);
    assert_true(n_bytes > 2 * TEXT_SOURCE_MAX_LINE);
    for (enum train_packing p = 0; p < TRAIN_N_PACKINGS; p++) {
        char *path = train_write(group_dir.path, "large", text, n_bytes, p);
        char *lines = read_lines(path, TEXT_SOURCE_MAX_LINE, NULL, NULL);
        assert_non_null(lines);
        assert_int_equal(strlen(lines), n_bytes);
        for (size_t k = 0; k < n_bytes; k++)
            if (lines[k] != (text[k] == '\n' ? '|' : text[k]))
                fail_msg("packing %d: byte %zu differs", (int)p, k);
        free(lines);
        free(path);
    }
    free(text);
}

static void how_much_of_the_file_is_done_grows_to_1(void **state)
{
    (void)state;
    size_t n_bytes, n_line_bytes;
    char *text = random_text(&n_bytes), *line;
    for (enum train_packing p = 0; p < TRAIN_N_PACKINGS; p++) {
        char *path = train_write(group_dir.path, "share", text, n_bytes, p);
        struct text_source *source;
        double n_taken = 0, before = 0;
        assert_int_equal(text_source_open(&source, path, LIMIT * 16, NULL), 0);
        while (!text_source_next(source, &line, &n_line_bytes, NULL) && line) {
            double share = text_source_done_share(source);
            n_taken += (double)n_line_bytes + 1;
            assert_true(share >= before - 0.01 && share <= 1);
            assert_true(fabs(share - n_taken / (double)n_bytes) < 0.05);
            before = share;
        }
        assert_true(text_source_done_share(source) > 0.999);
        text_source_free(source);
        free(path);
    }
    free(text);
}

static void archives_are_known_by_their_bytes(void **state)
{
    (void)state;
    for (enum train_packing p = 0; p < TRAIN_N_PACKINGS; p++) {
        size_t n_packed;
        unsigned char *packed = train_pack("one\ntwo\n", 8, p, &n_packed);
        char *path = temp_path(&group_dir, "corpus");
        assert_true(write_whole_file(path, packed, n_packed));
        char *lines = read_lines(path, LIMIT, NULL, NULL);
        assert_string_equal(lines, "one|two|");
        free(lines);
        free(path);
        free(packed);
    }
}

static void archives_one_after_the_other_are_one_text(void **state)
{
    (void)state;
    for (enum train_packing p = TRAIN_GZIP; p < TRAIN_N_PACKINGS; p++) {
        size_t n_first, n_second;
        unsigned char both[512], *first = train_pack("one\ntw", 6, p, &n_first),
                                 *second = train_pack("o\nthree", 7, p, &n_second);
        memcpy(both, first, n_first);
        memcpy(both + n_first, second, n_second);
        char *path = temp_path(&group_dir, "both");
        assert_true(write_whole_file(path, both, n_first + n_second));
        char *lines = read_lines(path, LIMIT, NULL, NULL);
        assert_string_equal(lines, "one|two|three|");
        free(lines);
        free(path);
        free(first);
        free(second);
    }
}

static void every_truncated_archive_is_an_error(void **state)
{
    (void)state;
    static const char text[] = "a line of text\nanother one\nand the last one, which is longer\n";
    for (enum train_packing p = TRAIN_GZIP; p < TRAIN_N_PACKINGS; p++) {
        size_t n_packed;
        unsigned char *packed = train_pack(text, strlen(text), p, &n_packed);
        char name[16], *path;
        snprintf(name, sizeof name, "cut%s", train_suffix(p));
        path = temp_path(&group_dir, name);
        for (size_t n = 0; n < n_packed; n++) {
            struct elmo_error err = {0};
            assert_true(write_whole_file(path, packed, n));
            assert_null(read_lines(path, LIMIT, NULL, &err));
            assert_int_equal(err.status, ELMO_E_IO);
            assert_non_null(strstr(err.message, name));
            if (n >= 6)
                assert_non_null(strstr(err.message, "truncated"));
        }
        free(path);
        free(packed);
    }
}

static void lines_before_the_cut_of_an_archive_still_come(void **state)
{
    (void)state;
    size_t n_bytes, n_packed, n_read, n_seen = 0;
    char *text = random_text(&n_bytes), *line;
    for (enum train_packing p = TRAIN_GZIP; p < TRAIN_N_PACKINGS; p++) {
        struct text_source *source;
        struct elmo_error err = {0};
        unsigned char *packed = train_pack(text, n_bytes, p, &n_packed);
        char *path = temp_path(&group_dir, "half");
        assert_true(write_whole_file(path, packed, n_packed * 9 / 10));
        assert_int_equal(text_source_open(&source, path, TEXT_SOURCE_MAX_LINE, &err), 0);
        int r;
        while (!(r = text_source_next(source, &line, &n_read, &err)) && line)
            n_seen++;
        assert_int_equal(r, ELMO_E_IO);
        assert_true(n_seen > 1000);
        text_source_free(source);
        free(path);
        free(packed);
    }
    free(text);
}

static void every_corrupt_byte_of_an_archive_is_an_error_or_harmless(void **state)
{
    (void)state;
    static const char text[] = "a line of text\nanother one\nand the last one, which is longer\n",
                      lines[] = "a line of text|another one|and the last one, which is longer|";
    for (enum train_packing p = TRAIN_GZIP; p < TRAIN_N_PACKINGS; p++) {
        size_t n_packed, n_errors = 0;
        unsigned char *packed = train_pack(text, strlen(text), p, &n_packed);
        char name[16], *path;
        snprintf(name, sizeof name, "bad%s", train_suffix(p));
        path = temp_path(&group_dir, name);
        for (size_t k = 0; k < n_packed; k++) {
            struct elmo_error err = {0};
            packed[k] ^= 0x10;
            assert_true(write_whole_file(path, packed, n_packed));
            char *read = read_lines(path, LIMIT, NULL, &err);
            if (read) /* gzip's time stamp, say */
                assert_string_equal(read, lines);
            n_errors += !read;
            free(read);
            packed[k] ^= 0x10;
        }
        assert_true(n_errors > n_packed * 3 / 4);
        free(path);
        free(packed);
    }
}

static void a_name_that_lies_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *name, *message;
    } cases[] = {{"text.gz", "is no gzip archive"}, {"text.xz", "is no xz archive"}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct elmo_error err = {0};
        char *path = temp_path(&group_dir, cases[k].name);
        assert_true(write_whole_file(path, "plain text\n", 11));
        assert_null(read_lines(path, LIMIT, NULL, &err));
        assert_int_equal(err.status, ELMO_E_IO);
        assert_non_null(strstr(err.message, cases[k].message));
        free(path);
    }
}

static void a_file_that_cannot_be_read_is_named_with_the_reason(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    assert_null(read_lines("/nowhere/corpus.txt", LIMIT, NULL, &err));
    assert_int_equal(err.status, ELMO_E_IO);
    assert_string_equal(err.message,
                        "cannot read '/nowhere/corpus.txt': No such file or directory");
    err = (struct elmo_error){0};
    assert_null(read_lines(group_dir.path, LIMIT, NULL, &err));
    assert_int_equal(err.status, ELMO_E_IO);
    assert_non_null(strstr(err.message, "Is a directory"));
}

static void minus_is_standard_input(void **state)
{
    (void)state;
    for (enum train_packing p = 0; p < TRAIN_N_PACKINGS; p++) {
        char *path = train_write(group_dir.path, "stdin", "one\ntwo", 7, p);
        int before = dup(STDIN_FILENO);
        assert_non_null(freopen(path, "rb", stdin));
        char *lines = read_lines("-", LIMIT, NULL, NULL);
        assert_int_equal(dup2(before, STDIN_FILENO), STDIN_FILENO);
        close(before);
        assert_string_equal(lines, "one|two|");
        free(lines);
        free(path);
    }
}

/* ---- Long lines ---- */

static void a_line_of_the_limit_is_whole_and_a_longer_one_is_cut(void **state)
{
    (void)state;
    for (size_t n = LIMIT - 2; n <= LIMIT + 2; n++)
        for (int crlf = 0; crlf < 2; crlf++) {
            char text[LIMIT + 32];
            size_t n_cut = 99;
            memset(text, 'x', n);
            strcpy(text + n, crlf ? "\r\nnext\r\n" : "\nnext\n");
            char *path = train_write(group_dir.path, "limit", text, strlen(text), TRAIN_PLAIN);
            char *lines = read_lines(path, LIMIT, &n_cut, NULL);
            assert_int_equal(n_cut, n > LIMIT);
            assert_int_equal(strcspn(lines, "|"), n > LIMIT ? LIMIT : n);
            assert_int_equal(strlen(lines), n + 1 + (n > LIMIT) + 5);
            free(lines);
            free(path);
        }
}

static void a_long_line_is_cut_at_white_space(void **state)
{
    (void)state;
    size_t n_cut, n_words = 1500000, n_bytes; /* of 6 bytes and a space: 10 MB */
    char *text;
    FILE *out = open_memstream(&text, &n_bytes);
    for (size_t k = 0; k < n_words; k++)
        fprintf(out, "%06zu%c", k % 1000000, k + 1 < n_words ? ' ' : '\n');
    fputs("short\n", out);
    fclose(out);
    char *path = train_write(group_dir.path, "long", text, n_bytes, TRAIN_XZ);
    char *lines = read_lines(path, TEXT_SOURCE_MAX_LINE, &n_cut, NULL);
    assert_int_equal(n_cut, 1);
    assert_int_equal(strlen(lines), n_bytes);
    size_t n_pieces = 0;
    for (size_t k = 0; k < n_bytes; k++) {
        bool ends = text[k] == ' ' || text[k] == '\n';
        n_pieces += lines[k] == '|';
        if (ends ? lines[k] != ' ' && lines[k] != '|' : lines[k] != text[k])
            fail_msg("byte %zu differs", k);
    }
    assert_int_equal(n_pieces, 10500000 / TEXT_SOURCE_MAX_LINE + 2);
    free(lines);
    free(path);
    free(text);
}

static void a_long_word_is_cut_between_code_points(void **state)
{
    (void)state;
    static const char *const letters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t k = 0; k < ARRAY_LEN(letters); k++)
        for (size_t shift = 0; shift < 4; shift++) {
            char text[LIMIT * 10] = {0}, joined[LIMIT * 10] = {0};
            size_t n_cut;
            memset(text, '-', shift);
            while (strlen(text) < LIMIT * 8)
                strcat(text, letters[k]);
            char *path = train_write(group_dir.path, "word", text, strlen(text), TRAIN_PLAIN);
            char *lines = read_lines(path, LIMIT, &n_cut, NULL);
            assert_int_equal(n_cut, 1);
            for (char *rest = lines, *piece; (piece = strtok_r(rest, "|", &rest));) {
                assert_null(u8_check((const uint8_t *)piece, strlen(piece)));
                strcat(joined, piece);
            }
            assert_string_equal(joined, text);
            free(lines);
            free(path);
        }
}

static void each_long_line_is_counted_once(void **state)
{
    (void)state;
    char text[2000] = {0};
    size_t n_cut;
    for (int k = 0; k < 3; k++) {
        memset(text + strlen(text), 'y', 500);
        strcat(text, k == 1 ? "\nshort\n" : "\n");
    }
    char *path = train_write(group_dir.path, "three", text, strlen(text), TRAIN_PLAIN);
    free(read_lines(path, LIMIT, &n_cut, NULL));
    assert_int_equal(n_cut, 3);
    free(path);
}

static void pieces_say_whether_their_line_goes_on(void **state)
{
    (void)state;
    static const char text[] = "one\na line of more than sixteen bytes\ntwo\n";
    static const bool goes_on[] = {false, true, true, false, false};
    struct text_source *source;
    char *line;
    size_t n_bytes;
    char *path = train_write(group_dir.path, "pieces", text, strlen(text), TRAIN_PLAIN);
    assert_int_equal(text_source_open(&source, path, 16, NULL), 0);
    for (size_t k = 0; k < ARRAY_LEN(goes_on); k++) {
        assert_int_equal(text_source_next(source, &line, &n_bytes, NULL), 0);
        assert_non_null(line);
        assert_int_equal(text_source_goes_on(source), goes_on[k]);
    }
    assert_int_equal(text_source_next(source, &line, &n_bytes, NULL), 0);
    assert_null(line);
    text_source_free(source);
    free(path);
}

static void bytes_that_are_no_text_are_cut_too(void **state)
{
    (void)state;
    char text[LIMIT * 5];
    memset(text, 0x80, sizeof text);
    char *path = train_write(group_dir.path, "binary", text, sizeof text, TRAIN_PLAIN);
    char *lines = read_lines(path, LIMIT, NULL, NULL);
    assert_int_equal(strlen(lines), sizeof text + 5);
    free(lines);
    free(path);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    char *path = train_write(group_dir.path, "memory", "a\n", 2, TRAIN_PLAIN);
    struct text_source *source = NULL;
    size_t n_good = 0;
    for (;; n_good++) {
        fail_alloc_after(n_good);
        int r = text_source_open(&source, path, LIMIT, NULL);
        if (!fail_alloc_stop()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, ELMO_E_NOMEM);
        assert_null(source);
    }
    assert_true(n_good >= 3);
    text_source_free(source);
    text_source_free(NULL);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_in_lf_or_crlf_or_with_the_file),
        cmocka_unit_test(large_files_come_whole_in_every_packing),
        cmocka_unit_test(how_much_of_the_file_is_done_grows_to_1),
        cmocka_unit_test(archives_are_known_by_their_bytes),
        cmocka_unit_test(archives_one_after_the_other_are_one_text),
        cmocka_unit_test(every_truncated_archive_is_an_error),
        cmocka_unit_test(lines_before_the_cut_of_an_archive_still_come),
        cmocka_unit_test(every_corrupt_byte_of_an_archive_is_an_error_or_harmless),
        cmocka_unit_test(a_name_that_lies_is_an_error),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named_with_the_reason),
        cmocka_unit_test(minus_is_standard_input),
        cmocka_unit_test(a_line_of_the_limit_is_whole_and_a_longer_one_is_cut),
        cmocka_unit_test(a_long_line_is_cut_at_white_space),
        cmocka_unit_test(a_long_word_is_cut_between_code_points),
        cmocka_unit_test(each_long_line_is_counted_once),
        cmocka_unit_test(pieces_say_whether_their_line_goes_on),
        cmocka_unit_test(bytes_that_are_no_text_are_cut_too),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, group_dir_init, group_dir_done);
}

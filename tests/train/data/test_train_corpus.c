/* Text in memory as word numbers: what is kept, what is skipped and counted, what is an error. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "support/train_files.h"
#include "train/data/corpus.h"

static const struct corpus_settings unicode = {.tokenizer = TOKENIZER_UNICODE};

static int load(struct corpus *ret_corpus, const char *text, size_t n_bytes,
                const struct corpus_settings *settings, struct elmo_error *err)
{
    char *path = train_write(group_dir.path, "corpus", text, n_bytes, TRAIN_PLAIN);
    int r = corpus_load(ret_corpus, (const char *const[]){path}, 1, settings, err);
    free(path);
    return r;
}

/* The corpus as text: tokens parted by ' ', each line ended by '|'; free() it. */
static char *shown(const struct corpus *c)
{
    char *text;
    size_t n_bytes;
    FILE *out = open_memstream(&text, &n_bytes);
    for (size_t line = 0; line < c->n_lines; line++) {
        for (size_t k = c->line_begins[line]; k < c->line_begins[line + 1]; k++) {
            const struct elmo_token *word = &c->words[c->tokens[k]];
            fprintf(out, "%s%.*s", k > c->line_begins[line] ? " " : "", (int)word->n_bytes,
                    word->bytes);
        }
        putc('|', out);
    }
    fclose(out);
    return text;
}

static void check(const char *text, const struct corpus_settings *settings, const char *expected)
{
    struct corpus corpus;
    assert_int_equal(load(&corpus, text, strlen(text), settings, NULL), 0);
    char *read = shown(&corpus);
    assert_string_equal(read, expected);
    free(read);
    corpus_done(&corpus);
}

static void lines_are_paragraphs_of_tokens(void **state)
{
    (void)state;
    const struct corpus_settings white = {.tokenizer = TOKENIZER_WHITESPACE};
    check("The film isn't bad.\nCaf\xc3\xa9!\n", &unicode, "The film isn't bad .|Caf\xc3\xa9 !|");
    check("The film isn't bad.\nCaf\xc3\xa9!\n", &white, "The film isn't bad.|Caf\xc3\xa9!|");
    check("no final\nnewline", &unicode, "no final|newline|");
    check("crlf\r\nfile\r\n", &unicode, "crlf|file|");
    check("\n\n  \t\none\n\x01\n\ntwo\n\n", &unicode, "one|two|");
}

static void html_breaks_become_white_space_unless_kept(void **state)
{
    (void)state;
    const struct corpus_settings keep = {.tokenizer = TOKENIZER_WHITESPACE, .keep_breaks = true},
                                 white = {.tokenizer = TOKENIZER_WHITESPACE};
    static const char text[] = "end.<br /><br />Next <b><br /> a<br/>b <br /\n<br />\n<br <br />";
    check(text, &white, "end. Next <b> a<br/>b <br /|<br|");
    check(text, &keep, "end.<br /><br />Next <b><br /> a<br/>b <br /|<br />|<br <br />|");
}

static void each_word_is_there_once_with_its_count(void **state)
{
    (void)state;
    struct corpus c;
    static const char text[] = "b a b\na c b\n";
    assert_int_equal(load(&c, text, strlen(text), &unicode, NULL), 0);
    static const struct {
        const char *word;
        uint64_t count;
    } expected[] = {{"<S>", 0}, {"</S>", 0}, {"b", 3}, {"a", 2}, {"c", 1}};
    assert_int_equal(c.n_words, ARRAY_LEN(expected));
    for (size_t k = 0; k < c.n_words; k++) {
        assert_int_equal(c.words[k].n_bytes, strlen(expected[k].word));
        assert_memory_equal(c.words[k].bytes, expected[k].word, c.words[k].n_bytes);
        assert_int_equal(c.counts[k], expected[k].count);
    }
    static const uint32_t tokens[] = {2, 3, 2, 3, 4, 2};
    assert_int_equal(c.n_tokens, ARRAY_LEN(tokens));
    assert_memory_equal(c.tokens, tokens, sizeof tokens);
    corpus_done(&c);
}

static void marks_in_the_text_are_the_marks(void **state)
{
    (void)state;
    const struct corpus_settings white = {.tokenizer = TOKENIZER_WHITESPACE};
    struct corpus c;
    assert_int_equal(load(&c, "a </S> <S>", 10, &white, NULL), 0);
    assert_int_equal(c.n_words, 3);
    assert_int_equal(c.tokens[1], CORPUS_EOS);
    assert_int_equal(c.tokens[2], CORPUS_BOS);
    assert_int_equal(c.counts[CORPUS_EOS], 1);
    corpus_done(&c);
}

static void words_have_their_vocabulary_ids(void **state)
{
    (void)state;
    static const char vocab_text[] = "<S>\n</S>\n<UNK>\nb\na\n", text[] = "a b x\nb y a b x\n";
    struct vocab vocab;
    struct corpus c;
    char *path = train_write(group_dir.path, "vocab", vocab_text, strlen(vocab_text), TRAIN_PLAIN);
    assert_int_equal(vocab_read(&vocab, path, NULL), 0);
    const struct corpus_settings settings = {.tokenizer = TOKENIZER_UNICODE, .vocab = &vocab};
    assert_int_equal(load(&c, text, strlen(text), &settings, NULL), 0);
    static const uint32_t ids[] = {VOCAB_BOS, VOCAB_EOS, 4, 3, VOCAB_UNKNOWN, VOCAB_UNKNOWN};
    assert_int_equal(c.n_words, ARRAY_LEN(ids));
    assert_memory_equal(c.vocab_ids, ids, sizeof ids);
    assert_int_equal(c.stats.n_unknown, 3);
    assert_int_equal(c.stats.n_tokens, 8);
    corpus_done(&c);
    vocab_done(&vocab);
    free(path);
}

static void lines_that_are_not_utf8_are_skipped_and_counted(void **state)
{
    (void)state;
    struct corpus c;
    static const char text[] = "good\nbad \xff\n\xc3\xa9\xc3\nbetter\n\xed\xa0\x80\n";
    assert_int_equal(load(&c, text, strlen(text), &unicode, NULL), 0);
    char *read = shown(&c);
    assert_string_equal(read, "good|better|");
    assert_int_equal(c.stats.n_lines, 2);
    assert_int_equal(c.stats.n_skipped_lines, 3);
    free(read);
    corpus_done(&c);
}

static void nul_characters_are_text(void **state)
{
    (void)state;
    struct corpus c;
    assert_int_equal(load(&c, "a\0b c\n\0\n", 8, &unicode, NULL), 0);
    char *read = shown(&c);
    assert_string_equal(read, "a b c|");
    assert_int_equal(c.stats.n_empty_lines, 1);
    free(read);
    corpus_done(&c);
}

static void a_line_of_ten_megabytes_is_cut_and_counted(void **state)
{
    (void)state;
    enum { N = 10 << 20 };
    struct corpus c;
    char *text = malloc(N);
    for (size_t k = 0; k < N; k++)
        text[k] = "wonderful "[k % 10];
    assert_int_equal(load(&c, text, N, &unicode, NULL), 0);
    assert_int_equal(c.stats.n_cut_lines, 1);
    assert_int_equal(c.stats.n_lines, 11);
    assert_int_equal(c.n_tokens, N / 10);
    assert_int_equal(c.n_words, 3);
    memset(text, 'x', N);
    corpus_done(&c);
    assert_int_equal(load(&c, text, N, &unicode, NULL), 0); /* one word of that size */
    assert_int_equal(c.stats.n_cut_lines, 1);
    assert_int_equal(c.n_tokens, 10);
    corpus_done(&c);
    free(text);
}

static void an_empty_corpus_is_an_error_that_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "not one token"},
        {"\n\n \n", "not one token"},
        {"<br />\n", "not one token"},
        {"\xff\n\xfe\n", "2 lines with text are not UTF-8"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct corpus c;
        struct elmo_error err = {0};
        assert_int_equal(load(&c, cases[k].text, strlen(cases[k].text), &unicode, &err),
                         ELMO_E_INVALID);
        assert_non_null(strstr(err.message, "the corpus is empty"));
        assert_non_null(strstr(err.message, cases[k].message));
    }
    struct corpus c;
    assert_int_equal(corpus_load(&c, NULL, 0, &unicode, NULL), ELMO_E_INVALID);
}

static void a_bad_file_among_good_ones_is_named(void **state)
{
    (void)state;
    struct corpus c;
    struct elmo_error err = {0};
    char *good = train_write(group_dir.path, "good", "a\n", 2, TRAIN_PLAIN);
    size_t n_packed;
    unsigned char *packed = train_pack("some text\n", 10, TRAIN_XZ, &n_packed);
    char *cut = temp_path(&group_dir, "cut.xz");
    assert_true(write_whole_file(cut, packed, n_packed - 3));
    assert_int_equal(corpus_load(&c, (const char *const[]){good, cut}, 2, &unicode, &err),
                     ELMO_E_IO);
    assert_non_null(strstr(err.message, "cut.xz"));
    err = (struct elmo_error){0};
    assert_int_equal(
        corpus_load(&c, (const char *const[]){good, "/nowhere/b.txt"}, 2, &unicode, &err),
        ELMO_E_IO);
    assert_non_null(strstr(err.message, "/nowhere/b.txt"));
    free(good);
    free(packed);
    free(cut);
}

static void files_are_one_corpus_whatever_their_packing(void **state)
{
    (void)state;
    static const char first[] = "one two\nthree\n", second[] = "three two\n";
    struct corpus c;
    for (enum train_packing p = 0; p < TRAIN_N_PACKINGS; p++) {
        char *a = train_write(group_dir.path, "first", first, strlen(first), p),
             *b = train_write(group_dir.path, "second", second, strlen(second), TRAIN_GZIP);
        assert_int_equal(corpus_load(&c, (const char *const[]){a, b}, 2, &unicode, NULL), 0);
        char *read = shown(&c);
        assert_string_equal(read, "one two|three|three two|");
        assert_int_equal(c.stats.n_files, 2);
        /* printf 'one two\nthree\nthree two\n' | sha256sum */
        assert_string_equal(c.sha256,
                            "047f0dc2ca428156c6662995ea76dc99304f0732506c300eabe30d0e61df48dc");
        free(read);
        free(a);
        free(b);
        corpus_done(&c);
    }
}

static void each_file_is_a_part_with_its_lines(void **state)
{
    (void)state;
    static const char *const texts[] = {"one\n\ntwo\n", "\n \n", "three", "bad \xff\nfour\nfive\n",
                                        ""};
    static const struct corpus_part expected[] = {{0, 2}, {2, 2}, {2, 3}, {3, 5}, {5, 5}};
    const struct corpus_settings words_only = {.words_only = true};
    char *paths[ARRAY_LEN(texts)], name[20];
    struct corpus c;
    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        snprintf(name, sizeof name, "part%zu", k);
        paths[k] = train_write(group_dir.path, name, texts[k], strlen(texts[k]), TRAIN_PLAIN);
    }
    const char *const files[] = {paths[0], paths[1], paths[2], paths[3], paths[4]};
    assert_int_equal(corpus_load(&c, files, ARRAY_LEN(files), &unicode, NULL), 0);
    assert_int_equal(c.n_parts, ARRAY_LEN(expected));
    for (size_t k = 0; k < c.n_parts; k++) {
        assert_int_equal(c.parts[k].begin_line, expected[k].begin_line);
        assert_int_equal(c.parts[k].end_line, expected[k].end_line);
    }
    assert_int_equal(c.n_lines, 5);
    corpus_done(&c);
    assert_int_equal(corpus_load(&c, files, ARRAY_LEN(files), &words_only, NULL), 0);
    assert_int_equal(c.n_parts, ARRAY_LEN(expected));
    for (size_t k = 0; k < c.n_parts; k++)
        assert_true(c.parts[k].begin_line == 0 && c.parts[k].end_line == 0);
    corpus_done(&c);
    for (size_t k = 0; k < ARRAY_LEN(texts); k++)
        free(paths[k]);
}

static void weights_are_above_0_and_at_most_1000(void **state)
{
    (void)state;
    static const double good[] = {1e-300, 0.5, 1, 2.5, 1000},
                        bad[] = {0, -1, 1000.001, (double)INFINITY, -(double)INFINITY, (double)NAN};
    for (size_t k = 0; k < ARRAY_LEN(good); k++)
        assert_true(corpus_is_weight(good[k]));
    for (size_t k = 0; k < ARRAY_LEN(bad); k++)
        assert_false(corpus_is_weight(bad[k]));
}

static void the_hash_tells_texts_apart(void **state)
{
    (void)state;
    static const char *const texts[] = {"a b\n", "a  b\n", "a\nb\n", "a b<br />\n", "a b\n\n"};
    char hashes[ARRAY_LEN(texts)][65];
    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        struct corpus c;
        assert_int_equal(load(&c, texts[k], strlen(texts[k]), &unicode, NULL), 0);
        memcpy(hashes[k], c.sha256, sizeof hashes[k]);
        assert_int_equal(strlen(hashes[k]), 64);
        for (size_t other = 0; other < k; other++)
            assert_string_not_equal(hashes[k], hashes[other]);
        corpus_done(&c);
    }
}

static void words_can_be_counted_without_keeping_the_text(void **state)
{
    (void)state;
    static const char text[] = "b a b\na c b\n";
    const struct corpus_settings words_only = {.tokenizer = TOKENIZER_UNICODE, .words_only = true};
    struct corpus all, counted;
    assert_int_equal(load(&all, text, strlen(text), &unicode, NULL), 0);
    assert_int_equal(load(&counted, text, strlen(text), &words_only, NULL), 0);
    assert_int_equal(counted.n_tokens, 0);
    assert_int_equal(counted.n_lines, 0);
    assert_int_equal(counted.stats.n_tokens, 6);
    assert_int_equal(counted.stats.n_lines, 2);
    assert_int_equal(counted.n_words, all.n_words);
    assert_memory_equal(counted.counts, all.counts, all.n_words * sizeof *all.counts);
    corpus_done(&all);
    corpus_done(&counted);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    char text[20000] = {0};
    for (int k = 0; strlen(text) < sizeof text - 20; k++)
        snprintf(text + strlen(text), 20, "word%d%s", k, k % 7 ? " " : "\n");
    char *path = train_write(group_dir.path, "memory", text, strlen(text), TRAIN_PLAIN);
    for (size_t n_good = 0;; n_good += n_good < 40 ? 1 : 37) {
        struct corpus c = {0};
        fail_alloc_after(n_good);
        int r = corpus_load(&c, (const char *const[]){path}, 1, &unicode, NULL);
        if (!fail_alloc_stop()) {
            assert_int_equal(r, 0);
            assert_true(n_good > 40);
            corpus_done(&c);
            break;
        }
        if (r == 0) /* giving back what was too much may fail */
            corpus_done(&c);
        else
            assert_int_equal(r, ELMO_E_NOMEM);
    }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_paragraphs_of_tokens),
        cmocka_unit_test(html_breaks_become_white_space_unless_kept),
        cmocka_unit_test(each_word_is_there_once_with_its_count),
        cmocka_unit_test(marks_in_the_text_are_the_marks),
        cmocka_unit_test(words_have_their_vocabulary_ids),
        cmocka_unit_test(lines_that_are_not_utf8_are_skipped_and_counted),
        cmocka_unit_test(nul_characters_are_text),
        cmocka_unit_test(a_line_of_ten_megabytes_is_cut_and_counted),
        cmocka_unit_test(an_empty_corpus_is_an_error_that_says_why),
        cmocka_unit_test(a_bad_file_among_good_ones_is_named),
        cmocka_unit_test(files_are_one_corpus_whatever_their_packing),
        cmocka_unit_test(each_file_is_a_part_with_its_lines),
        cmocka_unit_test(weights_are_above_0_and_at_most_1000),
        cmocka_unit_test(the_hash_tells_texts_apart),
        cmocka_unit_test(words_can_be_counted_without_keeping_the_text),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, group_dir_init, group_dir_done);
}

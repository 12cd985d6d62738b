/* Labelled texts out of folders, TSV and JSONL: what is read, what is left out and counted, what is
 * an error that names the file and line and says nothing of the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "support/train_files.h"
#include "train/data/labelled.h"

static struct temp_dir temp;
static char *reviews; /* a folder of reviews, made anew by each test */

static const struct labelled_settings whole = {0};

static int group_setup(void **state)
{
    (void)state;
    temp_dir_init(&temp);
    reviews = temp_path(&temp, "reviews");
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    free(reviews);
    temp_dir_done(&temp);
    return 0;
}

/* The set as text: "text/label/group/rating|" an item; free() it. */
static char *shown(const struct labelled_set *set)
{
    char *text;
    size_t n_bytes;
    FILE *out = open_memstream(&text, &n_bytes);
    for (size_t k = 0; k < set->n_items; k++) {
        const struct labelled_text *item = &set->items[k];
        assert_int_equal(strlen(item->text), item->n_bytes);
        assert_true(item->label < set->n_labels && item->group < set->n_groups);
        fprintf(out, "%s/%s/%u/%u|", item->text, set->labels[item->label], item->group,
                item->rating);
    }
    fclose(out);
    return text;
}

static void check_set(struct labelled_set *set, const char *expected)
{
    char *text = shown(set);
    assert_string_equal(text, expected);
    free(text);
    labelled_done(set);
}

static int load_text(struct labelled_set *ret, const char *suffix, const char *text, size_t n_bytes,
                     const struct labelled_settings *settings, struct elmo_error *err)
{
    char name[32];
    snprintf(name, sizeof name, "data.%s", suffix);
    char *path = temp_path(&temp, name);
    assert_true(write_whole_file(path, text, n_bytes));
    int r = labelled_load(ret, path, settings, err);
    free(path);
    return r;
}

/* ---- Folders ---- */

static void write_review(const char *half, unsigned id, unsigned rating, const char *text)
{
    train_write_review(reviews, half, id, rating, text, strlen(text));
}

static void write_in_reviews(const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", reviews, name);
    assert_true(write_whole_file(path, text, strlen(text)));
}

static void a_folder_is_read_by_id_negative_reviews_first(void **state)
{
    (void)state;
    struct labelled_set set;
    write_review("pos", 10, 9, "ten");
    write_review("pos", 2, 10, "two");
    write_review("neg", 0, 1, "zero");
    write_review("neg", 11, 4, "eleven");
    write_review("neg", 3, 2, "three");
    assert_int_equal(labelled_load(&set, reviews, &whole, NULL), 0);
    assert_int_equal(set.n_labels, 2);
    assert_int_equal(set.n_groups, 5);
    check_set(&set, "zero/negative/0/1|three/negative/1/2|eleven/negative/2/4|two/positive/3/10|"
                    "ten/positive/4/9|");
    train_remove(reviews);
}

static void reviews_of_one_page_are_a_group(void **state)
{
    (void)state;
    struct labelled_set set;
    for (unsigned id = 0; id < 5; id++) {
        write_review("neg", id, 1, "bad");
        write_review("pos", id, 10, "good");
    }
    write_in_reviews("urls_neg.txt", "http://a/tt1/\nhttp://a/tt2/\nhttp://a/tt1/\n\n");
    write_in_reviews("urls_pos.txt", "http://a/tt3/\nhttp://a/tt1/\n\nhttp://a/tt3/");
    assert_int_equal(labelled_load(&set, reviews, &whole, NULL), 0);
    static const uint32_t groups[] = {0, 1, 0, 2, 3, 4, 0, 5, 4, 6};
    assert_int_equal(set.n_items, ARRAY_LEN(groups));
    for (size_t k = 0; k < ARRAY_LEN(groups); k++)
        assert_int_equal(set.items[k].group, groups[k]);
    assert_int_equal(set.n_groups, 7);
    labelled_done(&set);
    train_remove(reviews);
}

static void a_folder_of_both_splits_stands_for_the_one_asked_for(void **state)
{
    (void)state;
    struct labelled_set set;
    static const char *const names[] = {"train", "test"};
    mkdir(reviews, 0700);
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        char split[300];
        snprintf(split, sizeof split, "%s/%s", reviews, names[k]);
        train_write_review(split, "neg", 0, 1, names[k], strlen(names[k]));
        train_write_review(split, "pos", 0, 10, "good", 4);
        train_write_review(split, "unsup", 0, 0, "no label", 8);
    }
    const struct labelled_settings test = {.split = "test"}, other = {.split = "other"};
    assert_int_equal(labelled_load(&set, reviews, &whole, NULL), 0);
    check_set(&set, "train/negative/0/1|good/positive/1/10|");
    assert_int_equal(labelled_load(&set, reviews, &test, NULL), 0);
    check_set(&set, "test/negative/0/1|good/positive/1/10|");
    assert_int_equal(labelled_load(&set, reviews, &other, NULL), ELMO_E_INVALID);
    char *itself = temp_path(&temp, "reviews/test");
    assert_int_equal(labelled_load(&set, itself, &whole, NULL), 0);
    check_set(&set, "test/negative/0/1|good/positive/1/10|");
    free(itself);
    train_remove(reviews);
}

static void reviews_that_cannot_be_used_are_counted(void **state)
{
    (void)state;
    struct labelled_set set;
    size_t n_long = LABELLED_MAX_TEXT_BYTES + 1;
    char *text = malloc(n_long);
    memset(text, 'x', n_long);
    train_write_review(reviews, "neg", 0, 1, text, n_long);
    train_write_review(reviews, "neg", 1, 1, text, n_long - 1);
    train_write_review(reviews, "neg", 2, 1, "a\0b", 3);
    write_review("neg", 3, 1, "caf\xe9");
    write_review("neg", 4, 1, "");
    write_review("neg", 5, 1, " \n<br /><br />\t");
    write_review("pos", 1, 10, "good");
    static const char *const others[] = {"pos/1.txt",     "pos/1_11.txt", "pos/x_1.txt",
                                         "pos/1_1.txt~",  "pos/1_1",      "pos/99999999999_1.txt",
                                         "pos/1_1_1.txt", "pos/_1.txt",   "pos/-1_1.txt"};
    for (size_t k = 0; k < ARRAY_LEN(others); k++)
        write_in_reviews(others[k], "not a review");
    write_in_reviews("pos/.hidden", "nor this");
    assert_int_equal(labelled_load(&set, reviews, &whole, NULL), 0);
    assert_int_equal(set.n_items, 2);
    assert_int_equal(set.items[0].n_bytes, n_long - 1);
    assert_int_equal(set.counts.n_too_long, 1);
    assert_int_equal(set.counts.n_with_nul, 1);
    assert_int_equal(set.counts.n_not_utf8, 1);
    assert_int_equal(set.counts.n_empty, 2);
    assert_int_equal(set.counts.n_other_files, ARRAY_LEN(others));
    labelled_done(&set);
    free(text);
    train_remove(reviews);
}

static void check_folder_error(int status, const char *message)
{
    struct labelled_set set;
    struct elmo_error err = {0};
    assert_int_equal(labelled_load(&set, reviews, &whole, &err), status);
    assert_non_null(strstr(err.message, message));
    assert_non_null(strstr(err.message, reviews));
}

static void folders_that_cannot_be_used_are_errors(void **state)
{
    (void)state;
    mkdir(reviews, 0700);
    check_folder_error(ELMO_E_INVALID, "has no folders pos and neg");
    write_review("pos", 0, 10, "good");
    check_folder_error(ELMO_E_INVALID, "has no folders pos and neg");
    write_in_reviews("neg", "a file");
    check_folder_error(ELMO_E_INVALID, "has no folders pos and neg");
    train_remove(reviews);
    write_review("pos", 0, 10, "good");
    write_review("neg", 0, 1, "\xff");
    check_folder_error(ELMO_E_INVALID, "one label for all its texts (1)");
    write_review("pos", 0, 10, " ");
    check_folder_error(ELMO_E_INVALID, "no text that can be used: 1 empty, 1 not UTF-8");
    train_remove(reviews);
    write_review("pos", 0, 10, "good");
    write_review("neg", 0, 1, "bad");
    train_write_review(reviews, "neg/1_1.txt", 0, 0, "", 0); /* a folder of that name */
    check_folder_error(ELMO_E_IO, "neg/1_1.txt': Is a directory");
    train_remove(reviews);
}

static void empty_halves_are_an_empty_set(void **state)
{
    (void)state;
    mkdir(reviews, 0700);
    static const char *const halves[] = {"reviews/pos", "reviews/neg"};
    for (size_t k = 0; k < ARRAY_LEN(halves); k++) {
        char *path = temp_path(&temp, halves[k]);
        mkdir(path, 0700);
        free(path);
    }
    check_folder_error(ELMO_E_INVALID, "is empty");
    train_remove(reviews);
}

/* ---- Files ---- */

struct good_file {
    const char *suffix, *text, *expected;
};

static const struct good_file good_files[] = {
    {"tsv", "good one\tpos\nbad\tneg\n", "good one/pos/0/0|bad/neg/1/0|"},
    {"tsv", "text\tlabel\ngood\t1\nbad\t0", "good/1/0/0|bad/0/1/0|"},
    {"tsv", "a\tb\tx\r\nc\ty\r\n", "a\tb/x/0/0|c/y/1/0|"},
    {"tsv", "a\tx\ntext\tlabel\n", "a/x/0/0|text/label/1/0|"}, /* a heading is the first line */
    {"tsv", "end.<br />Next\tx\nb\ty z\n", "end.      Next/x/0/0|b/y z/1/0|"},
    {"jsonl", "{\"text\": \"a\\tb\", \"label\": \"x\"}\n{\"label\": \"y\", \"text\": \"\\u00e9\"}",
     "a\tb/x/0/0|\xc3\xa9/y/1/0|"},
    {"jsonl", "{\"text\": \"a\", \"label\": 1, \"id\": [7]}\n{\"text\": \"b\", \"label\": -2}\n",
     "a/1/0/0|b/-2/1/0|"},
    {"jsonl",
     "{\"text\": \"a\", \"label\": 1, \"group\": \"g\"}\n{\"text\": \"b\", \"label\": 2}\n"
     "{\"text\": \"c\", \"label\": \"1\", \"group\": \"g\"}\n",
     "a/1/0/0|b/2/1/0|c/1/0/0|"},
};

static void files_of_any_classes_are_read(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(good_files); k++) {
        const struct good_file *f = &good_files[k];
        struct labelled_set set;
        assert_int_equal(load_text(&set, f->suffix, f->text, strlen(f->text), &whole, NULL), 0);
        check_set(&set, f->expected);
    }
}

static void files_may_be_packed(void **state)
{
    (void)state;
    static const char text[] = "good\tpos\nbad\tneg\n";
    for (enum train_packing p = TRAIN_GZIP; p < TRAIN_N_PACKINGS; p++) {
        struct labelled_set set;
        char *path = train_write(temp.path, "data.tsv", text, strlen(text), p);
        assert_int_equal(labelled_load(&set, path, &whole, NULL), 0);
        check_set(&set, "good/pos/0/0|bad/neg/1/0|");
        free(path);
    }
}

static void labels_are_sorted_whatever_the_order_of_the_texts(void **state)
{
    (void)state;
    struct labelled_set set;
    static const char text[] = "a\tsad\nb\tangry\nc\tZ\nd\tsad\ne\thappy\n";
    assert_int_equal(load_text(&set, "tsv", text, strlen(text), &whole, NULL), 0);
    static const char *const labels[] = {"Z", "angry", "happy", "sad"};
    assert_int_equal(set.n_labels, ARRAY_LEN(labels));
    for (size_t k = 0; k < ARRAY_LEN(labels); k++)
        assert_string_equal(set.labels[k], labels[k]);
    check_set(&set, "a/sad/0/0|b/angry/1/0|c/Z/2/0|d/sad/3/0|e/happy/4/0|");
}

static void texts_are_cut_behind_the_words_asked_for(void **state)
{
    (void)state;
    static const struct {
        size_t max_words;
        const char *expected;
    } cases[] = {
        {1, "one/x/0/0|four/y/1/0|"},
        {2, "one  two/x/0/0|four      five/y/1/0|"},
        {3, "one  two three/x/0/0|four      five/y/1/0|"},
        {0, "one  two three/x/0/0|four      five/y/1/0|"},
    };
    static const char text[] = "one  two three \tx\nfour<br />five\ty\n";
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        const struct labelled_settings settings = {.max_words = cases[k].max_words};
        struct labelled_set set;
        assert_int_equal(load_text(&set, "tsv", text, strlen(text), &settings, NULL), 0);
        check_set(&set, cases[k].expected);
    }
    const struct labelled_settings keep = {.keep_breaks = true};
    struct labelled_set set;
    assert_int_equal(load_text(&set, "tsv", text, strlen(text), &keep, NULL), 0);
    check_set(&set, "one  two three/x/0/0|four<br />five/y/1/0|");
}

/* Whatever the file's name; the hash is that of the lines that are kept. */
static void texts_without_labels_are_lines(void **state)
{
    (void)state;
    static const struct labelled_settings unlabelled = {.unlabelled = true};
    static const char text[] = "a tab\tstays\n\n  \ncaf\xc3\xa9.<br />Next\r\nbad\xff\n";
    static const char *const texts[] = {"a tab\tstays", "caf\xc3\xa9.      Next"};
    struct labelled_set set;
    char *printed;
    size_t n_bytes;
    assert_int_equal(load_text(&set, "any", text, strlen(text), &unlabelled, NULL), 0);
    assert_int_equal(set.n_items, ARRAY_LEN(texts));
    assert_int_equal(set.n_labels, 0);
    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        assert_string_equal(set.items[k].text, texts[k]);
        assert_int_equal(set.items[k].label, 0);
    }
    /* printf 'a tab\tstays\ncaf\xc3\xa9.      Next\n' | sha256sum */
    assert_string_equal(set.sha256,
                        "a428c7cbab4d9fbab688644cfd8f01990a741e737b877513315d392913b42819");
    FILE *out = open_memstream(&printed, &n_bytes);
    labelled_print(&set, out);
    fclose(out);
    assert_string_equal(printed, "2 texts without labels\nleft out: 2 empty, 1 not UTF-8\n");
    free(printed);
    labelled_done(&set);
    assert_int_equal(load_text(&set, "any", "\n", 1, &unlabelled, NULL), ELMO_E_INVALID);
}

static void the_hash_is_that_of_the_tsv_file(void **state)
{
    (void)state;
    struct labelled_set set;
    static const char text[] = "good one\tpos\nbad\tneg\n";
    assert_int_equal(load_text(&set, "tsv", text, strlen(text), &whole, NULL), 0);
    /* printf 'good one\tpos\nbad\tneg\n' | sha256sum */
    assert_string_equal(set.sha256,
                        "a013e4473bd3734c51f951342cbe67090497ae7f04b351a05030238f3c3890fd");
    labelled_done(&set);
}

struct counted_file {
    const char *suffix, *text;
    size_t n_bytes;
    struct labelled_counts counts;
};

#define BYTES(text) (text), sizeof(text) - 1

static const struct counted_file counted_files[] = {
    {"tsv", BYTES("a\tx\n\n \t \n\tx\n  \ty\nb\ty\n"), {.n_empty = 4}},
    {"tsv", BYTES("a\tx\nb\xff\tx\n\xc3\tx\nb\ty\n"), {.n_not_utf8 = 2}},
    {"tsv", BYTES("a\tx\nb\0c\tx\nb\ty\n"), {.n_with_nul = 1}},
    {"jsonl",
     BYTES("{\"text\": \"a\", \"label\": 1}\n\n{\"text\": \" \", \"label\": 1}\n"
           "{\"text\": \"b\", \"label\": 2}\n"),
     {.n_empty = 2}},
    {"jsonl",
     BYTES("{\"text\": \"a\", \"label\": 1}\n{\"text\": \"\xff\", \"label\": 1}\n"
           "{\"text\": \"b\", \"label\": 2}\n"),
     {.n_not_utf8 = 1}},
    {"jsonl",
     BYTES("{\"text\": \"a\", \"label\": 1}\n{\"text\": \"c\\u0000d\", \"label\": 1}\n"
           "{\"text\": \"b\", \"label\": 2}\n"),
     {.n_with_nul = 1}},
};

static void texts_of_files_that_cannot_be_used_are_counted(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(counted_files); k++) {
        const struct counted_file *f = &counted_files[k];
        struct labelled_set set;
        assert_int_equal(load_text(&set, f->suffix, f->text, f->n_bytes, &whole, NULL), 0);
        assert_int_equal(set.n_items, 2);
        assert_memory_equal(&set.counts, &f->counts, sizeof f->counts);
        labelled_done(&set);
    }
}

static void long_lines_are_counted_and_the_next_line_is_read(void **state)
{
    (void)state;
    static const struct {
        size_t n_long;
        const char *end;
    } cases[] = {{10 << 20, "\tx\n"}, {LABELLED_MAX_TEXT_BYTES + 1, "\tx\n"}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct labelled_set set;
        char *text;
        size_t n_bytes;
        FILE *out = open_memstream(&text, &n_bytes);
        fputs("a\tx\n", out);
        for (size_t n = 0; n < cases[k].n_long; n++)
            putc("wonderful "[n % 10], out);
        fprintf(out, "%sb\ty\nno tab\n", cases[k].end);
        fclose(out);
        struct elmo_error err = {0};
        assert_int_equal(load_text(&set, "tsv", text, n_bytes, &whole, &err), ELMO_E_FORMAT);
        assert_non_null(strstr(err.message, "line 4: no TAB"));
        assert_int_equal(load_text(&set, "tsv", text, n_bytes - 7, &whole, NULL), 0);
        assert_int_equal(set.counts.n_too_long, 1);
        assert_int_equal(set.n_items, 2);
        labelled_done(&set);
        free(text);
    }
}

struct bad_file {
    const char *suffix, *text;
    int status;
    const char *message;
};

#define LONG_LABEL "SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRET"

static const struct bad_file bad_files[] = {
    {"tsv", "", ELMO_E_INVALID, "is empty"},
    {"jsonl", "\n\n", ELMO_E_INVALID, "no text that can be used: 2 empty"},
    {"tsv", "text\tlabel\n", ELMO_E_INVALID, "is empty"},
    {"tsv", "SECRET\tx\nb\tx\n", ELMO_E_INVALID, "one label for all its texts (2)"},
    {"tsv", "a\tx\nSECRET\n", ELMO_E_FORMAT, "line 2: no TAB"},
    {"tsv", "a\tx\nSECRET\t\n", ELMO_E_FORMAT, "line 2: the label is missing"},
    {"tsv", "a\t" LONG_LABEL "\n", ELMO_E_FORMAT, "line 1: the label is longer than 64"},
    {"tsv", "SECRET\t\xff\n", ELMO_E_FORMAT, "line 1: the label is not valid UTF-8"},
    {"tsv", "SECRET\tx\x07\n", ELMO_E_FORMAT, "line 1: the label has a control character"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": \"x\"}\n\n{\"SECRET\n", ELMO_E_FORMAT,
     "line 3: not valid JSON"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": 1} SECRET\n", ELMO_E_FORMAT,
     "line 1: not valid JSON"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": 1, \"label\": 2}\n", ELMO_E_FORMAT,
     "line 1: not valid JSON"},
    {"jsonl", "[\"SECRET\"]\n", ELMO_E_FORMAT, "line 1: not a JSON object"},
    {"jsonl", "{\"SECRET\": 1}\n", ELMO_E_FORMAT, "line 1: no 'text'"},
    {"jsonl", "{\"text\": [\"SECRET\"], \"label\": 1}\n", ELMO_E_FORMAT,
     "line 1: 'text' is not a string"},
    {"jsonl", "{\"text\": \"SECRET\"}\n", ELMO_E_FORMAT, "line 1: the label is missing"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": null}\n", ELMO_E_FORMAT,
     "line 1: 'label' is neither"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": 1.5}\n", ELMO_E_FORMAT,
     "line 1: 'label' is neither"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": \"\"}\n", ELMO_E_FORMAT,
     "line 1: the label is missing"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": \"a\\u0000b\"}\n", ELMO_E_FORMAT,
     "line 1: the label has a control character"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": 1, \"group\": 7}\n", ELMO_E_FORMAT,
     "line 1: 'group' is not a string"},
    {"jsonl", "{\"text\": \"SECRET\", \"label\": 1, \"group\": \"\"}\n", ELMO_E_FORMAT,
     "line 1: 'group' is not a string"},
    {"csv", "SECRET,x\n", ELMO_E_INVALID, "neither a folder nor named .tsv or .jsonl"},
    {"tsv.gz", "SECRET\tx\n", ELMO_E_IO, "no gzip archive"},
};

static void bad_files_are_named_and_never_quoted(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(bad_files); k++) {
        const struct bad_file *f = &bad_files[k];
        struct labelled_set set;
        struct elmo_error err = {0};
        assert_int_equal(load_text(&set, f->suffix, f->text, strlen(f->text), &whole, &err),
                         f->status);
        assert_non_null(strstr(err.message, f->message));
        assert_non_null(strstr(err.message, "/data."));
        assert_null(strstr(err.message, "SECRET"));
    }
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct labelled_set set;
    struct elmo_error err = {0};
    assert_int_equal(labelled_load(&set, "/nowhere/data.tsv", &whole, &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "/nowhere/data.tsv': No such file"));
}

static void a_label_for_every_text_is_an_error(void **state)
{
    (void)state;
    char *text;
    size_t n_bytes;
    struct labelled_set set;
    struct elmo_error err = {0};
    FILE *out = open_memstream(&text, &n_bytes);
    for (unsigned k = 0; k <= LABELLED_MAX_LABELS; k++)
        fprintf(out, "text\tlabel %u\n", k);
    fclose(out);
    assert_int_equal(load_text(&set, "tsv", text, n_bytes, &whole, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, "line 1001: one label too many"));
    free(text);
}

static void a_set_is_told_in_two_lines(void **state)
{
    (void)state;
    static const char text[] = "a\tx\nb\ty\n\nc\xff\ty\nd\ty\n";
    struct labelled_set set;
    char *printed;
    size_t n_bytes;
    assert_int_equal(load_text(&set, "tsv", text, strlen(text), &whole, NULL), 0);
    FILE *out = open_memstream(&printed, &n_bytes);
    labelled_print(&set, out);
    fclose(out);
    assert_string_equal(printed, "3 texts in 3 groups: 1 x, 2 y\nleft out: 1 empty, 1 not UTF-8\n");
    free(printed);
    labelled_done(&set);
}

/* ---- Memory ---- */

static void check_failing_memory(const char *path)
{
    for (size_t n_good = 0;; n_good++) {
        struct labelled_set set = {0};
        fail_alloc_after(n_good);
        int r = labelled_load(&set, path, &whole, NULL);
        if (!fail_alloc_stop()) {
            assert_int_equal(r, 0);
            assert_true(n_good > 5);
            labelled_done(&set);
            return;
        }
        assert_true(r == ELMO_E_NOMEM || r == ELMO_E_IO); /* opendir's own */
    }
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    static const char tsv[] = "a\tx\nb\ty\n",
                      jsonl[] = "{\"text\": \"a\", \"label\": 1, \"group\": \"g\"}\n"
                                "{\"text\": \"b\", \"label\": \"y\"}\n";
    char *paths[] = {temp_path(&temp, "data.tsv"), temp_path(&temp, "data.jsonl"), reviews};
    assert_true(write_whole_file(paths[0], tsv, strlen(tsv)));
    assert_true(write_whole_file(paths[1], jsonl, strlen(jsonl)));
    write_review("neg", 0, 1, "bad");
    write_review("pos", 0, 10, "good");
    write_in_reviews("urls_neg.txt", "http://a/tt1/\n");
    for (size_t k = 0; k < ARRAY_LEN(paths); k++)
        check_failing_memory(paths[k]);
    free(paths[0]);
    free(paths[1]);
    train_remove(reviews);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_read_by_id_negative_reviews_first),
        cmocka_unit_test(reviews_of_one_page_are_a_group),
        cmocka_unit_test(a_folder_of_both_splits_stands_for_the_one_asked_for),
        cmocka_unit_test(reviews_that_cannot_be_used_are_counted),
        cmocka_unit_test(folders_that_cannot_be_used_are_errors),
        cmocka_unit_test(empty_halves_are_an_empty_set),
        cmocka_unit_test(files_of_any_classes_are_read),
        cmocka_unit_test(files_may_be_packed),
        cmocka_unit_test(labels_are_sorted_whatever_the_order_of_the_texts),
        cmocka_unit_test(texts_are_cut_behind_the_words_asked_for),
        cmocka_unit_test(texts_without_labels_are_lines),
        cmocka_unit_test(the_hash_is_that_of_the_tsv_file),
        cmocka_unit_test(texts_of_files_that_cannot_be_used_are_counted),
        cmocka_unit_test(long_lines_are_counted_and_the_next_line_is_read),
        cmocka_unit_test(bad_files_are_named_and_never_quoted),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(a_label_for_every_text_is_an_error),
        cmocka_unit_test(a_set_is_told_in_two_lines),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

/* Labelled contexts of ambiguous words: the file and its faults, the nearest neighbour by hand, and
 * what the shipped model makes of tests/cases/senses.tsv. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "train/senses/senses_measure.h"

#define HEAD "word\tsense\tsentence\n"

static int read_text(struct senses *ret_senses, const char *text, struct elmo_error *err)
{
    AUTO(mem_free) char *path = temp_path(&group_dir, "senses.tsv");
    assert_true(write_whole_file(path, text, strlen(text)));
    return senses_read(ret_senses, path, err);
}

/* ---- The file ---- */

static const char two_words[] = HEAD "bat\tanimal\ta bat flew\n"
                                     "bat\tclub\ta wooden bat\r\n"
                                     "bat\tanimal\tthe bat slept\n"
                                     "bat\tclub\this bat broke\n"
                                     "bow\tknot\ta red bow\n"
                                     "bow\tknot\ttie a bow\n"
                                     "bow\tweapon\tdraw the bow\n"
                                     "bow\tweapon\ta strong bow"; /* without LF */

static void rows_are_read_by_word(void **state)
{
    (void)state;
    static const uint32_t ids[] = {0, 1, 0, 1, 0, 0, 1, 1};
    struct senses s;
    assert_int_equal(read_text(&s, two_words, NULL), 0);
    assert_int_equal(s.n_words, 2);
    assert_int_equal(s.n_contexts, 8);
    assert_string_equal(s.words[0].word, "bat");
    assert_int_equal(s.words[0].end, 4);
    assert_int_equal(s.words[1].begin, 4);
    assert_int_equal(s.words[1].n_senses, 2);
    for (size_t k = 0; k < s.n_contexts; k++) {
        assert_int_equal(s.contexts[k].sense_id, ids[k]);
        assert_int_equal(s.contexts[k].line, k + 2);
    }
    assert_string_equal(s.contexts[1].sense, "club");
    assert_string_equal(s.contexts[1].sentence, "a wooden bat");
    assert_string_equal(s.contexts[7].sentence, "a strong bow");
    senses_done(&s);
}

static const struct {
    const char *text, *words;
} faults[] = {
    {"", "has no rows"},
    {HEAD, "has no rows"},
    {"bat\tanimal\ta bat flew\n", "line 1, column 1 (word): the first line must be"},
    {HEAD "bat\tanimal\n", "line 2, column 3 (sentence): is missing"},
    {HEAD "bat\n", "line 2, column 2 (sense): is missing"},
    {HEAD "\n", "line 2, column 1 (word): is empty"},
    {HEAD "bat\t\ta bat\n", "line 2, column 2 (sense): is empty"},
    {HEAD "bat\tanimal\t\n", "line 2, column 3 (sentence): is empty"},
    {HEAD "bat\tanimal\ta bat\t\n", "line 2, column 3 (sentence): has a tab"},
    {HEAD "bat\tanim\xff\ta bat\n", "line 2, column 2 (sense): is not UTF-8"},
    {HEAD "a\tx\ta\na\tx\ta\na\ty\ta\na\ty\ta\nb\tx\tb\na\tx\ta\n",
     "line 7, column 1 (word): was above already"},
    {HEAD "a\tx\ta\na\tx\ta\n", "line 2, column 2 (sense): the word has no other sense"},
    {HEAD "a\tx\ta\na\tx\ta\na\ty\ta\n",
     "line 4, column 2 (sense): the sense has no other context"},
};

static void faults_name_the_line_and_the_column(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(faults); k++) {
        struct senses s = {0};
        struct elmo_error err = {0};
        assert_int_equal(read_text(&s, faults[k].text, &err), ELMO_E_FORMAT);
        if (!strstr(err.message, faults[k].words))
            fail_msg("no \"%s\" in \"%s\"", faults[k].words, err.message);
        assert_null(s.text);
    }
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct senses s;
    struct elmo_error err = {0};
    assert_int_equal(senses_read(&s, "/no/such/senses", &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "/no/such/senses"));
}

/* ---- Nearest neighbours ---- */

static void assert_accuracy(const float *vectors, const uint32_t *ids, size_t n, size_t dim,
                            double expected)
{
    assert_true(fabs(senses_accuracy(vectors, ids, n, dim) - expected) < 1e-12);
}

static void the_nearest_by_cosine_decides(void **state)
{
    (void)state;
    static const uint32_t ids[] = {0, 0, 1, 1};
    /* Lengths do not count: by distance the third would be nearest to the first. */
    static const float apart[] = {1, 0, 9, 1, 0, 1, 1, 9};
    assert_accuracy(apart, ids, 4, 2, 1);
    static const float crossed[] = {1, 0, 0, 1, 9, 1, 1, 9};
    assert_accuracy(crossed, ids, 4, 2, 0);
    /* At 0, 14, 34 and 90 degrees: the third's nearest is the second. */
    static const float one_wrong[] = {1, 0, 4, 1, 3, 2, 0, 1};
    assert_accuracy(one_wrong, ids, 4, 2, 0.75);
}

static void ties_are_shared_evenly(void **state)
{
    (void)state;
    static const uint32_t ids[] = {0, 0, 0, 1, 1};
    static const float alike[] = {2, 1, 2, 1, 2, 1, 2, 1, 2, 1};
    assert_accuracy(alike, ids, 5, 2, (3 * 2.0 / 4 + 2 * 1.0 / 4) / 5);
    static const float nothing[10] = {0}; /* zero vectors: as far from all */
    assert_accuracy(nothing, ids, 5, 2, (3 * 2.0 / 4 + 2 * 1.0 / 4) / 5);
    float vectors[20];
    uint32_t halves[20];
    for (size_t k = 0; k < 20; k++) {
        vectors[k] = 1;
        halves[k] = k % 2;
    }
    assert_accuracy(vectors, halves, 20, 1, 9.0 / 19); /* what guessing among the others gets */
}

/* ---- A model ---- */

static struct elmo_model *default_model(void)
{
    struct elmo_model *model = NULL;
    assert_int_equal(elmo_model_open_default(&model, NULL, NULL), 0);
    return model;
}

static void a_word_that_is_not_one_token_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *words;
    } cases[] = {{"many bats flew", "it is 0"}, {"bat by bat", "it is 2"}, {"Bat !", "it is 0"}};
    struct elmo_model *model = default_model();
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct senses s;
        struct sense_table table = {0};
        struct elmo_error err = {0};
        char text[512];
        snprintf(text, sizeof text,
                 HEAD "bat\ta\ta bat\nbat\ta\t%s\nbat\tb\tno bat\nbat\tb\tthis bat\n",
                 cases[k].sentence);
        assert_int_equal(read_text(&s, text, NULL), 0);
        assert_int_equal(senses_measure(&table, &s, model, &err), ELMO_E_FORMAT);
        assert_non_null(strstr(err.message, "line 3, column 3"));
        assert_non_null(strstr(err.message, cases[k].words));
        assert_null(table.accuracy);
        senses_done(&s);
    }
    elmo_model_free(model);
}

static void check_kinds(const char *text, double window, double sentence)
{
    struct elmo_model *model = default_model();
    struct senses s;
    struct sense_table t;
    assert_int_equal(read_text(&s, text, NULL), 0);
    assert_int_equal(senses_measure(&t, &s, model, NULL), 0);
    assert_true(fabs(t.accuracy[SENSE_WORD_EMB] - 1.0 / 3) < 1e-12);
    assert_true(fabs(t.accuracy[SENSE_WINDOW] - window) < 1e-12);
    assert_true(fabs(t.accuracy[SENSE_SENTENCE] - sentence) < 1e-12);
    for (size_t kind = 0; kind < t.n_kinds; kind++) /* one word: the total is its row */
        assert_true(t.accuracy[t.n_kinds + kind] == t.accuracy[kind]);
    free(t.accuracy);
    senses_done(&s);
    elmo_model_free(model);
}

static void neighbours_count_without_their_order(void **state)
{
    (void)state;
    check_kinds(HEAD "bat\ta\tone two bat three four nine\n"
                     "bat\ta\tfour three bat two one nine\n"
                     "bat\tb\tred blue bat green white nine\n"
                     "bat\tb\twhite green bat blue red nine\n",
                1, 1);
    /* What differs is beyond the window: there all are alike. */
    check_kinds(HEAD "bat\ta\tred one two bat three four blue\n"
                     "bat\ta\tblue four three bat two one red\n"
                     "bat\tb\tgreen four two bat three one white\n"
                     "bat\tb\twhite one three bat two four green\n",
                1.0 / 3, 1);
}

static void memory_that_runs_out_is_reported(void **state)
{
    (void)state;
    struct senses s;
    AUTO(mem_free) char *path = temp_path(&group_dir, "senses.tsv");
    assert_true(write_whole_file(path, two_words, sizeof two_words - 1));
    size_t n_failed = 1;
    for (size_t n_good = 0; n_failed; n_good++) {
        fail_alloc_after(n_good);
        int r = senses_read(&s, path, NULL);
        n_failed = fail_alloc_stop();
        assert_true(r == 0 || n_failed);
        if (!r)
            senses_done(&s);
        assert_true(n_good < 100);
    }
}

static void the_shipped_model_tells_senses_apart(void **state)
{
    (void)state;
    struct elmo_model *model = default_model();
    struct senses s;
    struct sense_table t;
    struct elmo_error err = {0};
    AUTO(mem_free) char *path = source_path("tests/cases/senses.tsv");
    if (senses_read(&s, path, &err) || senses_measure(&t, &s, model, &err))
        fail_msg("%s", err.message);
    assert_int_equal(s.n_words, 20);
    for (size_t k = 0; k < s.n_words; k++) {
        size_t n_first = 0;
        assert_int_equal(s.words[k].n_senses, 2);
        assert_int_equal(s.words[k].end - s.words[k].begin, 20);
        for (size_t i = s.words[k].begin; i < s.words[k].end; i++)
            n_first += s.contexts[i].sense_id == 0;
        assert_int_equal(n_first, 10);
    }
    const double *total = t.accuracy + s.n_words * t.n_kinds;
    assert_true(fabs(total[SENSE_WORD_EMB] - 9.0 / 19) < 1e-9);
    assert_true(total[t.n_kinds - 1] > total[SENSE_WORD_EMB] + 0.15);
    assert_true(total[t.n_kinds - 1] > total[SENSE_WINDOW] + 0.05);
    assert_true(total[t.n_kinds - 1] > total[SENSE_SENTENCE] + 0.05);
    free(t.accuracy);
    senses_done(&s);
    elmo_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_by_word),
        cmocka_unit_test(faults_name_the_line_and_the_column),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(the_nearest_by_cosine_decides),
        cmocka_unit_test(ties_are_shared_evenly),
        cmocka_unit_test(a_word_that_is_not_one_token_is_named),
        cmocka_unit_test(neighbours_count_without_their_order),
        cmocka_unit_test(memory_that_runs_out_is_reported),
        cmocka_unit_test(the_shipped_model_tells_senses_apart),
    };
    return cmocka_run_group_tests_name("train_senses", tests, group_dir_init, group_dir_done);
}

/* The linear classifier over n-grams: which are counted, its naive Bayes scales against counting by
 * hand, that it learns what only a bigram tells, and that the same seed gives the same weights. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "text/ngrams.h"
#include "train/sentiment/ngram_model.h"
#include "util/arena.h"
#include "util/rng.h"

static const struct elmo_model model = {.tokenizer = TOKENIZER_WHITESPACE}; /* all that is read */

/* ---- Scales, on rows made by hand ---- */

#define N_ROWS      10
#define N_COUNTED   9
#define MAX_PER_ROW 4

static const struct { /* row 9 is in no text */
    uint32_t rows[MAX_PER_ROW];
    size_t n;
    uint32_t label;
} counted[N_COUNTED] = {
    {{0, 1, 2}, 3, 0}, {{0, 2, 3}, 3, 0}, {{0}, 1, 0},    {{4, 5}, 2, 1}, {{2, 5, 6}, 3, 1},
    {{7, 8}, 2, 2},    {{2, 7}, 2, 2},    {{6, 7}, 2, 2}, {{7}, 1, 2},
};

struct counted_texts {
    struct ngram_texts texts;
    struct labelled_text items[N_COUNTED];
    size_t n;
};

/* The first n_labels labels' texts. */
static void counted_init(struct counted_texts *c, size_t n_labels)
{
    *c = (struct counted_texts){
        .texts = {.rows = calloc(N_COUNTED * MAX_PER_ROW, sizeof *c->texts.rows),
                  .begin = calloc(N_COUNTED + 1, sizeof *c->texts.begin)}};
    assert_true(c->texts.rows && c->texts.begin);
    for (size_t k = 0; k < N_COUNTED && counted[k].label < n_labels; k++) {
        size_t at = c->texts.begin[k];
        memcpy(c->texts.rows + at, counted[k].rows, counted[k].n * sizeof *c->texts.rows);
        c->texts.begin[++c->n] = at + counted[k].n;
        c->items[k].label = counted[k].label;
    }
    c->texts.n_texts = c->n;
}

/* How many texts have the row, of this label or of all others. */
static double texts_with(const struct counted_texts *c, uint32_t row, uint32_t label, bool others)
{
    double n = 0;
    for (size_t k = 0; k < c->n; k++)
        for (size_t i = 0; i < counted[k].n; i++)
            n += counted[k].rows[i] == row && (counted[k].label == label) != others;
    return n;
}

/* The log-count ratio of Wang and Manning 2012, with 1 added to each label's count of each row. */
static double ratio(const struct counted_texts *c, uint32_t row, uint32_t label, size_t n_labels)
{
    double others = (double)n_labels - 1, sum = 0, sum_others = 0;
    for (uint32_t r = 0; r < N_ROWS; r++) {
        sum += texts_with(c, r, label, false) + 1;
        sum_others += texts_with(c, r, label, true) + others;
    }
    return log((texts_with(c, row, label, false) + 1) / sum /
               ((texts_with(c, row, label, true) + others) / sum_others));
}

/* The label of all texts with this row, of which there are *ret_n; false: of several labels, none.
 */
static bool one_label(const struct counted_texts *c, uint32_t row, size_t n_labels,
                      uint32_t *ret_label, size_t *ret_n)
{
    for (uint32_t label = 0; label < n_labels; label++)
        if (texts_with(c, row, label, false) > 0 && !(texts_with(c, row, label, true) > 0)) {
            *ret_label = label;
            *ret_n = (size_t)texts_with(c, row, label, false);
            return true;
        }
    return false;
}

/* At a tiny rate all gradients are the first ones, so that AdaGrad's steps for a row that n texts
 * of one label have are rate * (1 + 1 / sqrt(2) + .. + 1 / sqrt(n)), towards the label; the weight
 * is that times the size of the scale. */
static void check_scales(size_t n_labels)
{
    struct counted_texts c;
    struct ngram_model m;
    const struct ngram_settings how = {
        .max_order = 1, .n_rows = N_ROWS, .n_epochs = 1, .learning_rate = 1e-9, .seed = 1};
    size_t n_outputs = n_labels == 2 ? 1 : n_labels, n_compared = 0;
    counted_init(&c, n_labels);
    assert_int_equal(ngram_model_init(&m, &c.texts, c.items, c.n, n_outputs, &how, NULL), 0);
    assert_int_equal(m.n_rows, N_ROWS);
    assert_int_equal(m.n_outputs, n_outputs);
    for (uint32_t row = 0; row < N_ROWS; row++)
        for (uint32_t out = 0; out < n_outputs; out++) {
            uint32_t label = 0, aim = n_outputs == 1 ? 1 : out;
            size_t n = 0;
            if (!one_label(&c, row, n_labels, &label, &n))
                continue;
            double steps = 0, scale = ratio(&c, row, aim, n_labels);
            for (size_t k = 1; k <= n; k++)
                steps += how.learning_rate / sqrt((double)k);
            double expected = (label == aim ? 1 : -1) * steps * fabs(scale);
            double found = (double)m.weights[row * n_outputs + out];
            if (fabs(found - expected) > 1e-4 * fabs(expected))
                fail_msg("row %u, output %u: %g, expected %g", row, out, found, expected);
            n_compared++;
        }
    assert_int_equal(n_compared, n_labels == 2 ? 6 : 7 * 3);
    for (uint32_t out = 0; out < n_outputs; out++)
        assert_true(m.weights[9 * n_outputs + out] == 0); /* never seen */
    ngram_model_done(&m);
    ngram_texts_done(&c.texts);
}

static void scales_are_naive_bayes_log_count_ratios(void **state)
{
    (void)state;
    check_scales(2);
    check_scales(3);
}

/* ---- Learning, from texts ---- */

#define N_TEXTS 240
#define TABLE   ((size_t)1 << 14)

struct written {
    char *memory;
    struct labelled_text items[N_TEXTS];
    struct ngram_texts texts;
};

/* Texts of `core[label]` among words that tell nothing. */
static void written_init(struct written *w, const char *const (*core)[2], size_t n_labels,
                         size_t max_order)
{
    static const char *const words[] = {"the", "film", "was", "plot", "of", "a"};
    const size_t room = 128;
    struct rng rng = {4};
    *w = (struct written){.memory = calloc(N_TEXTS, room)};
    assert_non_null(w->memory);
    for (size_t k = 0; k < N_TEXTS; k++) {
        char *text = w->memory + k * room;
        uint32_t label = (uint32_t)(k % n_labels);
        const char *const before = words[rng_next(&rng) % ARRAY_LEN(words)];
        const char *const behind = words[rng_next(&rng) % ARRAY_LEN(words)];
        int n = snprintf(text, room, "%s %s %s", before, core[label][k / n_labels % 2], behind);
        w->items[k] = (struct labelled_text){.text = text, .n_bytes = (size_t)n, .label = label};
    }
    const struct ngram_settings how = {.max_order = max_order, .n_rows = TABLE, .min_count = 1};
    assert_int_equal(
        ngram_texts_init(&w->texts, &model, w->items, N_TEXTS, N_TEXTS / 2, &how, NULL), 0);
}

static void written_done(struct written *w)
{
    ngram_texts_done(&w->texts);
    free(w->memory);
}

static void learn(struct ngram_model *m, const struct written *w, size_t n_outputs, uint64_t seed)
{
    struct ngram_settings how = ngram_defaults();
    how.n_rows = TABLE;
    how.seed = seed;
    assert_int_equal(ngram_model_init(m, &w->texts, w->items, N_TEXTS / 2, n_outputs, &how, NULL),
                     0);
}

/* Share of right answers on the half that it has not learnt. */
static double accuracy(const struct ngram_model *m, const struct written *w)
{
    double n_right = 0;
    for (size_t k = N_TEXTS / 2; k < N_TEXTS; k++) {
        double z[3] = {0};
        uint32_t best = 0;
        ngram_model_logits(z, m, &w->texts, k);
        for (uint32_t out = 1; out < m->n_outputs; out++)
            best = z[out] > z[best] ? out : best;
        n_right += (m->n_outputs == 1 ? z[0] > 0 : best) == w->items[k].label;
    }
    return n_right / (N_TEXTS - N_TEXTS / 2.0);
}

/* Each word is in both labels alike: only two together tell. */
static const char *const negated[][2] = {{"not good", "so bad"}, {"so good", "not bad"}};

static void what_only_a_bigram_tells_needs_bigrams(void **state)
{
    (void)state;
    for (size_t order = 1; order <= 2; order++) {
        struct written w;
        struct ngram_model m;
        written_init(&w, negated, 2, order);
        learn(&m, &w, 1, 1);
        if (order == 1)
            assert_true(accuracy(&m, &w) < 0.7);
        else
            assert_true(accuracy(&m, &w) > 0.99);
        ngram_model_done(&m);
        written_done(&w);
    }
}

static void three_labels_are_told_apart(void **state)
{
    (void)state;
    static const char *const core[][2] = {{"dreadful", "bad"}, {"fine", "nice"}, {"so so", "meh"}};
    struct written w;
    struct ngram_model m;
    written_init(&w, core, 3, 2);
    learn(&m, &w, 3, 1);
    assert_true(accuracy(&m, &w) > 0.99);
    ngram_model_done(&m);
    written_done(&w);
}

static void the_same_seed_gives_the_same_weights(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {1, 1, 2};
    struct written w;
    struct ngram_model m[ARRAY_LEN(seeds)];
    written_init(&w, negated, 2, 2);
    for (size_t k = 0; k < ARRAY_LEN(seeds); k++)
        learn(&m[k], &w, 1, seeds[k]);
    assert_memory_equal(m[0].weights, m[1].weights, TABLE * sizeof *m[0].weights);
    assert_memory_equal(m[0].bias, m[1].bias, sizeof *m[0].bias);
    assert_memory_not_equal(m[0].weights, m[2].weights, TABLE * sizeof *m[0].weights);
    for (size_t k = 0; k < ARRAY_LEN(seeds); k++)
        ngram_model_done(&m[k]);
    written_done(&w);
}

static void logits_are_the_sum_of_the_rows_weights(void **state)
{
    (void)state;
    float weights[] = {1, 10, 2, 20, 4, 40, 8, 80}, bias[] = {0.5f, 0.25f};
    uint32_t rows[] = {0, 3, 1};
    size_t begin[] = {0, 0, 2, 3};
    const struct ngram_model m = {weights, bias, 4, 2};
    const struct ngram_texts texts = {rows, begin, 3};
    static const double expected[][2] = {{0.5, 0.25}, {9.5, 90.25}, {2.5, 20.25}};
    for (size_t k = 0; k < ARRAY_LEN(expected); k++) {
        double z[2];
        ngram_model_logits(z, &m, &texts, k);
        assert_true(z[0] == expected[k][0] && z[1] == expected[k][1]);
    }
}

/* ---- Texts ---- */

static void texts_are_kept_as_their_rows(void **state)
{
    (void)state;
    struct written w;
    written_init(&w, negated, 2, 3);
    assert_int_equal(w.texts.n_texts, N_TEXTS);
    assert_int_equal(w.texts.begin[0], 0);
    for (size_t k = 0; k < N_TEXTS; k++) {
        struct arena arena = {0};
        struct elmo_token *tokens;
        uint32_t *rows;
        size_t n_tokens, n;
        assert_int_equal(
            elmo_tokenize(&model, w.items[k].text, w.items[k].n_bytes, &tokens, &n_tokens, NULL),
            0);
        assert_int_equal(ngram_rows(&rows, &n, tokens, n_tokens, 3, TABLE, &arena), 0);
        assert_int_equal(w.texts.begin[k + 1] - w.texts.begin[k], n);
        assert_memory_equal(w.texts.rows + w.texts.begin[k], rows, n * sizeof *rows);
        arena_done(&arena);
        free(tokens);
    }
    written_done(&w);
}

static size_t n_rows_of(const struct ngram_texts *t, size_t text)
{
    return t->begin[text + 1] - t->begin[text];
}

/* "good" is in three texts to learn, "plot" in two, "good plot" in one; a text that is not learnt
 * has all its rows, as in serving. */
static void n_grams_of_too_few_texts_are_left_out(void **state)
{
    (void)state;
    static const char *const written[] = {"good good plot", "Good", "plot good", "good plot dull"};
    static const size_t expected[][4] = {{4, 1, 3, 5}, {2, 1, 2, 5}, {1, 1, 1, 5}, {0, 0, 0, 5}};
    struct labelled_text items[4];
    for (size_t k = 0; k < 4; k++)
        items[k] =
            (struct labelled_text){.text = (char *)written[k], .n_bytes = strlen(written[k])};
    for (size_t min_count = 1; min_count <= 4; min_count++) {
        const struct ngram_settings how = {.max_order = 2, .n_rows = TABLE, .min_count = min_count};
        struct ngram_texts texts;
        assert_int_equal(ngram_texts_init(&texts, &model, items, 4, 3, &how, NULL), 0);
        for (size_t k = 0; k < 4; k++)
            assert_int_equal(n_rows_of(&texts, k), expected[min_count - 1][k]);
        ngram_texts_done(&texts);
    }
}

/* In a table of one row, a text has that one or none. */
static void n_grams_that_share_a_row_count_once(void **state)
{
    (void)state;
    static const struct labelled_text items[] = {{.text = "a b c", .n_bytes = 5},
                                                 {.text = " ", .n_bytes = 1},
                                                 {.text = "d d", .n_bytes = 3}};
    const struct ngram_settings how = {.max_order = 4, .n_rows = 1, .min_count = 1};
    struct ngram_texts texts;
    assert_int_equal(ngram_texts_init(&texts, &model, items, 3, 2, &how, NULL), 0);
    assert_int_equal(n_rows_of(&texts, 0), 1);
    assert_int_equal(n_rows_of(&texts, 1), 0);
    assert_int_equal(n_rows_of(&texts, 2), 1);
    ngram_texts_done(&texts);
}

static void a_text_that_is_not_utf8_is_an_error(void **state)
{
    (void)state;
    static const struct labelled_text bad[] = {{.text = "good", .n_bytes = 4},
                                               {.text = "caf\xe9", .n_bytes = 4}};
    const struct ngram_settings how = ngram_defaults();
    struct ngram_texts texts = {0};
    assert_int_equal(ngram_texts_init(&texts, &model, bad, ARRAY_LEN(bad), 1, &how, NULL),
                     ELMO_E_UTF8);
    assert_null(texts.begin);
}

static void out_of_memory_is_reported(void **state)
{
    (void)state;
    struct ngram_settings how = ngram_defaults();
    struct written w;
    size_t n_good = 0, n_failed;
    how.n_rows = TABLE;
    written_init(&w, negated, 2, 2);
    do {
        struct ngram_texts texts = {0};
        struct ngram_model m = {0};
        fail_alloc_after(n_good);
        int r = ngram_texts_init(&texts, &model, w.items, 20, 15, &how, NULL);
        if (!r)
            r = ngram_model_init(&m, &texts, w.items, 20, 1, &how, NULL);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        ngram_model_done(&m);
        ngram_texts_done(&texts);
        n_good++;
    } while (n_failed);
    assert_true(n_good > 20);
    written_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_are_naive_bayes_log_count_ratios),
        cmocka_unit_test(what_only_a_bigram_tells_needs_bigrams),
        cmocka_unit_test(three_labels_are_told_apart),
        cmocka_unit_test(the_same_seed_gives_the_same_weights),
        cmocka_unit_test(logits_are_the_sum_of_the_rows_weights),
        cmocka_unit_test(texts_are_kept_as_their_rows),
        cmocka_unit_test(n_grams_of_too_few_texts_are_left_out),
        cmocka_unit_test(n_grams_that_share_a_row_count_once),
        cmocka_unit_test(a_text_that_is_not_utf8_is_an_error),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests_name("train_ngram_model", tests, NULL, NULL);
}

/* Labels for texts that have none, by an n-gram classifier whose every weight is made by hand. */
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
#include "support/fail_alloc.h"
#include "text/ngrams.h"
#include "train/sentiment/pseudo_labels.h"
#include "util/arena.h"

#define N_ROWS      ((size_t)1 << 10)
#define MAX_OUTPUTS 3
#define CONFIDENCE  0.9

static const struct elmo_model model = {.tokenizer = TOKENIZER_WHITESPACE}; /* all that is read */
static const struct ngram_settings settings = {.max_order = 1, .n_rows = N_ROWS};

struct fixture {
    float weights[N_ROWS * MAX_OUTPUTS], bias[MAX_OUTPUTS];
    double c[MAX_OUTPUTS];
    struct ngram_model ngrams;
    struct calibration calibration;
    struct pseudo_labeller labeller;
};

/* `word` adds so much to an output's logit. */
static void weigh(struct fixture *f, const char *word, size_t output, float weight)
{
    struct arena arena = {0};
    const struct elmo_token token = {word, strlen(word)};
    uint32_t *rows;
    size_t n;
    assert_int_equal(ngram_rows(&rows, &n, &token, 1, 1, N_ROWS, &arena), 0);
    assert_int_equal(n, 1);
    f->weights[rows[0] * f->ngrams.n_outputs + output] = weight;
    arena_done(&arena);
}

static void fixture_init(struct fixture *f, size_t n_outputs)
{
    *f = (struct fixture){.ngrams = {f->weights, f->bias, N_ROWS, n_outputs},
                          .calibration = {.a = 1, .c = f->c}};
    f->labeller =
        (struct pseudo_labeller){&model, &f->ngrams, &settings, &f->calibration, CONFIDENCE};
}

static struct labelled_text item_of(const char *text, uint32_t number)
{
    return (struct labelled_text){.text = text, .n_bytes = strlen(text), .group = number};
}

/* log(9) is the logit of 0.9. */
static void the_sure_ones_come_first_in_their_order(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_init(&f, 1);
    weigh(&f, "good", 0, 3);
    weigh(&f, "fair", 0, 2);
    weigh(&f, "bad", 0, -3);
    static const char *const texts[] = {"fair",     "good film", "film",
                                        "bad film", "bad good",  "good"};
    struct labelled_text items[6];
    size_t n;
    for (uint32_t k = 0; k < 6; k++)
        items[k] = item_of(texts[k], k);
    assert_int_equal(pseudo_label(items, 6, &n, &f.labeller, NULL), 0);
    assert_int_equal(n, 3);
    static const uint32_t numbers[] = {1, 3, 5}, labels[] = {1, 0, 1};
    for (size_t k = 0; k < 3; k++) {
        assert_int_equal(items[k].group, numbers[k]);
        assert_int_equal(items[k].label, labels[k]);
        assert_string_equal(items[k].text, texts[numbers[k]]);
    }
}

/* Its scale and its offset decide what is sure. */
static void calibration_comes_before_confidence(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_init(&f, 1);
    weigh(&f, "good", 0, 3);
    weigh(&f, "bad", 0, -3);
    static const struct {
        double a, c;
        size_t n;
    } cases[] = {{1, 0, 2}, {0.5, 0, 0}, {1, 1, 1}, {2, 3, 2}, {0.01, 3, 2}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct labelled_text items[] = {item_of("good", 0), item_of("bad", 1)};
        size_t n;
        f.calibration.a = cases[k].a;
        f.c[0] = cases[k].c;
        assert_int_equal(pseudo_label(items, 2, &n, &f.labeller, NULL), 0);
        assert_int_equal(n, cases[k].n);
    }
}

static void of_three_labels_the_likeliest(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_init(&f, 3);
    weigh(&f, "sad", 0, 4);
    weigh(&f, "odd", 1, 4);
    weigh(&f, "gay", 2, 4);
    struct labelled_text items[] = {item_of("gay", 0), item_of("sad odd", 1), item_of("odd", 2),
                                    item_of("sad", 3), item_of("nothing", 4)};
    static const uint32_t expected[] = {2, 1, 0};
    size_t n;
    assert_int_equal(pseudo_label(items, ARRAY_LEN(items), &n, &f.labeller, NULL), 0);
    assert_int_equal(n, 3);
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(items[k].label, expected[k]);
}

/* More than are in memory at a time. */
static void many_texts_are_labelled_as_one_is(void **state)
{
    (void)state;
    enum { N = 2345 };
    static struct fixture f;
    static struct labelled_text items[N];
    static const char *const texts[] = {"good", "film", "bad"};
    size_t n;
    fixture_init(&f, 1);
    weigh(&f, "good", 0, 3);
    weigh(&f, "bad", 0, -3);
    for (uint32_t k = 0; k < N; k++)
        items[k] = item_of(texts[k % 3], k);
    assert_int_equal(pseudo_label(items, N, &n, &f.labeller, NULL), 0);
    assert_int_equal(n, (N + 2) / 3 + N / 3);
    for (uint32_t k = 0; k < n; k++) {
        assert_int_equal(items[k].group, k / 2 * 3 + k % 2 * 2);
        assert_int_equal(items[k].label, k % 2 == 0);
    }
    assert_int_equal(pseudo_label(items, 0, &n, &f.labeller, NULL), 0);
    assert_int_equal(n, 0);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    static struct fixture f;
    size_t n_good = 0, n_failed, n;
    fixture_init(&f, 1);
    do {
        struct labelled_text items[] = {item_of("good", 0), item_of("bad", 1)};
        fail_alloc_after(n_good++);
        int r = pseudo_label(items, 2, &n, &f.labeller, NULL);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
    } while (n_failed);
    assert_true(n_good > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sure_ones_come_first_in_their_order),
        cmocka_unit_test(calibration_comes_before_confidence),
        cmocka_unit_test(of_three_labels_the_likeliest),
        cmocka_unit_test(many_texts_are_labelled_as_one_is),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests_name("train_pseudo_labels", tests, NULL, NULL);
}

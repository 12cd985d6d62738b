/* The measures of a classifier: cases worked out by hand, and random ones against slow ways. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/fail_alloc.h"
#include "train/sentiment/classification.h"
#include "util/rng.h"

static void assert_near(double x, double expected)
{
    if (isnan(expected) ? !isnan(x) : !(fabs(x - expected) < 1e-6))
        fail_msg("%.9g is not %.9g", x, expected);
}

/* Of two labels, from the second one's probabilities. */
static struct classification measure_binary(const float *p, const uint32_t *truth, size_t n_texts)
{
    struct classification c;
    float both[64];
    assert_true(n_texts <= ARRAY_LEN(both) / 2);
    for (size_t k = 0; k < n_texts; k++) {
        both[2 * k] = 1 - p[k];
        both[2 * k + 1] = p[k];
    }
    assert_int_equal(classification_measure(&c, both, truth, n_texts, 2, NULL), 0);
    return c;
}

static void two_labels_worked_out_by_hand(void **state)
{
    (void)state;
    static const float p[] = {0.9f, 0.8f, 0.35f, 0.6f, 0.2f, 0.1f};
    static const uint32_t truth[] = {1, 1, 1, 0, 0, 0};
    struct classification c = measure_binary(p, truth, 6);
    static const size_t confusion[] = {2, 1, 1, 2};
    assert_memory_equal(c.confusion, confusion, sizeof confusion);
    assert_near(c.accuracy, 4.0 / 6);
    for (int label = 0; label < 2; label++) {
        assert_int_equal(c.labels[label].n_true, 3);
        assert_int_equal(c.labels[label].n_predicted, 3);
        assert_near(c.labels[label].precision, 2.0 / 3);
        assert_near(c.labels[label].recall, 2.0 / 3);
        assert_near(c.labels[label].f1, 2.0 / 3);
    }
    assert_near(c.macro_f1, 2.0 / 3);
    assert_near(c.roc_auc, 8.0 / 9); /* 0.35 against 0.6 is the one pair the wrong way round */
    assert_near(c.log_loss,
                -(log(0.9) + log(0.8) + log(0.35) + log(0.4) + log(0.8) + log(0.9)) / 6);
    /* .65 and .6 wrong; two of .8 and two of .9 right */
    assert_near(c.ece, (0.65 + 0.6 + (2 - 1.6) + (2 - 1.8)) / 6);
    classification_done(&c);
}

static void three_labels_worked_out_by_hand(void **state)
{
    (void)state;
    static const float p[] = {0.7f, 0.2f, 0.1f, /* */ 0.5f, 0.3f,       0.2f, /* */ 0.1f, 0.8f,
                              0.1f, 0.2f, 0.3f, 0.5f,       /* */ 0.6f, 0.1f, 0.3f};
    static const uint32_t truth[] = {0, 1, 1, 2, 2};
    static const size_t confusion[] = {1, 0, 0, 1, 1, 0, 1, 0, 1};
    struct classification c;
    assert_int_equal(classification_measure(&c, p, truth, 5, 3, NULL), 0);
    assert_memory_equal(c.confusion, confusion, sizeof confusion);
    assert_near(c.accuracy, 0.6);
    assert_near(c.labels[0].precision, 1.0 / 3);
    assert_near(c.labels[0].recall, 1);
    assert_near(c.labels[0].f1, 0.5);
    assert_near(c.labels[1].precision, 1);
    assert_near(c.labels[1].recall, 0.5);
    assert_near(c.labels[1].f1, 2.0 / 3);
    assert_near(c.macro_f1, (0.5 + 2.0 / 3 + 2.0 / 3) / 3);
    assert_near(c.labels[0].roc_auc, 1);
    assert_near(c.labels[1].roc_auc, 5.5 / 6); /* .8 and .3 against .2 .3 .1: one tie */
    assert_near(c.labels[2].roc_auc, 1);       /* .5 and .3 against .1 .2 .1 */
    assert_near(c.roc_auc, (1 + 5.5 / 6 + 1) / 3);
    classification_done(&c);
}

static void the_first_of_equally_probable_labels_is_predicted(void **state)
{
    (void)state;
    static const float p[] = {0.5f, 0.5f};
    static const uint32_t truth[] = {0, 1};
    struct classification c = measure_binary(p, truth, 2);
    assert_int_equal(c.labels[0].n_predicted, 2);
    assert_near(c.accuracy, 0.5);
    assert_near(c.roc_auc, 0.5);
    assert_near(c.ece, 0);
    assert_near(c.labels[1].precision, 0);
    assert_near(c.labels[1].f1, 0);
    assert_near(c.log_loss, log(2));
    classification_done(&c);
}

static void certainty_is_finite(void **state)
{
    (void)state;
    static const float p[] = {0, 1, 1, 0};
    static const uint32_t wrong[] = {1, 0, 0, 1}, right[] = {0, 1, 1, 0};
    struct classification c = measure_binary(p, right, 4);
    assert_near(c.log_loss, 0);
    assert_near(c.ece, 0);
    assert_near(c.roc_auc, 1);
    classification_done(&c);
    c = measure_binary(p, wrong, 4);
    assert_near(c.log_loss, -log(1e-15));
    assert_near(c.ece, 1);
    assert_near(c.roc_auc, 0);
    classification_done(&c);
}

static void labels_that_no_text_has_are_left_out_of_the_means(void **state)
{
    (void)state;
    static const float p[] = {0.8f, 0.1f, 0.1f, 0, 0.2f, 0.7f, 0.1f, 0, 0.3f, 0.1f, 0.6f, 0};
    static const uint32_t truth[] = {0, 1, 1};
    struct classification c;
    assert_int_equal(classification_measure(&c, p, truth, 3, 4, NULL), 0);
    assert_near(c.labels[2].precision, 0); /* said once, never true */
    assert_near(c.labels[2].recall, (double)NAN);
    assert_near(c.labels[2].f1, 0);
    assert_near(c.labels[2].roc_auc, (double)NAN);
    assert_near(c.labels[3].precision, (double)NAN);
    assert_near(c.labels[3].f1, (double)NAN);
    assert_near(c.macro_f1, (1 + 2.0 / 3 + 0) / 3);
    assert_near(c.roc_auc, (c.labels[0].roc_auc + c.labels[1].roc_auc) / 2);
    classification_done(&c);
}

/* ---- Against slow ways ---- */

static double slow_auc(const float *p, const uint32_t *truth, size_t n_texts, size_t n_labels,
                       uint32_t label)
{
    double wins = 0, n_pairs = 0;
    for (size_t a = 0; a < n_texts; a++)
        for (size_t b = 0; b < n_texts; b++) {
            if (truth[a] != label || truth[b] == label)
                continue;
            float x = p[a * n_labels + label], y = p[b * n_labels + label];
            wins += x > y ? 1 : x < y ? 0 : 0.5;
            n_pairs++;
        }
    return wins / n_pairs;
}

/* One bin after the other, over all texts. */
static double slow_ece(const float *p, const uint32_t *truth, size_t n_texts, size_t n_labels)
{
    double ece = 0;
    for (int bin = 0; bin < 15; bin++) {
        double n = 0, n_right = 0, sum = 0;
        for (size_t k = 0; k < n_texts; k++) {
            size_t best = 0;
            for (size_t label = 1; label < n_labels; label++)
                best = p[k * n_labels + label] > p[k * n_labels + best] ? label : best;
            double top = (double)p[k * n_labels + best] * 15;
            if (top <= bin || top > bin + 1)
                continue;
            n++;
            n_right += truth[k] == best;
            sum += top / 15;
        }
        if (n > 0)
            ece += n / (double)n_texts * fabs(n_right / n - sum / n);
    }
    return ece;
}

/* Few different values, so that many are equal. */
static void fill_random(float *p, uint32_t *truth, size_t n_texts, size_t n_labels, struct rng *rng)
{
    for (size_t k = 0; k < n_texts; k++) {
        float sum = 0;
        for (size_t label = 0; label < n_labels; label++)
            sum += p[k * n_labels + label] = (float)(1 + rng_next(rng) % 4);
        for (size_t label = 0; label < n_labels; label++)
            p[k * n_labels + label] /= sum;
        truth[k] = (uint32_t)(rng_next(rng) % n_labels);
    }
}

static void random_probabilities_score_as_the_slow_way_says(void **state)
{
    (void)state;
    enum { N_TEXTS = 200, MOST_LABELS = 5 };
    float p[N_TEXTS * MOST_LABELS];
    uint32_t truth[N_TEXTS];
    struct rng rng = {1};
    for (size_t n_labels = 2; n_labels <= MOST_LABELS; n_labels++)
        for (int round = 0; round < 20; round++) {
            struct classification c;
            double sum = 0;
            fill_random(p, truth, N_TEXTS, n_labels, &rng);
            assert_int_equal(classification_measure(&c, p, truth, N_TEXTS, n_labels, NULL), 0);
            for (uint32_t label = 0; label < n_labels; label++) {
                double auc = slow_auc(p, truth, N_TEXTS, n_labels, label);
                assert_near(c.labels[label].roc_auc, auc);
                sum += auc;
            }
            assert_near(c.roc_auc,
                        n_labels == 2 ? slow_auc(p, truth, N_TEXTS, 2, 1) : sum / (double)n_labels);
            assert_near(c.ece, slow_ece(p, truth, N_TEXTS, n_labels));
            classification_done(&c);
        }
}

/* ---- For a person ---- */

static void scores_are_printed_as_lines_and_tables(void **state)
{
    (void)state;
    static const float p[] = {0.9f, 0.8f, 0.35f, 0.6f, 0.2f, 0.1f};
    static const uint32_t truth[] = {1, 1, 1, 0, 0, 0};
    static const char *const labels[] = {"negative", "positive"};
    char *text;
    size_t n_bytes;
    struct classification c = measure_binary(p, truth, 6);
    FILE *out = open_memstream(&text, &n_bytes);
    classification_print(&c, labels, out);
    fclose(out);
    assert_string_equal(
        text, "texts 6\naccuracy 0.66667\nmacro_f1 0.66667\nroc_auc 0.88889\nlog_loss 0.43719\n"
              "ece 0.30833\n\n"
              "label          texts  precision     recall         f1    roc_auc\n"
              "negative           3     0.6667     0.6667     0.6667     0.8889\n"
              "positive           3     0.6667     0.6667     0.6667     0.8889\n\n"
              "predicted   negative   positive\n"
              "negative           2          1\n"
              "positive           1          2\n");
    free(text);
    classification_done(&c);
}

static void many_labels_are_printed_without_their_matrix(void **state)
{
    (void)state;
    enum { N = 13 };
    float p[N * N] = {0};
    uint32_t truth[N];
    const char *labels[N];
    char *text;
    size_t n_bytes;
    struct classification c;
    for (uint32_t k = 0; k < N; k++) {
        p[k * N + k] = 1;
        truth[k] = k;
        labels[k] = "a label that is quite a bit too long for a table";
    }
    assert_int_equal(classification_measure(&c, p, truth, N, N, NULL), 0);
    FILE *out = open_memstream(&text, &n_bytes);
    classification_print(&c, labels, out);
    fclose(out);
    assert_non_null(strstr(text, "accuracy 1.00000"));
    assert_null(strstr(text, "predicted"));
    free(text);
    classification_done(&c);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    static const float p[] = {0.5f, 0.5f, 0.1f, 0.9f};
    static const uint32_t truth[] = {0, 1};
    for (size_t n_good = 0; n_good <= 3; n_good++) {
        struct classification c;
        fail_alloc_after(n_good);
        int r = classification_measure(&c, p, truth, 2, 2, NULL);
        size_t n_failed = fail_alloc_stop();
        assert_int_equal(r, n_good < 3 ? ELMO_E_NOMEM : 0);
        assert_true(n_good < 3 ? n_failed > 0 : n_failed == 0);
        if (!r)
            classification_done(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_labels_worked_out_by_hand),
        cmocka_unit_test(three_labels_worked_out_by_hand),
        cmocka_unit_test(the_first_of_equally_probable_labels_is_predicted),
        cmocka_unit_test(certainty_is_finite),
        cmocka_unit_test(labels_that_no_text_has_are_left_out_of_the_means),
        cmocka_unit_test(random_probabilities_score_as_the_slow_way_says),
        cmocka_unit_test(scores_are_printed_as_lines_and_tables),
        cmocka_unit_test(many_labels_are_printed_without_their_matrix),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

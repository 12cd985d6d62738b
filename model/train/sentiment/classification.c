#include "classification.h"

#include <math.h>
#include <string.h>

#include "error.h"

#define LEAST_PROBABILITY   1e-15
#define MAX_PRINTED_MATRIX  12u
#define PRINTED_LABEL_BYTES 24

void classification_done(struct classification *c)
{
    free(c->labels);
    free(c->confusion);
    *c = (struct classification){0};
}

struct task { /* borrowed */
    const float *probabilities;
    const uint32_t *truth;
    size_t n_texts, n_labels;
};

static uint32_t predict(const struct task *t, size_t text)
{
    const float *p = t->probabilities + text * t->n_labels;
    uint32_t best = 0;
    for (uint32_t k = 1; k < t->n_labels; k++)
        if (p[k] > p[best])
            best = k;
    return best;
}

/* ---- Right and wrong ---- */

static void count_confusion(struct classification *c, const struct task *t)
{
    size_t n_right = 0;
    for (size_t k = 0; k < t->n_texts; k++) {
        uint32_t truth = t->truth[k], predicted = predict(t, k);
        c->confusion[truth * t->n_labels + predicted]++;
        c->labels[truth].n_true++;
        c->labels[predicted].n_predicted++;
        n_right += truth == predicted;
    }
    c->accuracy = (double)n_right / (double)t->n_texts;
}

static void score_label(struct label_score *s, size_t n_right)
{
    double right = (double)n_right, n_true = (double)s->n_true, n_said = (double)s->n_predicted;
    bool occurs = s->n_true || s->n_predicted;
    s->precision = s->n_predicted ? right / n_said : occurs ? 0 : (double)NAN;
    s->recall = s->n_true ? right / n_true : (double)NAN;
    s->f1 = occurs ? 2 * right / (n_true + n_said) : (double)NAN;
}

/* ---- Probabilities ---- */

/* Negative log-likelihood and calibration; bin b has the probabilities (b, b + 1] / 15. */
static void score_probabilities(struct classification *c, const struct task *t)
{
    struct {
        double n_right, sum_p;
    } bins[CLASSIFICATION_N_BINS] = {{0}};
    double nats = 0, gap = 0;
    for (size_t k = 0; k < t->n_texts; k++) {
        const float *p = t->probabilities + k * t->n_labels;
        uint32_t predicted = predict(t, k);
        double top = (double)p[predicted], of_truth = (double)p[t->truth[k]];
        size_t bin = (size_t)fmax(ceil(top * CLASSIFICATION_N_BINS) - 1, 0);
        if (bin >= CLASSIFICATION_N_BINS) /* rounding above 1 */
            bin = CLASSIFICATION_N_BINS - 1;
        bins[bin].n_right += predicted == t->truth[k];
        bins[bin].sum_p += top;
        nats -= log(fmax(of_truth, LEAST_PROBABILITY));
    }
    for (size_t bin = 0; bin < CLASSIFICATION_N_BINS; bin++)
        gap += fabs(bins[bin].n_right - bins[bin].sum_p);
    c->log_loss = nats / (double)t->n_texts;
    c->ece = gap / (double)t->n_texts;
}

/* ---- ROC-AUC ---- */

struct scored {
    float p;
    bool is_true;
};

static int compare_scored(const void *left, const void *right)
{
    const struct scored *a = left, *b = right;
    return (a->p > b->p) - (a->p < b->p);
}

/* The share of pairs (a text of the label, another one) in which the first has the greater
 * probability, counted exactly in halves. `scored` [n_texts] is scratch. */
static double roc_auc(struct scored *scored, const struct task *t, uint32_t label)
{
    uint64_t half_wins = 0, n_below = 0, n_true = 0;
    for (size_t k = 0; k < t->n_texts; k++)
        scored[k] =
            (struct scored){t->probabilities[k * t->n_labels + label], t->truth[k] == label};
    qsort(scored, t->n_texts, sizeof *scored, compare_scored);
    for (size_t begin = 0, end; begin < t->n_texts; begin = end) {
        uint64_t n_of[2] = {0};
        for (end = begin; end < t->n_texts && !(scored[end].p > scored[begin].p); end++)
            n_of[scored[end].is_true]++;
        half_wins += n_of[1] * (2 * n_below + n_of[0]);
        n_below += n_of[0];
        n_true += n_of[1];
    }
    if (!n_below || !n_true)
        return (double)NAN;
    return (double)half_wins / 2 / ((double)n_below * (double)n_true);
}

static int score_rankings(struct classification *c, const struct task *t)
{
    AUTO(mem_free) struct scored *scored = calloc(t->n_texts, sizeof *scored);
    if (!scored)
        return ELMO_E_NOMEM;
    for (uint32_t label = 0; label < t->n_labels; label++)
        c->labels[label].roc_auc = roc_auc(scored, t, label);
    return 0;
}

/* ---- The whole ---- */

static void add_to_mean(double *mean, size_t *n, double x)
{
    if (isnan(x))
        return;
    ++*n;
    *mean = *n == 1 ? x : *mean + (x - *mean) / (double)*n;
}

static void take_means(struct classification *c)
{
    size_t n_f1 = 0, n_auc = 0;
    c->macro_f1 = c->roc_auc = (double)NAN;
    for (size_t label = 0; label < c->n_labels; label++) {
        add_to_mean(&c->macro_f1, &n_f1, c->labels[label].f1);
        add_to_mean(&c->roc_auc, &n_auc, c->labels[label].roc_auc);
    }
    if (c->n_labels == 2)
        c->roc_auc = c->labels[1].roc_auc;
}

int classification_measure(struct classification *ret_scores, const float *probabilities,
                           const uint32_t *truth, size_t n_texts, size_t n_labels,
                           struct elmo_error *err)
{
    const struct task task = {probabilities, truth, n_texts, n_labels};
    struct classification c = {.n_texts = n_texts, .n_labels = n_labels};
    size_t n_cells;
    c.labels = calloc(n_labels, sizeof *c.labels);
    c.confusion = mul_ok(n_labels, n_labels, &n_cells) ? calloc(n_cells, sizeof(size_t)) : NULL;
    if (!c.labels || !c.confusion || score_rankings(&c, &task)) {
        classification_done(&c);
        return elmo_fail_nomem(err);
    }
    count_confusion(&c, &task);
    for (size_t k = 0; k < n_labels; k++)
        score_label(&c.labels[k], c.confusion[k * n_labels + k]);
    score_probabilities(&c, &task);
    take_means(&c);
    *ret_scores = c;
    return 0;
}

/* ---- For a person ---- */

static int label_columns(const struct classification *c, const char *const *labels)
{
    size_t columns = strlen("predicted");
    for (size_t k = 0; k < c->n_labels; k++)
        columns = strlen(labels[k]) > columns ? strlen(labels[k]) : columns;
    return columns < PRINTED_LABEL_BYTES ? (int)columns : PRINTED_LABEL_BYTES;
}

static void print_number(FILE *out, double x)
{
    if (isnan(x))
        fprintf(out, "  %9s", "-");
    else
        fprintf(out, "  %9.4f", x);
}

static void print_labels(const struct classification *c, const char *const *labels, int columns,
                         FILE *out)
{
    fprintf(out, "\n%-*s  %9s  %9s  %9s  %9s  %9s\n", columns, "label", "texts", "precision",
            "recall", "f1", "roc_auc");
    for (size_t k = 0; k < c->n_labels; k++) {
        const struct label_score *s = &c->labels[k];
        fprintf(out, "%-*s  %9zu", columns, labels[k], s->n_true);
        print_number(out, s->precision);
        print_number(out, s->recall);
        print_number(out, s->f1);
        print_number(out, s->roc_auc);
        putc('\n', out);
    }
}

static void print_confusion(const struct classification *c, const char *const *labels, int columns,
                            FILE *out)
{
    fprintf(out, "\n%-*s", columns, "predicted");
    for (size_t k = 0; k < c->n_labels; k++)
        fprintf(out, "  %*s", columns, labels[k]);
    for (size_t k = 0; k < c->n_labels; k++) {
        fprintf(out, "\n%-*s", columns, labels[k]);
        for (size_t n = 0; n < c->n_labels; n++)
            fprintf(out, "  %*zu", columns, c->confusion[k * c->n_labels + n]);
    }
    putc('\n', out);
}

void classification_print(const struct classification *c, const char *const *labels, FILE *out)
{
    int columns = label_columns(c, labels);
    fprintf(out, "texts %zu\naccuracy %.5f\nmacro_f1 %.5f\nroc_auc %.5f\nlog_loss %.5f\nece %.5f\n",
            c->n_texts, c->accuracy, c->macro_f1, c->roc_auc, c->log_loss, c->ece);
    print_labels(c, labels, columns, out);
    if (c->n_labels <= MAX_PRINTED_MATRIX)
        print_confusion(c, labels, columns, out);
}

#include "ngram_model.h"

#include <math.h>
#include <string.h>

#include "error.h"
#include "train/maths/cross_entropy.h"
#include "util/rng.h"

#define MAX_OUTPUTS LABELLED_MAX_LABELS

struct ngram_settings ngram_defaults(void)
{
    return (struct ngram_settings){.max_order = 4,
                                   .n_rows = (size_t)1 << 22,
                                   .min_count = 3,
                                   .n_epochs = 20,
                                   .learning_rate = 0.01,
                                   .seed = 1};
}

/* ---- Naive Bayes' scales ---- */

/* ret[row, out] = log of the share of label's texts that have the row, over that of the others'
 * (add-one smoothed). One output tells label 1 from label 0. */
static bool log_count_ratios(float *ret, const struct ngram_texts *t,
                             const struct labelled_text *items, size_t n_train, size_t n_rows,
                             size_t n_outputs)
{
    size_t n_labels = n_outputs == 1 ? 2 : n_outputs;
    float *counts = calloc(n_rows, n_labels * sizeof *counts);
    double totals[MAX_OUTPUTS] = {0}, total = 0;
    if (!counts)
        return false;
    for (size_t k = 0; k < n_train; k++) {
        for (size_t i = t->begin[k]; i < t->begin[k + 1]; i++)
            counts[t->rows[i] * n_labels + items[k].label]++;
        totals[items[k].label] += (double)(t->begin[k + 1] - t->begin[k]);
    }
    for (size_t label = 0; label < n_labels; label++)
        total += totals[label] += (double)n_rows;
    for (size_t row = 0; row < n_rows; row++) {
        const float *c = counts + row * n_labels;
        double all = 0;
        for (size_t label = 0; label < n_labels; label++)
            all += (double)c[label] + 1;
        for (size_t out = 0; out < n_outputs; out++) {
            size_t label = n_outputs == 1 ? 1 : out;
            double with = (double)c[label] + 1;
            ret[row * n_outputs + out] =
                (float)log(with / totals[label] / ((all - with) / (total - totals[label])));
        }
    }
    free(counts);
    return true;
}

/* ---- Learning ---- */

static void add_logits(double *logits, const float *weights, const float *scales,
                       const struct ngram_texts *t, size_t text, size_t n_outputs)
{
    for (size_t i = t->begin[text]; i < t->begin[text + 1]; i++)
        for (size_t out = 0; out < n_outputs; out++) {
            size_t at = t->rows[i] * n_outputs + out;
            logits[out] += (double)weights[at] * (scales ? (double)scales[at] : 1);
        }
}

struct learner {
    struct ngram_model *model;
    float *scales, *squares; /* [n_rows, n_outputs]; squares: AdaGrad's sums */
    const struct ngram_settings *settings;
};

/* AdaGrad (Duchi, Hazan and Singer 2011) on the rows of one text. */
static void learn_text(struct learner *l, const struct ngram_texts *t, size_t text, uint32_t label)
{
    double d[MAX_OUTPUTS];
    struct ngram_model *m = l->model;
    size_t n = m->n_outputs;
    for (size_t out = 0; out < n; out++)
        d[out] = (double)m->bias[out];
    add_logits(d, m->weights, l->scales, t, text, n);
    cross_entropy(d, n, label);
    for (size_t i = t->begin[text]; i < t->begin[text + 1]; i++)
        for (size_t out = 0; out < n; out++) {
            size_t at = t->rows[i] * n + out;
            float g = (float)d[out] * l->scales[at];
            l->squares[at] += g * g;
            m->weights[at] -= (float)l->settings->learning_rate * g / sqrtf(l->squares[at] + 1e-8f);
        }
    for (size_t out = 0; out < n; out++)
        m->bias[out] -= (float)(0.01 * l->settings->learning_rate * d[out]);
}

static int learn(struct learner *l, const struct ngram_texts *t, const struct labelled_text *items,
                 size_t n_train, struct elmo_error *err)
{
    uint32_t *order = calloc(n_train + 1, sizeof *order);
    struct rng rng = {l->settings->seed};
    if (!order)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_train; k++)
        order[k] = (uint32_t)k;
    for (size_t epoch = 0; epoch < l->settings->n_epochs; epoch++) {
        rng_shuffle(&rng, order, n_train, sizeof *order);
        for (size_t k = 0; k < n_train; k++)
            learn_text(l, t, order[k], items[order[k]].label);
    }
    free(order);
    return 0;
}

int ngram_model_init(struct ngram_model *ret_model, const struct ngram_texts *texts,
                     const struct labelled_text *items, size_t n_train, size_t n_outputs,
                     const struct ngram_settings *settings, struct elmo_error *err)
{
    size_t n = settings->n_rows * n_outputs;
    struct ngram_model m = {.weights = calloc(n, sizeof *m.weights),
                            .bias = calloc(n_outputs, sizeof *m.bias),
                            .n_rows = settings->n_rows,
                            .n_outputs = n_outputs};
    struct learner l = {.model = &m,
                        .scales = calloc(n, sizeof *l.scales),
                        .squares = calloc(n, sizeof *l.squares),
                        .settings = settings};
    int r = 0;
    if (!m.weights || !m.bias || !l.scales || !l.squares ||
        !log_count_ratios(l.scales, texts, items, n_train, m.n_rows, n_outputs))
        r = elmo_fail_nomem(err);
    if (!r)
        r = learn(&l, texts, items, n_train, err);
    for (size_t k = 0; k < n && !r; k++)
        m.weights[k] *= l.scales[k];
    free(l.scales);
    free(l.squares);
    if (r)
        ngram_model_done(&m);
    else
        *ret_model = m;
    return r;
}

void ngram_model_done(struct ngram_model *model)
{
    free(model->weights);
    free(model->bias);
    *model = (struct ngram_model){0};
}

void ngram_model_logits(double *logits, const struct ngram_model *model,
                        const struct ngram_texts *texts, size_t text)
{
    for (size_t out = 0; out < model->n_outputs; out++)
        logits[out] = (double)model->bias[out];
    add_logits(logits, model->weights, NULL, texts, text, model->n_outputs);
}

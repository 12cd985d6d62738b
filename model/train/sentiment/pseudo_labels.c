#include "pseudo_labels.h"

#include <math.h>

#include "error.h"

#define CHUNK 1000 /* texts whose n-grams are in memory at a time */

/* The likeliest label and its probability. */
static uint32_t best_label(const real *logits, size_t n_outputs, double *ret_probability)
{
    size_t best = 0;
    double sum = 0;
    if (n_outputs == 1) {
        double positive = 1 / (1 + exp(-(double)logits[0]));
        *ret_probability = fmax(positive, 1 - positive);
        return positive > 0.5;
    }
    for (size_t k = 1; k < n_outputs; k++)
        best = logits[k] > logits[best] ? k : best;
    for (size_t k = 0; k < n_outputs; k++)
        sum += exp((double)(logits[k] - logits[best]));
    *ret_probability = 1 / sum;
    return (uint32_t)best;
}

/* The sure ones of `from` go to `to`; returns their number. */
static size_t label_chunk(struct labelled_text *to, const struct labelled_text *from, size_t n,
                          const struct ngram_texts *texts, const struct pseudo_labeller *l)
{
    size_t n_sure = 0, n_outputs = l->ngrams->n_outputs;
    for (size_t k = 0; k < n; k++) {
        double z[LABELLED_MAX_LABELS], probability;
        real logits[LABELLED_MAX_LABELS];
        ngram_model_logits(z, l->ngrams, texts, k);
        for (size_t out = 0; out < n_outputs; out++)
            logits[out] = (real)z[out];
        calibration_apply(l->calibration, logits, NULL, 1, n_outputs);
        struct labelled_text item = from[k];
        item.label = best_label(logits, n_outputs, &probability);
        if (probability >= l->confidence)
            to[n_sure++] = item;
    }
    return n_sure;
}

int pseudo_label(struct labelled_text *items, size_t n, size_t *ret_n,
                 const struct pseudo_labeller *l, struct elmo_error *err)
{
    *ret_n = 0;
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t n_chunk = n - first < CHUNK ? n - first : CHUNK;
        struct ngram_texts texts = {0};
        int r = ngram_texts_init(&texts, l->model, items + first, n_chunk, 0, l->settings, err);
        if (r)
            return r;
        *ret_n += label_chunk(items + *ret_n, items + first, n_chunk, &texts, l);
        ngram_texts_done(&texts);
    }
    return 0;
}

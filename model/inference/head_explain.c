#include "head_explain.h"

#include <string.h>

#include "kernels/kernels.h"
#include "text/ngrams.h"

/* ---- Which logit ---- */

/* shares [output]: how much of each output the logit has that is explained. */
static void choose_logit(float *shares, const float *probabilities, size_t n)
{
    size_t best = 0;
    for (size_t k = 0; k < n; k++) {
        best = probabilities[k] > probabilities[best] ? k : best;
        shares[k] = -1 / (float)n;
    }
    if (n <= 2) {
        shares[0] = -1;
        shares[n - 1] = 1; /* with one output it is the second label's log-odds itself */
    } else {
        shares[best] += 1;
    }
}

static double weigh(const float *shares, const float *outputs, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += (double)shares[k] * (double)outputs[k];
    return sum;
}

/* ---- From the logit back to the features ---- */

/* The part of the way from b to z = b + a on which the unit is open. */
static float open_part(float b, float z)
{
    if ((b > 0) == (z > 0))
        return b > 0;
    return z > 0 ? z / (z - b) : b / (b - z);
}

/* per_feature [input]: what a feature adds for each 1 that it has. */
static int feature_weights(float *per_feature, const struct head_weights *head,
                           const struct head_pass *pass, const float *shares, struct arena *arena)
{
    size_t H = head->shape.hidden_dim, n_out = head->shape.output_dim;
    float *units = ARENA_NEW(arena, float, H);
    if (!units)
        return ELMO_E_NOMEM;
    for (size_t j = 0; j < H; j++)
        units[j] = open_part(head->dense_1_bias[j], pass->units[j]) *
                   (float)weigh(shares, head->dense_2_kernel + j * n_out, n_out);
    kernel_linear(per_feature, head->dense_1_kernel, head->shape.input_dim, units, NULL, H, 1);
    return 0;
}

/* ---- From the features to the tokens ---- */

/* One thing that is pooled: x [T, dim]. */
struct pooled {
    const float *x;
    size_t T, dim;
};

static void add_mean(double *sums, const struct pooled *p, const float *per_feature)
{
    for (size_t t = 0; t < p->T; t++)
        sums[t] += weigh(per_feature, p->x + t * p->dim, p->dim) / (double)p->T;
}

/* parts [dim] is scratch: what each token gets that has the maximum, which may be several, as a
 * word that occurs twice has the same vector twice. */
static void add_max(double *sums, const struct pooled *p, const float *per_feature,
                    const float *greatest, double *parts)
{
    memset(parts, 0, p->dim * sizeof *parts);
    for (size_t t = 0; t < p->T; t++)
        for (size_t d = 0; d < p->dim; d++)
            parts[d] += p->x[t * p->dim + d] == greatest[d];
    for (size_t d = 0; d < p->dim && p->T; d++)
        parts[d] = (double)per_feature[d] * (double)greatest[d] / parts[d];
    for (size_t t = 0; t < p->T; t++)
        for (size_t d = 0; d < p->dim; d++)
            sums[t] += p->x[t * p->dim + d] == greatest[d] ? parts[d] : 0;
}

/* Element k of what the head pools: one mix, or layer 0, 1, .. L. */
static struct pooled pooled_at(size_t k, const struct elmo_model *m, const struct head_text *text,
                               const struct head_pass *pass)
{
    size_t P = m->options.proj_dim;
    if (!m->weights.head.shape.all_layers)
        return (struct pooled){pass->mixed, text->n_tokens, 2 * P};
    return (struct pooled){text->layers[k], text->n_tokens, k ? 2 * P : P};
}

/* In the order in which head_pool fills the features: all means, then all maxima. */
static int add_features(double *sums, const struct elmo_model *m, const struct head_text *text,
                        const struct head_pass *pass, const float *per_feature, struct arena *arena)
{
    static const enum elmo_pooling halves[] = {ELMO_POOL_MEAN, ELMO_POOL_MAX};
    size_t n = m->weights.head.shape.all_layers ? 1 + m->options.n_layers : 1, at = 0;
    double *parts = ARENA_NEW(arena, double, 2 * m->options.proj_dim);
    if (!parts)
        return ELMO_E_NOMEM;
    for (size_t half = 0; half < ARRAY_LEN(halves); half++) {
        if (m->head_pooling != ELMO_POOL_MEAN_MAX && m->head_pooling != halves[half])
            continue;
        for (size_t k = 0; k < n; k++) {
            const struct pooled p = pooled_at(k, m, text, pass);
            if (halves[half] == ELMO_POOL_MEAN)
                add_mean(sums, &p, per_feature + at);
            else
                add_max(sums, &p, per_feature + at, pass->pooled + at, parts);
            at += p.dim;
        }
    }
    return 0;
}

/* ---- n-grams ---- */

static size_t index_of(const uint32_t *rows, size_t n, uint32_t row)
{
    const uint32_t *found = bsearch(&row, rows, n, sizeof *rows, ngram_row_order);
    return (size_t)(found - rows);
}

static int add_ngrams(double *sums, const struct head_weights *head, const struct head_text *text,
                      const float *shares, struct arena *arena)
{
    uint32_t *list, *rows;
    size_t n, n_rows, n_out = head->shape.output_dim, T = text->n_tokens, at = 0;
    if (ngram_list(&list, &n, text->tokens, T, head->ngram_order, head->shape.n_ngram_rows, arena))
        return ELMO_E_NOMEM;
    rows = ARENA_NEW(arena, uint32_t, n);
    double *weights = ARENA_NEW(arena, double, n); /* of a row, and how often it is there */
    size_t *counts = ARENA_NEW(arena, size_t, n);
    if (!rows || !weights || !counts)
        return ELMO_E_NOMEM;
    memcpy(rows, list, n * sizeof *rows);
    n_rows = ngram_rows_unite(rows, n);
    memset(counts, 0, n_rows * sizeof *counts);
    for (size_t k = 0; k < n; k++)
        counts[index_of(rows, n_rows, list[k])]++;
    for (size_t k = 0; k < n_rows; k++)
        weights[k] = weigh(shares, head->ngrams + rows[k] * n_out, n_out) / (double)counts[k];
    for (size_t first = 0; first < T; first++)
        for (size_t order = 1; order <= head->ngram_order && order <= T - first; order++) {
            double each = weights[index_of(rows, n_rows, list[at++])] / (double)order;
            for (size_t t = first; t < first + order; t++)
                sums[t] += each;
        }
    return 0;
}

/* ---- The whole ---- */

static bool is_linear(const struct head_weights *head)
{
    for (size_t k = 0; k < head->shape.hidden_dim * head->shape.output_dim; k++)
        if (head->dense_2_kernel[k] != 0)
            return false;
    return true;
}

const char *head_explained_by(const struct elmo_model *m)
{
    return is_linear(&m->weights.head) ? "linear" : "integrated_gradients";
}

/* The logit of the empty text, computed as that of any other. */
static int find_bias(float *ret_bias, const struct head_weights *head, const float *shares,
                     struct arena *arena)
{
    size_t n_out = head->shape.output_dim;
    float *logits = ARENA_NEW(arena, float, n_out);
    float *open = ARENA_NEW(arena, float, head->shape.hidden_dim);
    if (!logits || !open)
        return ELMO_E_NOMEM;
    head_logits_of_units(logits, head->dense_1_bias, open, head);
    *ret_bias = (float)weigh(shares, logits, n_out);
    return 0;
}

int head_explain(float *attributions, const struct elmo_model *m, const struct head_text *text,
                 const struct head_pass *pass, struct arena *arena)
{
    const struct head_weights *head = &m->weights.head;
    size_t T = text->n_tokens, n_out = head->shape.output_dim;
    float *shares = ARENA_NEW(arena, float, n_out);
    float *per_feature = ARENA_NEW(arena, float, head->shape.input_dim);
    double *sums = ARENA_NEW(arena, double, T);
    if (!shares || !per_feature || !sums)
        return ELMO_E_NOMEM;
    memset(sums, 0, T * sizeof *sums);
    choose_logit(shares, pass->probabilities, n_out);
    if (feature_weights(per_feature, head, pass, shares, arena) ||
        add_features(sums, m, text, pass, per_feature, arena) ||
        (head->ngrams && add_ngrams(sums, head, text, shares, arena)) ||
        find_bias(&attributions[T], head, shares, arena))
        return ELMO_E_NOMEM;
    for (size_t t = 0; t < T; t++)
        attributions[t] = (float)sums[t];
    attributions[T + 1] = (float)weigh(shares, pass->logits, n_out);
    return 0;
}

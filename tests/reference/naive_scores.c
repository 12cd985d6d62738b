/* What the language model and the head say beside vectors and probabilities: scores of words by the
 * whole softmax, and attributions by brute force. */
#include <math.h>
#include <string.h>

#include "file/model_file.h"
#include "naive.h"

/* ---- Scores ---- */

static double log_softmax_at(const double *h, size_t P, const float *w, const float *b, size_t V,
                             size_t word)
{
    double of_word = 0, sum = 0, greatest = -INFINITY;
    AUTO(mem_free) double *logits = must_calloc(V, sizeof *logits);
    for (size_t v = 0; v < V; v++) {
        logits[v] = (double)b[v];
        for (size_t p = 0; p < P; p++)
            logits[v] += h[p] * (double)w[v * P + p];
        greatest = fmax(greatest, logits[v]);
    }
    for (size_t v = 0; v < V; v++)
        sum += exp(logits[v] - greatest);
    of_word = logits[word];
    return of_word - greatest - log(sum);
}

double *naive_log_probs(const struct naive_model *model, const struct naive_sentence *sentence,
                        unsigned direction, const size_t *words, const float *w, const float *b,
                        size_t V)
{
    size_t n = sentence->n_tokens, P = model->options->proj_dim;
    double *log_probs = must_calloc(n + 1, sizeof *log_probs);
    for (size_t t = 0; t <= n;
         t++) { /* forward, row t predicts token t; backward from the end on */
        size_t row = t < n && direction ? n - 1 - t : t;
        log_probs[t] =
            log_softmax_at(sentence->predictors[direction] + row * P, P, w, b, V, words[t]);
    }
    return log_probs;
}

/* ---- Attributions ---- */

struct black_box {
    const struct naive_model *model;
    const struct naive_head *head;
    size_t explained; /* label, where there are more than two outputs */
};

/* Log-odds of the second label, or how far a label's logit is above the mean. */
static double logit_of(const struct black_box *box, const struct naive_sentence *sentence,
                       const struct elmo_token *tokens)
{
    size_t n;
    AUTO(mem_free) double *z = naive_logits(box->model, sentence, tokens, box->head, &n);
    double mean = 0;
    for (size_t k = 0; k < n; k++)
        mean += z[k] / (double)n;
    return n == 1 ? z[0] : n == 2 ? z[1] - z[0] : z[box->explained] - mean;
}

static size_t best_output(const struct naive_model *model, const struct naive_sentence *sentence,
                          const struct elmo_token *tokens, const struct naive_head *head)
{
    size_t n, best = 0;
    AUTO(mem_free) double *z = naive_logits(model, sentence, tokens, head, &n);
    for (size_t k = 1; k < n; k++)
        best = z[k] > z[best] ? k : best;
    return best;
}

static size_t width(const struct naive_model *model, size_t layer)
{
    return (layer ? 2 : 1) * model->options->proj_dim;
}

/* to = factor * from, but token t times other_factor. */
static void scale(struct naive_sentence *to, const struct naive_sentence *from,
                  const struct naive_model *model, double factor, size_t t, double other_factor)
{
    for (size_t layer = 0; layer <= model->options->n_layers; layer++)
        for (size_t n = 0; n < from->n_tokens; n++)
            for (size_t d = 0; d < width(model, layer); d++) {
                size_t at = n * width(model, layer) + d;
                to->layers[layer][at] = (n == t ? other_factor : factor) * from->layers[layer][at];
            }
}

/* Every row of the table that the text has goes in equal parts to where it is, and to the tokens
 * there. */
static void add_ngram_parts(double *attributions, const struct black_box *box,
                            const struct elmo_token *tokens, size_t n_tokens)
{
    const struct named_tensor *table = tensor_set_find(box->model->weights, HEAD_NGRAMS);
    size_t n_rows = table->dims[0], n_out = table->dims[1];
    AUTO(mem_free) size_t *count = must_calloc(n_rows, sizeof *count);
    for (int pass = 0; pass < 2; pass++)
        for (size_t first = 0; first < n_tokens; first++)
            for (size_t order = 1; order <= box->head->ngram_order && first + order <= n_tokens;
                 order++) {
                size_t row = naive_ngram_row(tokens + first, order, n_rows);
                const float *w = table->values + row * n_out;
                double mean = 0;
                for (size_t k = 0; k < n_out; k++)
                    mean += (double)w[k] / (double)n_out;
                double weight = n_out == 1   ? (double)w[0]
                                : n_out == 2 ? (double)w[1] - (double)w[0]
                                             : (double)w[box->explained] - mean;
                count[row] += pass == 0;
                for (size_t t = first; t < first + order && pass == 1; t++)
                    attributions[t] += weight / (double)count[row] / (double)order;
            }
}

/* Whether a column of x [n, dim] has its maximum in more than two rows, within rounding. */
static bool many_have_a_maximum(const double *x, size_t n, size_t dim)
{
    for (size_t d = 0; d < dim; d++) {
        double greatest = -INFINITY;
        size_t n_equal = 0;
        for (size_t t = 0; t < n; t++)
            greatest = fmax(greatest, x[t * dim + d]);
        for (size_t t = 0; t < n; t++)
            n_equal += x[t * dim + d] > greatest - 1e-5;
        if (n_equal > 2 && greatest != 0)
            return true;
    }
    return false;
}

static bool is_beyond_differences(const struct naive_model *model,
                                  const struct naive_sentence *sentence,
                                  const struct naive_head *head)
{
    if (head->pooling == ELMO_POOL_MEAN)
        return false;
    if (!head->all_layers) {
        const struct elmo_mix mix = {.weights = tensor_set_values(model->weights, HEAD_MIX_WEIGHTS),
                                     .gamma = *tensor_set_values(model->weights, HEAD_MIX_GAMMA)};
        AUTO(mem_free) double *mixed = naive_mix(model, sentence, &mix);
        return many_have_a_maximum(mixed, sentence->n_tokens, width(model, 1));
    }
    for (size_t layer = 0; layer <= model->options->n_layers; layer++)
        if (many_have_a_maximum(sentence->layers[layer], sentence->n_tokens, width(model, layer)))
            return true;
    return false;
}

double *naive_attributions(const struct naive_model *model, const struct naive_sentence *sentence,
                           const struct elmo_token *tokens, const struct naive_head *head,
                           size_t n_steps)
{
    const double epsilon = 1e-7;
    size_t T = sentence->n_tokens;
    if (is_beyond_differences(model, sentence, head))
        return NULL;
    const struct black_box box = {model, head, best_output(model, sentence, tokens, head)};
    double *attributions = must_calloc(T + 2, sizeof *attributions);
    struct naive_sentence at = {.n_tokens = T};
    for (size_t layer = 0; layer <= model->options->n_layers; layer++)
        at.layers[layer] = must_calloc(T * width(model, layer), sizeof(double));
    for (size_t step = 0; step < n_steps; step++)
        for (size_t t = 0; t < T; t++) {
            double alpha = ((double)step + 0.5) / (double)n_steps;
            scale(&at, sentence, model, alpha, t, alpha + epsilon);
            double above = logit_of(&box, &at, NULL);
            scale(&at, sentence, model, alpha, t, alpha - epsilon);
            attributions[t] +=
                (above - logit_of(&box, &at, NULL)) / (2 * epsilon * (double)n_steps);
        }
    if (head->ngram_order)
        add_ngram_parts(attributions, &box, tokens, T);
    scale(&at, sentence, model, 0, 0, 0);
    attributions[T] = logit_of(&box, &at, NULL);
    attributions[T + 1] = logit_of(&box, sentence, tokens);
    naive_sentence_done(&at);
    return attributions;
}

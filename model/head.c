#include "head.h"

#include <math.h>

#include "kernels/kernels.h"
#include "mix.h"
#include "ngrams.h"

/* All layers side by side: first the means of all of them, then the maxima. */
static void pool_layers(float *pooled, const struct elmo_model *model, const struct head_text *text)
{
    static const enum elmo_pooling halves[] = {ELMO_POOL_MEAN, ELMO_POOL_MAX};
    size_t P = model->options.proj_dim;
    for (size_t half = 0; half < ARRAY_LEN(halves); half++) {
        if (model->head_pooling != ELMO_POOL_MEAN_MAX && model->head_pooling != halves[half])
            continue;
        for (size_t layer = 0; layer <= model->options.n_layers; layer++) {
            size_t dim = layer ? 2 * P : P;
            pool_tokens(pooled, text->layers[layer], text->n_tokens, dim, halves[half]);
            pooled += dim;
        }
    }
}

void head_pool(float *pooled, const struct elmo_model *model, const struct head_text *text,
               float *mixed, float *shares)
{
    const struct head_weights *head = &model->weights.head;
    const struct elmo_mix mix = {.weights = head->mix_weights, .gamma = head->mix_gamma};
    size_t P = model->options.proj_dim;
    if (head->shape.all_layers) {
        pool_layers(pooled, model, text);
        return;
    }
    mix_layers(mixed, text->layers, model->options.n_layers, text->n_tokens, P, &mix, shares);
    pool_tokens(pooled, mixed, text->n_tokens, 2 * P, model->head_pooling);
}

static int add_ngrams(float *logits, const struct head_weights *head, const struct head_text *text,
                      struct arena *arena)
{
    uint32_t *rows;
    size_t n_rows, n_out = head->shape.output_dim;
    if (!head->ngrams)
        return 0;
    if (ngram_rows(&rows, &n_rows, text->tokens, text->n_tokens, head->ngram_order,
                   head->shape.n_ngram_rows, arena))
        return ELMO_E_NOMEM;
    for (size_t out = 0; out < n_out; out++) {
        double sum = 0;
        for (size_t k = 0; k < n_rows; k++)
            sum += (double)head->ngrams[rows[k] * n_out + out];
        logits[out] += (float)sum;
    }
    return 0;
}

static void logits_to_probabilities(float *probabilities, float *logits, size_t n)
{
    if (n == 1) { /* sigmoid: the probability of the second label */
        probabilities[0] = 1 / (1 + expf(logits[0]));
        probabilities[1] = 1 / (1 + expf(-logits[0]));
        return;
    }
    softmax(logits, n);
    for (size_t k = 0; k < n; k++)
        probabilities[k] = logits[k];
}

int head_run(float *probabilities, const struct elmo_model *model, const struct head_text *text,
             float *mixed, float *shares, struct arena *arena)
{
    const struct head_weights *head = &model->weights.head;
    const struct head_shape *shape = &head->shape;
    float *pooled = ARENA_NEW(arena, float, shape->input_dim);
    float *hidden = ARENA_NEW(arena, float, shape->hidden_dim);
    float *logits = ARENA_NEW(arena, float, shape->output_dim);
    if (!pooled || !hidden || !logits)
        return ELMO_E_NOMEM;
    head_pool(pooled, model, text, mixed, shares);
    kernel_linear(hidden, pooled, 1, head->dense_1_kernel, head->dense_1_bias, shape->input_dim,
                  shape->hidden_dim);
    kernel_relu(hidden, shape->hidden_dim);
    kernel_linear(logits, hidden, 1, head->dense_2_kernel, head->dense_2_bias, shape->hidden_dim,
                  shape->output_dim);
    if (add_ngrams(logits, head, text, arena))
        return ELMO_E_NOMEM;
    logits_to_probabilities(probabilities, logits, shape->output_dim);
    return 0;
}

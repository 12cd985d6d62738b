#include "head.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "mix.h"
#include "text/ngrams.h"

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

static void logits_to_probabilities(float *probabilities, const float *logits, size_t n)
{
    if (n == 1) { /* sigmoid: the probability of the second label */
        probabilities[0] = 1 / (1 + expf(logits[0]));
        probabilities[1] = 1 / (1 + expf(-logits[0]));
        return;
    }
    memcpy(probabilities, logits, n * sizeof *logits);
    softmax(probabilities, n);
}

void head_logits_of_units(float *logits, const float *units, float *open,
                          const struct head_weights *head)
{
    size_t H = head->shape.hidden_dim;
    memcpy(open, units, H * sizeof *open);
    kernel_relu(open, H);
    kernel_linear(logits, open, 1, head->dense_2_kernel, head->dense_2_bias, H,
                  head->shape.output_dim);
}

int head_run(struct head_pass *ret_pass, const struct elmo_model *model,
             const struct head_text *text, float *mixed, float *shares, struct arena *arena)
{
    const struct head_weights *head = &model->weights.head;
    size_t D = head->shape.input_dim, H = head->shape.hidden_dim, n_out = head->shape.output_dim;
    float *pooled = ARENA_NEW(arena, float, D);
    float *units = ARENA_NEW(arena, float, 2 * H);
    float *logits = ARENA_NEW(arena, float, n_out);
    float *probabilities = ARENA_NEW(arena, float, model->info.n_labels);
    if (!pooled || !units || !logits || !probabilities)
        return ELMO_E_NOMEM;
    head_pool(pooled, model, text, mixed, shares);
    kernel_linear(units, pooled, 1, head->dense_1_kernel, head->dense_1_bias, D, H);
    head_logits_of_units(logits, units, units + H, head);
    if (add_ngrams(logits, head, text, arena))
        return ELMO_E_NOMEM;
    logits_to_probabilities(probabilities, logits, n_out);
    *ret_pass = (struct head_pass){mixed, pooled, units, logits, probabilities};
    return 0;
}

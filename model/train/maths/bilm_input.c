#include "bilm_input.h"

#include <string.h>

void bilm_gather_inputs(real *x, const real *vectors, const struct bilm_batch *batch,
                        unsigned direction, size_t P)
{
    size_t T = batch->n_steps, B = batch->n_sentences;
    for (size_t t = 0; t < T; t++)
        for (size_t b = 0; b < B; b++)
            memcpy(x + (t * B + b) * P, vectors + bilm_word_at(batch, direction, b, t) * P,
                   P * sizeof(real));
}

void bilm_scatter_gradients(real *dvectors, const real *dx, const struct bilm_batch *batch,
                            unsigned direction, size_t P)
{
    size_t T = batch->n_steps, B = batch->n_sentences;
    for (size_t t = 0; t < T; t++)
        for (size_t b = 0; b < B; b++) {
            real *to = dvectors + bilm_word_at(batch, direction, b, t) * P;
            for (size_t p = 0; p < P; p++)
                to[p] += dx[(t * B + b) * P + p];
        }
}

void bilm_gather_targets(uint32_t *targets, const struct bilm_batch *batch, unsigned direction)
{
    size_t T = batch->n_steps, B = batch->n_sentences;
    for (size_t t = 0; t < T; t++)
        for (size_t b = 0; b < B; b++)
            targets[t * B + b] = batch->vocab_ids[bilm_word_at(batch, direction, b, t + 1)];
}

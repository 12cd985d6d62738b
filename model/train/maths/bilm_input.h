#pragma once
/* A batch as the LSTMs of one direction see it. */
#include "bilm_loss.h"

/* The word at time t of sentence b: the backward direction reads from </S> on. */
static inline uint32_t bilm_word_at(const struct bilm_batch *batch, unsigned direction, size_t b,
                                    size_t t)
{
    size_t T = batch->n_steps;
    return batch->positions[b * (T + 1) + (direction ? T - t : t)];
}

/* x [T * B, P], time-major, from the words' vectors [n_words, P]; and the other way: dvectors +=
 * dx.
 */
void bilm_gather_inputs(real *x, const real *vectors, const struct bilm_batch *batch,
                        unsigned direction, size_t P);
void bilm_scatter_gradients(real *dvectors, const real *dx, const struct bilm_batch *batch,
                            unsigned direction, size_t P);
/* targets [T * B] of the same rows: what the softmax calls the word behind each. */
void bilm_gather_targets(uint32_t *targets, const struct bilm_batch *batch, unsigned direction);

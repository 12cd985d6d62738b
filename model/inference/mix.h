#pragma once
/* From layers to one vector per token (scalar mix; Peters et al. 2018, eq. 1) and from tokens to
 * one per sentence (pooling). Pure. */
#include "elmo.h"

/* out [T, 2P] = gamma * sum_k s_k * layer_k. layers [1 + L]: [0] is [T, P] and stands for [x ; x],
 * the others are [T, 2P]. mix NULL: the plain mean. `shares` [1 + L] is scratch. */
void mix_layers(float *out, const float *const *layers, size_t n_layers, size_t T, size_t P,
                const struct elmo_mix *mix, float *shares);

/* out [D] (mean, max) or [2D] (mean then max) of x [T, D]; zeros where T = 0. */
void pool_tokens(float *out, const float *x, size_t T, size_t D, enum elmo_pooling pooling);

/* x to Euclidean length 1; the zero vector stays. */
void l2_normalize(float *x, size_t n);

/* In place; exp of the differences to the greatest, so that nothing overflows. */
void softmax(float *x, size_t n);

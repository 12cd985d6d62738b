#pragma once
/* Word vectors of a file such as GloVe's (Pennington et al. 2014) as an auxiliary target of the
 * token encoder: a linear map of the encoder's vector of a word predicts the file's. A character
 * CNN learns at first how words are spelt, and only after many tokens what they mean; this shortens
 * it.
 *
 *     loss = weight * sum over known words |v_w A - g_w|^2 / sum over known words |g_w|^2
 *
 * v_w [P] is the encoder's vector, g_w [D] the file's, A [P, D] is learnt. At weight 1 the loss is
 * the share of the targets that is not explained: 1 where A is 0. */
#include "real.h"
#include "util/arena.h"

/* Adds gradients to dvectors [n_words, P] and dprojection [P, D], and sets *ret_loss; vectors
 * [n_words, P], projection [P, D], targets [n_words] of [D], NULL: the word is not known. Scratch
 * is taken from the arena. One thread. False: out of memory, nothing is changed. */
bool word_vector_loss(double *ret_loss, real *dvectors, real *dprojection, const real *vectors,
                      const real *projection, const float *const *targets, size_t n_words, size_t P,
                      size_t D, real weight, struct arena *arena);

#pragma once
/* Adversarial training of text classifiers: each text's token vectors are shifted, all of them
 * together by a share of one vector's length, to where the loss rises fastest, and the classifier
 * learns the label there too (Miyato, Dai and Goodfellow 2017, "Adversarial training methods for
 * semi-supervised text classification", eq. 2 to 5, arXiv:1605.07725). As the paper normalises its
 * embeddings, lengths are measured in standard deviations of each dimension over the batch's
 * tokens: a vector's is then about sqrt(P). */
#include "bilm_loss.h"
#include "util/arena.h"

/* shift [T * B, P] in the forward direction's rows (bilm_input.h), from the gradients dx of the
 * loss by the inputs of each direction's LSTMs, and the forward direction's inputs x, all [T * B,
 * P]. <S>, </S> and a text whose gradient is 0 stay where they are. False: out of memory. */
ELMO_MUST_USE bool adversary_find(real *shift, const real *const dx[2], const real *x,
                                  const struct bilm_batch *texts, size_t P, double share,
                                  struct arena *arena);

/* x [T * B, P] += shift, in that direction's rows. */
void adversary_add(real *x, const real *shift, const struct bilm_batch *texts, unsigned direction,
                   size_t P);

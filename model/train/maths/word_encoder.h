#pragma once
/* The token encoder over the distinct words of a batch, shared out among a team, forward and
 * backward: what every objective on top of the biLM (bilm_loss, tune_loss) begins and ends with.
 * One caller at a time. */
#include "net.h"
#include "util/team.h"

struct word_encoder;

ELMO_MUST_USE int word_encoder_new(struct word_encoder **ret_encoder, const struct net *net,
                                   struct team *team, struct elmo_error *err);
void word_encoder_free(struct word_encoder *encoder); /* NULL is fine */

/* vectors [n_words, P] of the words. They and w must stay until word_encoder_backward, if it is
 * called. false: out of memory. */
bool word_encoder_forward(struct word_encoder *encoder, real *vectors,
                          const struct elmo_token *const *words, size_t n_words,
                          const struct net_tensors *w);
/* Adds the encoder's gradients to the array that g points into. dvectors_0 [n_words, P] is
 * overwritten with its sum with dvectors_1. false: out of memory. */
bool word_encoder_backward(struct word_encoder *encoder, const struct net_tensors *g,
                           real *dvectors_0, const real *dvectors_1);

#pragma once
/* The classifier's loss through the whole model: token encoder -> biLSTMs -> pooled layers ->
 * head_net, and back to every weight. Pooling over a text's tokens (<S> and </S> left out) is that
 * of head_net's features: means, and maxima whose gradient goes to the token that won. All texts of
 * a batch have the same number of tokens and start from the zero state, as in serving. */
#include "bilm_loss.h"
#include "head_net.h"

struct tune_loss; /* scratch; one caller at a time */

ELMO_MUST_USE int tune_loss_new(struct tune_loss **ret_loss, const struct net *net,
                                struct team *team, struct elmo_error *err);
void tune_loss_free(struct tune_loss *loss); /* NULL is fine */

struct tune_batch {
    const struct bilm_batch *texts; /* vocab_ids are not read */
    const uint32_t *labels;         /* [n_sentences] */
};

struct tune_settings {
    double dropout;      /* of the LSTMs: inputs of layers and the top output */
    double head_dropout; /* of the head's hidden layer */
    uint64_t step_seed;  /* dropout depends on nothing else */
};

/* Mean loss, and logits [n_sentences, output_dim]. gradients [net->n_dense] and head_gradients
 * [head_net_size()] are overwritten; both NULL: no backward pass. */
ELMO_MUST_USE int tune_loss_run(struct tune_loss *loss, double *ret_loss, real *logits,
                                real *gradients, real *head_gradients, real *values,
                                const struct head_net *head, real *head_values,
                                const struct tune_batch *batch,
                                const struct tune_settings *settings, struct elmo_error *err);

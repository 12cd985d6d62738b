#pragma once
/* The classifier's loss through the biLM: vectors of the words -> biLSTMs -> pooled layers ->
 * head_net, and back to every weight and to the vectors (tuned_words.h). Pooling over a text's
 * tokens (<S> and </S> left out) is that of head_net's features: means, and maxima whose gradient
 * goes to the token that won. All texts of a batch have the same number of tokens and start from
 * the zero state, as in serving. */
#include "bilm_loss.h"
#include "head_net.h"

struct tune_loss; /* scratch; one caller at a time */

/* Borrows the net and the team. */
ELMO_MUST_USE int tune_loss_new(struct tune_loss **ret_loss, const struct net *net,
                                struct team *team, struct elmo_error *err);
void tune_loss_free(struct tune_loss *loss); /* NULL is fine */

struct tune_batch {
    const struct bilm_batch *texts; /* words and vocab_ids are not read */
    const real *vectors;            /* [n_words, P] */
    const uint32_t *labels;         /* [n_sentences] */
};

struct tune_gradients { /* all are overwritten */
    real *bilm;         /* [net->n_dense]; those of the token encoder are 0 */
    real *head;         /* [head_net_size()] */
    real *vectors;      /* [n_words, P] */
};

struct tune_settings {
    double dropout;      /* of the LSTMs: inputs of layers and the top output */
    double head_dropout; /* of the head's hidden layer */
    double adversary;    /* share; > 0: the gradients are those of this loss and the loss at the
                          * adversary's inputs (adversary.h), added up */
    uint64_t step_seed;  /* dropout depends on nothing else */
};

/* Mean loss, and logits [n_sentences, output_dim]. gradients NULL: no backward pass. */
ELMO_MUST_USE int tune_loss_run(struct tune_loss *loss, double *ret_loss, real *logits,
                                const struct tune_gradients *gradients, real *values,
                                const struct head_net *head, real *head_values,
                                const struct tune_batch *batch,
                                const struct tune_settings *settings, struct elmo_error *err);

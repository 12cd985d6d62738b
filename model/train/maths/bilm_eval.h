#pragma once
/* Perplexity with the full softmax, never the sampled one: what is reported. Here the trainer's own
 * passes run the biLM, in float32; bilm_served.h has elmod's. */
#include "bilm_loss.h"

struct bilm_score {
    double nats[2];       /* per direction: sum of -log p(target) */
    size_t n_predictions; /* per direction */
};

struct bilm_eval; /* scratch; one caller at a time */

ELMO_MUST_USE int bilm_eval_new(struct bilm_eval **ret_eval, const struct net *net,
                                struct team *team, struct elmo_error *err);
void bilm_eval_free(struct bilm_eval *eval); /* NULL is fine */

/* Adds a batch's predictions to *score. */
ELMO_MUST_USE int bilm_eval_add(struct bilm_eval *eval, struct bilm_score *score, real *values,
                                const struct bilm_batch *batch, struct elmo_error *err);

#define BILM_SOFTMAX_ROWS 64u /* logits that are there at once */

/* Sum of -log p(target) of n predictions from x [n, P], the top outputs of one direction; logits is
 * scratch [BILM_SOFTMAX_ROWS, V]. Any thread. */
double bilm_full_softmax(const real *x, const uint32_t *targets, size_t n, real *logits,
                         const struct net *net, const struct net_tensors *weights);

/* exp of the mean: of one direction, or of both together (joint). */
double bilm_perplexity(const struct bilm_score *score, unsigned direction);
double bilm_joint_perplexity(const struct bilm_score *score);

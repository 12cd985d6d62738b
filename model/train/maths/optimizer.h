#pragma once
/* Adam (Kingma and Ba 2015, arXiv:1412.6980) over the flat array of a net, with the gradient
 * clipped to a global norm. The softmax is sparse: only the rows that a batch touched are updated.
 * The same team size gives the same bits.
 *
 * Full moments are two numbers beside each weight; a row of the softmax has the moments that it had
 * when it was last touched. Compact moments take a quarter of that memory or less: both are
 * bfloat16 for the dense tensors, and a row of the softmax (with its bias) has one second moment,
 * the mean of its elements' squares, and no first moment (as Adafactor keeps them for rows: Shazeer
 * and Stern 2018, arXiv:1804.04235). The bias correction of a row counts the steps that touched it.
 */
#include <stdint.h>

#include "bilm_loss.h"
#include "loops.h"
#include "net.h"
#include "util/team.h"

enum moments { MOMENTS_FULL, MOMENTS_COMPACT };

struct optimizer { /* arrays are owned */
    const struct net *net;
    struct team *team;
    enum moments moments;
    uint64_t n_steps;
    /* Full: */
    real *first, *second; /* [net_size()] */
    /* Compact: */
    moment *compact_first, *compact_second; /* [net->n_dense] */
    real *row_second;                       /* [n_vocab] */
    real *row_steps;                        /* [n_vocab] steps that touched the row, at most 1000 */
};

struct optimizer_settings {
    double learning_rate;
    double max_norm; /* of the whole gradient */
};

ELMO_MUST_USE int optimizer_init(struct optimizer *ret_optimizer, const struct net *net,
                                 struct team *team, enum moments moments, struct elmo_error *err);
void optimizer_done(struct optimizer *optimizer);

/* One step on values [net_size()] with the gradients of bilm_loss_run. Returns the gradient's norm
 * before clipping; if it is not finite nothing is changed. */
double optimizer_step(struct optimizer *optimizer, real *values, const real *dense_gradients,
                      const struct bilm_result *result, const struct optimizer_settings *settings);

#pragma once
/* Adam (Kingma and Ba 2015, arXiv:1412.6980) over the flat array of a net, with the gradient
 * clipped to a global norm. The softmax is sparse: only the rows that a batch touched are updated.
 * The same team size gives the same bits.
 *
 * Two moments are kept beside each weight; a row of the softmax has those that it had when it was
 * last touched. Full moments are float32, compact ones bfloat16, rounded at random so that small
 * steps are not lost.
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
    moment *compact_first, *compact_second; /* [net_size()] */
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

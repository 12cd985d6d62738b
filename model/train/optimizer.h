#pragma once
/* Adam (Kingma and Ba 2015, arXiv:1412.6980) over the flat array of a net, with the gradient
 * clipped to a global norm. The softmax is sparse: only the rows that a batch touched are updated,
 * each with the moments it had when it was last touched. The same team size gives the same bits. */
#include <stdint.h>

#include "bilm_loss.h"
#include "net.h"
#include "team.h"

struct optimizer {
    const struct net *net;
    struct team *team;
    real *first, *second; /* moments [net_size()], owned */
    uint64_t n_steps;
};

struct optimizer_settings {
    double learning_rate;
    double max_norm; /* of the whole gradient */
};

ELMO_MUST_USE int optimizer_init(struct optimizer *ret_optimizer, const struct net *net,
                                 struct team *team, struct elmo_error *err);
void optimizer_done(struct optimizer *optimizer);

/* One step on values [net_size()] with the gradients of bilm_loss_run. Returns the gradient's norm
 * before clipping; if it is not finite nothing is changed. */
double optimizer_step(struct optimizer *optimizer, real *values, const real *dense_gradients,
                      const struct bilm_result *result, const struct optimizer_settings *settings);

#pragma once
/* An average of the weights (Polyak and Juditsky 1992; for language models: Merity et al. 2018,
 * arXiv:1708.02182): what is measured and exported, while training itself goes on from the last
 * weights. At a constant learning rate it has most of what a decay would give, at any time of a
 * run.
 *
 * Of the weights w_1, w_2, .. that it has seen it is a_1 = w_1, a_m = a_(m-1) + s_m (w_m - a_(m-1))
 * with s_m = max(1 - B, (POWER + 1) / (POWER + m)). So what the run began with is not in it. At
 * first, w_j counts with nearly the POWER-th power of j, which is about the last POWER-th of the
 * run (polynomial decay: Shamir and Zhang 2013, arXiv:1212.1824): the plain mean of a short run
 * would be far behind its weights. Then it is exponential. One thread at a time. */
#include <stdint.h>

#include "elmo.h"
#include "real.h"
#include "util/team.h"

#define WEIGHT_AVERAGE_POWER 16
/* It takes the weights of every so many steps, from the first on, with B = decay^EVERY: reading all
 * of them after every step would take a fifth of the training's time, and neighbouring weights are
 * nearly the same. */
#define WEIGHT_AVERAGE_EVERY 16

struct weight_average {
    size_t n;
    double decay;     /* per step: 0 to 1, both excluded */
    uint64_t n_steps; /* that it was told of */
    real *values;     /* [n], owned; those it was begun with until the first step */
};

ELMO_MUST_USE int weight_average_init(struct weight_average *ret_average, size_t n, double decay,
                                      struct elmo_error *err);
void weight_average_done(struct weight_average *average); /* {0} is fine */

/* Copies `weights` [n], so that there is something to measure before the first step. */
void weight_average_begin(struct weight_average *average, const real *weights);
/* After a step that led to `weights` [n]: all of them, also those that the step left alone. The
 * same bits for a team of any size. */
void weight_average_step(struct weight_average *average, const real *weights, struct team *team);

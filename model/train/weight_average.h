#pragma once
/* An exponential average of the weights (Polyak and Juditsky 1992; as it is used for language
 * models, Merity et al. 2018, arXiv:1708.02182): what is measured and exported, while training
 * itself goes on from the last weights. It has nearly what a decay of the learning rate gives, at
 * any time of a run.
 *
 * Of the weights w_1, w_2, .. that it has seen it is
 *     sum_j B^(m - j) w_j / sum_j B^(m - j),
 * exactly: it starts as their mean and forgets slowly, and the weights that the run began with are
 * not in it. One thread at a time. */
#include <stdint.h>

#include "elmo.h"
#include "real.h"
#include "team.h"

/* It takes the weights of every so many steps, from the first on, with B = decay^EVERY. Reading
 * both arrays after every step would cost a tenth of the training, and neighbouring weights are
 * nearly the same. */
#define WEIGHT_AVERAGE_EVERY 8

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

#pragma once
/* Adam (Kingma and Ba 2015, arXiv:1412.6980) over one flat array on one thread: for what is small
 * enough (heads). The biLM's optimiser is optimizer.h. */
#include <stdint.h>

#include "defs.h"
#include "elmo.h"
#include "loops.h"
#include "real.h"

#define ADAM_EPSILON 1e-8

struct adam {
    real *first, *second; /* moments [n], owned */
    size_t n;
    uint64_t n_steps;
};

/* What loops.h's adam does in step n_steps (from 1): the corrections of both moments are folded
 * into rate and epsilon. */
struct adam_rates adam_rates_at(uint64_t n_steps, double learning_rate, double gradient_scale);

ELMO_MUST_USE int adam_init(struct adam *ret_adam, size_t n, struct elmo_error *err);
void adam_done(struct adam *adam); /* {0} is fine */

/* values [n] -= rate * the corrected step of gradients [n], and decay * rate * values [n_decayed],
 * the first ones (decoupled weight decay: Loshchilov and Hutter 2019, arXiv:1711.05101). */
void adam_step(struct adam *adam, real *values, const real *gradients, double rate, double decay,
               size_t n_decayed);

#pragma once
/* Two classifiers' logits weighed against each other, on texts that neither has learnt:
 *     logits = first * a + second * b + c        a, b numbers, c [n_outputs]
 * by least cross-entropy, which also calibrates the probabilities (Platt 1999; Guo et al. 2017,
 * "On calibration of modern neural networks", arXiv:1706.04599). Deterministic. */
#include "elmo.h"
#include "train/data/labelled.h"
#include "train/maths/real.h"

struct calibration {
    double a, b;
    double *c; /* [n_outputs], owned */
};

/* first, second [n, n_outputs]; second NULL: b is 0. Where the texts say
 * little they stay near, and with n < 20 texts at, a = b = 1/2 (a = 1 for one classifier), c = 0.
 */
ELMO_MUST_USE int calibration_init(struct calibration *ret_calibration, const real *first,
                                   const real *second, const struct labelled_text *items, size_t n,
                                   size_t n_outputs, struct elmo_error *err);
void calibration_done(struct calibration *calibration); /* {0} is fine */

/* In place: first becomes the weighed logits. */
void calibration_apply(const struct calibration *calibration, real *first, const real *second,
                       size_t n, size_t n_outputs);

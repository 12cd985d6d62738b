#pragma once
/* The trainer's loops over single numbers, compiled once per instruction set (kernels/isa.h); the
 * double build has one. None allocates, fails or keeps state; any thread. */
#include <stdint.h>

#include "real.h"

struct adam_rates {
    real scale;          /* of the gradient */
    real rate;           /* learning rate with the bias corrections of both moments */
    real beta_1, beta_2; /* what a step leaves of the first and of the second moment */
    real epsilon;
};

/* A moment of Adam as the compact optimizer keeps it: bfloat16, rounded at random so that small
 * steps are not lost; in the double build a double, so that tests can hold it to a reference. */
#ifdef TRAIN_DOUBLE
typedef real moment;
#else
typedef uint16_t moment;
#endif

struct loops {
    /* gates [4C] in the order i, j, f, o, from pre-activations without their bias [4C] to the
     * activations sigmoid(i), tanh(j), sigmoid(f + 1), sigmoid(o); cells c [C] from those before,
     * clipped where clip > 0; their tanh; and m = sigmoid(o) * tanh(c). */
    void (*cell_forward)(real *gates, const real *bias, const real *c_before, real *c, real *tanh_c,
                         real *m, size_t C, real clip);
    /* gates [4C] from activations to the gradients of their pre-activations, given dm, that of m;
     * dc [C] from the gradient of c without m's part to that of c_before. */
    void (*cell_backward)(real *gates, const real *dm, const real *c_before, const real *c,
                          const real *tanh_c, real *dc, size_t C, real clip);
    /* Dropout: x *= 0 with probability `dropout` and 1 / (1 - dropout) else. The same key drops the
     * same elements, so that a gradient passes where its value did. */
    void (*drop)(real *x, size_t n, real dropout, uint64_t key);
    /* logits += offsets, then exp(logit - greatest) of the logits and of *target; the logit of
     * `hidden`, if there is one (< n), counts as -infinity. Returns the sum of all. */
    real (*exponentials)(real *logits, real *target, real *ret_greatest, const real *offsets,
                         size_t n, size_t hidden);
    /* Greatest of each of n columns over rows [n_rows, n], and the first row that has it. */
    void (*column_maxima)(real *greatest, uint16_t *argmax, const real *rows, size_t n_rows,
                          size_t n);
    /* next = g t + (1 - g) y, with gate g from its pre-activation to its sigmoid, transform t from
     * its pre-activation to its relu. */
    void (*highway_forward)(real *next, real *gate, real *transform, const real *y, size_t n);
    /* dy from the gradient of `next` to that of y; dgate, dtransform those of the pre-activations.
     */
    void (*highway_backward)(real *dy, real *dgate, real *dtransform, const real *y,
                             const real *gate, const real *transform, size_t n);
    real (*dot)(const real *a, const real *b, size_t n);
    double (*sum_of_squares)(const real *x, size_t n);
    /* w and its two moments, by Adam. */
    void (*adam)(real *w, real *first, real *second, const real *gradients, size_t n,
                 const struct adam_rates *step);
    /* The same with compact moments. Element k is rounded by a random number that depends on
     * random + k alone, so that shares of an array give the bits of the whole. */
    void (*adam_compact)(real *w, moment *first, moment *second, const real *gradients, size_t n,
                         const struct adam_rates *step, uint32_t random);
};

/* Those of this processor. */
const struct loops *loops_best(void);

#pragma once
/* Derivatives without a derivation: every sum, product and function of numbers is written down as
 * it is computed, and tape_backward goes back through the list by the chain rule. Scalars in
 * double, slow and plain, for references that must not share a backward pass with what they check.
 *
 * A number is its index on the tape. A tool of the tests: when memory is short it ends the program.
 * One thread at a time. */
#include <stddef.h>

struct tape_node {
    double value, gradient;
    size_t from[2];  /* what it was computed of; itself where there is none */
    double slope[2]; /* its derivative by them */
};

struct tape {
    struct tape_node *nodes;
    size_t n_nodes, capacity;
};

/* Starts as {0}. */
void tape_done(struct tape *tape);
void tape_forget(struct tape *tape); /* as if new, but keeps the memory */

size_t tape_number(struct tape *tape, double value);
size_t tape_add(struct tape *tape, size_t a, size_t b);
size_t tape_multiply(struct tape *tape, size_t a, size_t b);
size_t tape_divide(struct tape *tape, size_t a, size_t b);
size_t tape_exp(struct tape *tape, size_t x);
size_t tape_log(struct tape *tape, size_t x);
size_t tape_sigmoid(struct tape *tape, size_t x);
size_t tape_tanh(struct tape *tape, size_t x);
size_t tape_relu(struct tape *tape, size_t x);
/* x between -limit and limit; the derivative is 0 where it was cut. */
size_t tape_clip(struct tape *tape, size_t x, double limit);

double tape_value(const struct tape *tape, size_t x);
/* The derivatives of `result` by every number before it. */
void tape_backward(struct tape *tape, size_t result);
double tape_gradient(const struct tape *tape, size_t x);

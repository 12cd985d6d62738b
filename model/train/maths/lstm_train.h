#pragma once
/* One direction's stack of projected LSTMs over B sequences of the same length T, with its backward
 * pass through time (model/inference/README.md, section 5). Time-major: row t * B + b. A thread
 * works on one direction. */
#include "net.h"
#include "util/arena.h"
#include "util/rng.h"

struct lstm_layer_tape {
    real *x;           /* [T * B, P] input, dropout applied */
    real *gates;       /* [T * B, 4C] sigmoid(i), tanh(j), sigmoid(f + 1), sigmoid(o) */
    real *c;           /* [(1 + T) * B, C] cells, clipped; the first B rows are zero */
    real *tanh_c;      /* [T * B, C] */
    real *m;           /* [T * B, C] sigmoid(o) * tanh(c) */
    real *h;           /* [(1 + T) * B, P] outputs, clipped; the first B rows are zero */
    uint64_t drop_key; /* of the dropout of x */
};

struct lstm_tape {
    size_t T, B;
    struct lstm_layer_tape layers[OPTIONS_MAX_LAYERS];
    real dropout;
    uint64_t drop_key; /* of the dropout of the top layer's output */
};

/* output [T * B, P] of the top layer from input [T * B, P]. dropout: the share that is zeroed, 0
 * for none; the random numbers come from rng. False: out of memory. */
bool lstm_forward(real *output, struct lstm_tape *tape, const real *input, size_t T, size_t B,
                  real dropout, struct rng *rng, const struct options *o, const struct net_lstm *w,
                  struct arena *arena);
/* Adds the weights' gradients to g; doutput [T * B, P] is overwritten with the gradient of the
 * input. dlayers (may be NULL): [L - 1] gradients [T * B, P] that the inputs of the layers above
 * the first have besides, after their dropout, of an objective that reads them too. The tape's
 * gates are used up. False: out of memory.
 */
bool lstm_backward(real *doutput, const real *const *dlayers, const struct lstm_tape *tape,
                   const struct options *o, const struct net_lstm *w, const struct net_lstm *g,
                   struct arena *arena);

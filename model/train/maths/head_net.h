#pragma once
/* The sentiment head as it is trained, forward and backward, from pooled layers to the loss:
 *
 *     features: per text the means (and maxima) of all layers side by side, [n_features]
 *     input "mix":    gamma * sum_k softmax(w)_k * mean_k   (Peters et al. 2018, eq. 1)  [2P]
 *     input "layers": the features as they are                                   [n_features]
 *     z = (input - centre) * scales @ whitener fixed, folded into dense_1 when the file is written
 *     hidden = dropout(relu(z @ W1 + b1));  logits = hidden @ W2 + b2
 *     loss: cross-entropy of the softmax, or of the sigmoid where there is one logit
 *
 * The mean of a mix is the mix of the means, so the mix needs no token's vector. All parameters lie
 * in one flat array. Pure; any thread. */
#include "inference/tensor_specs.h"
#include "real.h"
#include "util/arena.h"

struct rng;

struct head_net {
    struct head_shape shape;
    size_t n_layers, proj_dim; /* L, P */
    size_t n_features;         /* of a text */
    const real *centre;        /* [input_dim], borrowed; NULL: zeros */
    const real *scales;        /* [input_dim], borrowed; NULL: ones */
    const real *whitener;      /* [input_dim, input_dim], borrowed; NULL: the identity */
};

struct head_params { /* pointers into one flat array: of values, or of their gradients */
    real *mix_weights, *mix_gamma; /* [1 + L], [1]; NULL where all layers are the input */
    real *w1, *b1;                 /* [input, hidden], [hidden] */
    real *w2, *b2;                 /* [hidden, output], [output] */
};

/* hidden_dim and output_dim as the file has them; max: pool maxima too, of all layers only. */
struct head_net head_net_make(const struct options *options, bool all_layers, bool max,
                              size_t hidden_dim, size_t output_dim);
size_t head_net_size(const struct head_net *net);
void head_net_params(struct head_params *ret_params, const struct head_net *net, real *flat);
/* Glorot and Bengio 2010 for the kernels; an even mix, gamma 1. */
void head_net_randomize(const struct head_net *net, real *flat, uint64_t seed);

struct head_batch {
    const real *features;   /* [n, n_features] */
    const uint32_t *labels; /* [n] */
    size_t n;
};

/* Mean loss over the batch. gradients (may be NULL: evaluation) is added to; dfeatures [n,
 * n_features] (may be NULL) is overwritten. logits [n, output_dim] may be NULL. false: out of
 * memory. */
bool head_net_run(double *ret_loss, real *logits, real *gradients, real *dfeatures,
                  const struct head_net *net, real *values, const struct head_batch *batch,
                  double dropout, struct rng *rng, struct arena *arena);

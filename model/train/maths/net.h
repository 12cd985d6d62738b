#pragma once
/* What is trained: all tensors of the biLM and its softmax in one flat array, so that the
 * optimiser, clipping and checkpoints are one loop each. A gradient has the same layout in an array
 * of its own. */
#include <stdint.h>

#include "elmo.h"
#include "file/options.h"
#include "inference/tensor_specs.h"
#include "real.h"

struct net_conv {
    real *kernel, *bias; /* [width * D, n_filters], [n_filters] */
};

struct net_highway {
    real *w_carry, *w_transform; /* [F, F] */
    real *b_carry, *b_transform; /* [F] */
};

struct net_lstm {
    real *w;      /* [2P, 4C]: rows of x, then rows of h */
    real *b;      /* [4C] */
    real *w_proj; /* [C, P]; NULL: none, C == P */
};

/* Pointers into one flat array: of values, or of their gradients. */
struct net_tensors {
    real *char_embed; /* [261, D] */
    struct net_conv conv[OPTIONS_MAX_FILTERS];
    struct net_highway highway[OPTIONS_MAX_LAYERS];
    real *w_proj, *b_proj; /* [F, P], [P]; NULL: none, F == P */
    struct net_lstm lstm[2][OPTIONS_MAX_LAYERS];
    real *word_vectors_w;        /* [P, D] of word_vector_loss.h; NULL: none */
    real *softmax_w, *softmax_b; /* [V, P], [V] */
};

/* The layout: which tensor lies where. Immutable; any thread. */
struct net {
    struct options options;
    size_t n_vocab;            /* V */
    size_t word_vectors_dim;   /* D of word_vector_loss.h; 0: none */
    struct tensor_specs specs; /* the biLM's, the map to word vectors if any, the softmax's two */
    size_t n_bilm_tensors;     /* the first ones of specs */
    size_t *offsets;           /* [specs.n_items + 1], in elements; the last is the total */
    size_t n_dense;            /* elements before the softmax */
};

#define NET_WORD_VECTORS_W "word_vectors/W" /* name of its tensor */

ELMO_MUST_USE int net_init(struct net *ret_net, const struct options *options, size_t n_vocab,
                           struct elmo_error *err);
/* The same with a map to word vectors [word_vectors_dim]. */
ELMO_MUST_USE int net_init_with_word_vectors(struct net *ret_net, const struct options *options,
                                             size_t n_vocab, size_t word_vectors_dim,
                                             struct elmo_error *err);
void net_done(struct net *net);
static inline size_t net_size(const struct net *net)
{
    return net->offsets[net->specs.n_items];
}

/* The tensors of a flat array [net_size()]. */
void net_tensors(struct net_tensors *ret_tensors, const struct net *net, real *flat);

/* Random weights (bilm-tf's initialisers), the same for the same seed. */
void net_randomize(const struct net *net, real *flat, uint64_t seed);
/* The same of the tensor specs.items[index] only: values [offsets[index + 1] - offsets[index]]. */
void net_randomize_tensor(const struct net *net, size_t index, real *values, uint64_t seed);

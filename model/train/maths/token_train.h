#pragma once
/* The token encoder with its backward pass: token_encoder.h's equations, keeping what the gradients
 * need. Works on the distinct words of a batch; a thread may take any part of them. */
#include <stdint.h>

#include "net.h"
#include "util/arena.h"

/* Activations of one forward pass over n words; memory from the arena. */
struct token_tape {
    size_t n_words;
    const struct elmo_token *const *words; /* [n_words] */
    uint16_t *ids;                         /* [n_words, max_chars] */
    uint16_t *n_chars;                     /* [n_words] not padding */
    uint16_t *argmax;                      /* [n_words, F]: the window that won the max */
    real *features;           /* [1 + n_highway][n_words, F]: input of each highway, and the end */
    real *gates, *transforms; /* [n_highway][n_words, F] */
};

/* vectors [n_words, P]. False: out of memory. */
bool token_forward(real *vectors, struct token_tape *tape, const struct elmo_token *const *words,
                   size_t n_words, const struct net *net, const struct net_tensors *w,
                   struct arena *arena);
/* Adds the gradients of all encoder tensors to g. dvectors [n_words, P]. False: out of memory. */
bool token_backward(const real *dvectors, const struct token_tape *tape, const struct net *net,
                    const struct net_tensors *w, const struct net_tensors *g, struct arena *arena);

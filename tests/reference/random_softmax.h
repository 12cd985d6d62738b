#pragma once
/* A random LM softmax for a model file, and its file. A tool of the tests: when memory is short it
 * ends the program. */
#include "elmo.h"
#include "test_rng.h"
#include "text/word_table.h"

struct random_softmax {           /* owned: random_softmax_done */
    struct word_table vocabulary; /* the marks, then "w3", "w4", .. */
    size_t dim;                   /* P */
    float *w, *b;                 /* [V, P], [V] */
};

/* Logits of order `size` where h is of order 1. */
void random_softmax_init(struct random_softmax *ret_softmax, struct rng *rng, size_t V, size_t P,
                         float size);
void random_softmax_done(struct random_softmax *softmax);

/* As one that belongs to the model file `model`, in f32. */
ELMO_MUST_USE int random_softmax_write(const struct random_softmax *softmax, const char *model,
                                       const char *path, struct elmo_error *err);

#pragma once
/* Models of random architecture and random weights, from a seed: the same seed gives the same model
 * on every machine. Weights are scaled to their number of inputs, so that values stay of order 1
 * through any depth and small clips are reached. A tool of the tests: when memory is short it ends
 * the program. */
#include "elmo.h"
#include "file/options.h"
#include "inference/tensor_specs.h"
#include "tensor_set.h"
#include "test_rng.h"

struct random_model { /* owned: random_model_done */
    struct options options;
    char options_json[4096]; /* the same, as options.json says it */
    const char *tokenizer;
    bool has_head;
    struct head_shape head;    /* where has_head */
    enum elmo_pooling pooling; /* of the head */
    size_t ngram_order;        /* of the head; 0: it has no n-grams */
    struct tensor_set weights;
};

/* Any combination of options, small dimensions. */
void random_model_init(struct random_model *ret_model, struct rng *rng);
/* Random weights for a given architecture; head may be NULL. Without `optional_tensors` those that
 * tensor_specs.h allows to be absent are absent. */
void random_model_init_with(struct random_model *ret_model, struct rng *rng,
                            const struct options *options, const struct head_shape *head,
                            enum elmo_pooling pooling, bool optional_tensors);
void random_model_done(struct random_model *model);

/* Writes a model file, all tensors in f32. */
ELMO_MUST_USE int random_model_write(const struct random_model *model, const char *path,
                                     struct elmo_error *err);

#pragma once
/* Everything that a run needs to go on bit for bit: weights, their average, Adam's moments, and its
 * train_state. One safetensors file, written beside the old one and renamed over it.
 */
#include "file/safetensors.h"
#include "train/maths/optimizer.h"
#include "train/maths/weight_average.h"
#include "train_state.h"

struct checkpoint { /* borrowed */
    const struct net *net;
    real *values;
    struct optimizer *optimizer;    /* NULL: only weights, see checkpoint_read */
    struct weight_average *average; /* NULL: none */
    struct train_state *state;
    /* NULL when reading: whatever the file has. */
    const char *options_json, *tokenizer;
    const char *vocabulary; /* JSON array of V strings */
    /* Only written; NULL: there is none. */
    const char *corpus_weights; /* JSON array of the weights of --corpus, where one is not 1 */
    const char *provenance;     /* META_PROVENANCE of what the run goes on from */
};

#define CHECKPOINT_AVERAGE  "average/" /* what the names of the average's tensors begin with */
#define META_CORPUS_WEIGHTS "corpus_weights" /* metadata key beside those of model_file.h */

ELMO_MUST_USE int checkpoint_write(const char *path, const struct checkpoint *checkpoint,
                                   struct elmo_error *err);
/* Fills values, moments, average and *state of a checkpoint whose net is set up; sizes and names
 * must fit it. Without an optimizer, values are what is to be measured or served: the average where
 * the file has one. With an average that the file has not, the average becomes the weights where
 * the file is a small one (checkpoint_small.h); else its values stay as they are and its n_steps
 * is 0. ELMO_E_INVALID: the file has another architecture, tokeniser or vocabulary. */
/* The word_vectors_dim of a checkpoint's net whose projection is proj_dim; 0: it has no such map.
 */
size_t checkpoint_word_vectors_dim(const struct safetensors *file, size_t proj_dim);
ELMO_MUST_USE int checkpoint_read(const char *path, const struct checkpoint *ret_checkpoint,
                                  struct elmo_error *err);

#pragma once
/* Everything that a run needs to go on bit for bit: weights, Adam's moments, where it is in the
 * data, how it was started. One safetensors file, written beside the old one and renamed over it.
 */
#include "optimizer.h"
#include "products.h"

struct train_settings { /* of the session that wrote it; batch_tokens 0: not known */
    uint64_t batch_tokens, n_samples, threads;
    enum precision precision;
    double dropout, learning_rate, max_norm;
    uint64_t tokens; /* where the whole run is to end; 0: nowhere */
};

struct train_state {
    uint64_t n_steps, n_tokens; /* since the start; a token is one prediction per direction */
    uint64_t epoch, next_batch; /* the batch to come */
    uint64_t seed;
    double seconds;         /* of training, over all sessions */
    char corpus_sha256[65]; /* resuming on another corpus is refused */
    char heldout_sha256[65];
    char init_sha256[65]; /* bilm_digest() of the model it began with; "": random weights */
    struct train_settings settings;
};

struct checkpoint { /* borrowed */
    const struct net *net;
    real *values;
    struct optimizer *optimizer; /* NULL: weights alone */
    struct train_state *state;
    /* NULL when reading: whatever the file has. */
    const char *options_json, *tokenizer;
    const char *vocabulary; /* JSON array of V strings */
};

#define META_STATE "train_state" /* metadata key beside those of model_file.h */

ELMO_MUST_USE int checkpoint_write(const char *path, const struct checkpoint *checkpoint,
                                   struct elmo_error *err);
/* Fills values, moments and *state of a checkpoint whose net is set up; sizes and names must fit
 * it. ELMO_E_INVALID: the file has another architecture, tokeniser or vocabulary. */
ELMO_MUST_USE int checkpoint_read(const char *path, const struct checkpoint *ret_checkpoint,
                                  struct elmo_error *err);

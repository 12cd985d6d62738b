#pragma once
/* Where a run is and how it is trained, beside its weights: what a checkpoint keeps as JSON. */
#include <stdint.h>

#include "batch_growth.h"
#include "elmo.h"
#include "rate_schedule.h"
#include "train/data/batches.h"
#include "train/maths/products.h"

#define META_STATE "train_state" /* metadata key beside those of model_file.h */

struct train_settings { /* of the session that wrote it; batch_tokens.from 0: not known */
    struct batch_growth batch_tokens;
    uint64_t n_samples, threads;
    enum precision precision;
    double dropout, learning_rate, max_norm;
    double average;               /* decay of weight_average.h; 0: none */
    uint64_t word_vectors_tokens; /* until then word_vector_loss.h counts; 0: never */
    uint64_t tokens;              /* where the whole run was to end; 0: nowhere */
    double hours;                 /* of the session; 0: no limit */
};

struct train_decay {
    double left;           /* share of the learning rate that a decay has left; 1: none has begun */
    struct rate_line line; /* of --decay-tokens; n_tokens 0: none */
};

struct train_state {
    uint64_t n_steps, n_tokens;       /* since the start; a token is one prediction per direction */
    struct batches_position position; /* in the data; a size of 0: that of the settings */
    uint64_t seed;
    uint64_t optimizer_steps, average_steps; /* what both have counted */
    double seconds;                          /* of training, over all sessions */
    char corpus_sha256[65];                  /* resuming on another corpus is refused */
    char heldout_sha256[65];
    char word_vectors_sha256[65]; /* of the targets, see pretrain_targets.c; "": none */
    char init_sha256[65];         /* bilm_digest() of the model it began with; "": random weights */
    struct train_decay decay;
    struct train_settings settings;
};

/* As JSON; free() it. NULL: out of memory. */
char *train_state_text(const struct train_state *state);
/* ELMO_E_FORMAT: the text (NULL: there is none) is no state. What trainers did not write at first
 * may be missing. */
ELMO_MUST_USE int train_state_parse(struct train_state *ret_state, const char *text,
                                    struct elmo_error *err);

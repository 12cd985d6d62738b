#pragma once
/* Everything that fine-tuning needs to go on bit for bit: one safetensors file, written beside the
 * old one and renamed over it. */
#include "head_fit.h"

struct tune_state {
    uint64_t epoch, next_batch;                  /* the batch to come */
    uint64_t n_steps, n_tokens;                  /* since the start */
    uint64_t bilm_steps, head_steps, word_steps; /* of the optimisers */
    struct head_fit_score sum;                   /* of the epoch's texts so far, */
    uint64_t n_texts;                            /* so many */
    double best_loss;    /* of the development texts; INFINITY: not measured */
    char job_sha256[65]; /* of all that decides what is learnt; another one is not gone on with */
};

struct tune_array { /* borrowed */
    const char *name;
    float *values;
    size_t n;
};

ELMO_MUST_USE int tune_checkpoint_write(const char *path, const struct tune_array *arrays,
                                        size_t n_arrays, const struct tune_state *state,
                                        struct elmo_error *err);
/* Fills the arrays and *state. ELMO_E_INVALID: state->job_sha256, as given, is not the file's;
 * ELMO_E_FORMAT: it is no such file. */
ELMO_MUST_USE int tune_checkpoint_read(const char *path, const struct tune_array *arrays,
                                       size_t n_arrays, struct tune_state *state,
                                       struct elmo_error *err);

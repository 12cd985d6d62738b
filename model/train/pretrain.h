#pragma once
/* The pretraining run: batches in, checkpoints out, until the hours or tokens are used up or a
 * signal comes. */
#include "elmo.h"
#include "products.h"
#include "tokenize.h"

struct pretrain_settings {                      /* strings are borrowed */
    const char *const *corpus, *const *heldout; /* files */
    size_t n_corpus, n_heldout;
    const char *vocab, *options; /* files; NULL: those of what the run starts from */
    const char *out;  /* folder, made if it is not there; holds no run but the one to resume */
    const char *init; /* model file to start from; NULL: random weights */
    const char *init_softmax; /* its softmax; NULL: random weights */
    enum tokenizer tokenizer;
    bool resume; /* go on from out/checkpoint.safetensors */
    bool quiet;
    double hours;    /* of this session; 0: no limit */
    uint64_t tokens; /* of the whole run; 0: no limit. The learning rate falls towards its end. */
    size_t threads, batch_tokens, n_samples;
    enum precision precision; /* of the products; held-out perplexity is always in f32. UNSAID: as
                                 the checkpoint to resume, or as the processor is fastest */
    double dropout, learning_rate, max_norm;
    double checkpoint_minutes;
    uint64_t eval_tokens; /* held-out perplexity every so many tokens */
    uint64_t seed;
};

/* Sensible values for everything but the files. */
struct pretrain_settings pretrain_defaults(void);

/* Runs until an end; the last checkpoint is out/checkpoint.safetensors, the curve out/curve.csv and
 * .svg. SIGINT and SIGTERM end it after the step at hand, with a checkpoint. A loss that is not
 * finite is ELMO_E_NUMERIC and leaves the last good checkpoint. */
ELMO_MUST_USE int pretrain_run(const struct pretrain_settings *settings, struct elmo_error *err);

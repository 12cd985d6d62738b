#pragma once
/* The pretraining run: batches in, checkpoints out, until the hours or tokens are used up or a
 * signal comes. */
#include "elmo.h"
#include "text/tokenize.h"
#include "train/bilm/batch_growth.h"
#include "train/maths/products.h"

/* Settings that a resumed run takes from its checkpoint unless they are given. */
enum {
    GIVEN_TOKENIZER = 1u << 0,
    GIVEN_BATCH_TOKENS = 1u << 1,
    GIVEN_SAMPLES = 1u << 2,
    GIVEN_THREADS = 1u << 3,
    GIVEN_DROPOUT = 1u << 4,
    GIVEN_LEARNING_RATE = 1u << 5,
    GIVEN_MAX_NORM = 1u << 6,
    GIVEN_AVERAGE = 1u << 7,
    GIVEN_SEED = 1u << 8,
    GIVEN_PRECISION = 1u << 9,
    GIVEN_CORPUS_WEIGHTS = 1u << 10,
    GIVEN_WORD_VECTORS_TOKENS = 1u << 11,
};

struct pretrain_settings {                      /* strings are borrowed */
    const char *const *corpus, *const *heldout; /* files */
    size_t n_corpus, n_heldout;   /* each held-out file is a text of its own: up to 9 */
    const double *corpus_weights; /* [n_corpus] see batches.h; read where they are given */
    const char *vocab, *options;  /* files; NULL: those of what the run starts from */
    const char *out;  /* folder, made if it is not there; holds no run but the one to resume */
    const char *init; /* model file to start from; NULL: random weights */
    const char *init_softmax;  /* its softmax; NULL: random weights */
    const char *word_vectors;  /* text or cache as in word_vectors.h: targets of
                                  word_vector_loss.h; NULL: none */
    const struct ranks *ranks; /* that train together, each with the same settings; NULL: none */
    bool resume;               /* go on from out/checkpoint.safetensors */
    bool quiet;

    /* The end of the run. At least one is needed; the first that is reached counts. */
    double hours;          /* of this session, from the call to the return; 0: no limit */
    uint64_t tokens;       /* of the whole run; 0: no limit */
    uint64_t decay_tokens; /* of a decay that begins now, or goes on: the rate falls to 0. Without
                              hours and tokens. 0: none */
    bool no_decay;         /* the rate does not fall towards the end */

    unsigned given; /* GIVEN_* of the settings from here on that win over the checkpoint's */
    enum tokenizer tokenizer;
    struct batch_growth batch_tokens;
    size_t n_samples; /* with the first batches: see batch_growth_samples */
    size_t threads;
    enum precision precision; /* of the products; held-out perplexity is always in f32. UNSAID: as
                                 the checkpoint to resume, or as the processor is fastest */
    double dropout, learning_rate, max_norm;
    double average;               /* decay of weight_average.h; 0: no average */
    uint64_t word_vectors_tokens; /* of the whole run: the weight of word_vectors falls linearly
                                     from 1 to 0 until then */
    uint64_t seed;

    double checkpoint_minutes;
    uint64_t eval_tokens;  /* held-out perplexity every so many tokens */
    double (*now_s)(void); /* seconds of a steady clock; progress_now but in tests */
};

/* Sensible values for everything but the files and the end. */
struct pretrain_settings pretrain_defaults(void);

/* Runs until its end. out/ gets checkpoint.safetensors, curve.csv and curve.svg, and, when the rate
 * begins to fall, before-decay.safetensors, a checkpoint of that moment. What is measured is the
 * average of the weights where there is one. SIGINT and SIGTERM end the run after the current step,
 * with a checkpoint. A loss that is not finite is ELMO_E_NUMERIC and leaves the last good
 * checkpoint. ELMO_E_INVALID: the settings do not fit each other or the checkpoint. */
ELMO_MUST_USE int pretrain_run(const struct pretrain_settings *settings, struct elmo_error *err);

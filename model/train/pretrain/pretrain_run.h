#pragma once
/* The inside of a pretraining run, for the pretrain*.c files: pretrain_setup.c makes it,
 * pretrain_settings.c decides on its settings and pretrain_resume.c on the rest that a checkpoint
 * says, pretrain_targets.c has the word vectors, pretrain_plan.c knows how far it is and the rate
 * there, pretrain_ranks.c talks to other ranks, pretrain_output.c measures and writes, and
 * pretrain.c is the loop. One thread. */
#include "common/progress.h"
#include "pretrain.h"
#include "train/bilm/checkpoint.h"
#include "train/bilm/curve.h"
#include "train/bilm/warm_start.h"
#include "train/data/batches.h"
#include "train/data/corpus.h"
#include "train/engine/engine.h"
#include "train/maths/bilm_eval.h"
#include "util/sha256.h"

#define RUN_MAX_PATH     4096
#define RUN_CHECKPOINT   "checkpoint.safetensors"
#define RUN_BEFORE_DECAY "before-decay.safetensors"
#define RUN_NOT_WRITTEN  UINT64_MAX

#define RUN_MAX_HELDOUT (1 + CURVE_MAX_OTHERS)

struct heldout { /* a text that perplexity is measured on */
    struct corpus corpus;
    struct batches batches;
};

/* What rank 0 says to all ranks before each step: their clocks and disks differ. */
struct run_tick {
    double now_s, longest_evaluation_s, longest_checkpoint_s;
    bool stops; /* of any rank */
};

struct run { /* owned: run_done */
    const struct pretrain_settings *settings;
    struct ranks ranks;     /* one, where the settings name none */
    struct run_tick tick;   /* the last one; not used by a single rank */
    struct warm_files from; /* what the run starts from; open while it is set up */
    char *options_json, *vocabulary_json;
    char *provenance; /* of the checkpoint to resume; NULL: it has none */
    enum tokenizer tokenizer;
    double *corpus_weights;    /* [settings->n_corpus] */
    char *corpus_weights_json; /* NULL: each is 1 */
    bool weights_changed;      /* since the checkpoint to resume */
    struct vocab vocab;
    struct corpus corpus;
    struct batches batches;
    struct heldout heldout[RUN_MAX_HELDOUT]; /* [settings->n_heldout] */
    struct curve_others others;              /* names of those after the first */
    struct word_vectors *word_vectors;       /* NULL: none, or their time is over */
    struct net net;
    struct team *team;
    struct engine *engine;
    struct bilm_eval *eval;
    struct train_state state; /* its settings are those of this session */
    struct curve *curve;
    struct progress progress;

    size_t least_batch_tokens; /* of the next batch: its size does not shrink */

    double loss_sum; /* since the last point of the curve */
    uint64_t n_loss;
    uint64_t next_eval;     /* n_tokens */
    uint64_t written_steps; /* n_steps of out/checkpoint.safetensors, or RUN_NOT_WRITTEN */

    /* Seconds of settings->now_s(): */
    double start_s;              /* of this session: what its hours count from */
    double begin_s;              /* when everything was loaded: what state.seconds counts */
    double train_s;              /* when the first step began; NAN before it */
    double checkpoint_s;         /* of the last checkpoint */
    double longest_evaluation_s; /* of this session */
    double longest_checkpoint_s;
    double seconds_before; /* of training, in earlier sessions */
};

/* ---- pretrain_setup.c ---- */
/* Even after a failure the run is to be freed with run_done. */
ELMO_MUST_USE int run_init(struct run *ret_run, const struct pretrain_settings *settings,
                           struct elmo_error *err);
void run_done(struct run *run);
void run_path(const struct run *run, const char *name, char ret_path[static RUN_MAX_PATH]);
ELMO_MUST_USE int run_checkpoint_of(struct run *run, struct checkpoint *ret_checkpoint,
                                    struct elmo_error *err);

/* ---- pretrain_settings.c ---- */
/* Fills state.settings, tokenizer, corpus_weights and options_json of this session: as given, else
 * as in run->from, which is the checkpoint if the run is resumed, else as in options_json, else
 * defaults. All else of run->state is the checkpoint's, if there is one. */
ELMO_MUST_USE int run_take_settings(struct run *run, struct elmo_error *err);

/* ---- pretrain_resume.c ---- */
/* Weights, moments and average of the checkpoint. ELMO_E_INVALID: it was trained on other texts, or
 * the rate has fallen since and would rise again. */
ELMO_MUST_USE int run_resume(struct run *run, struct elmo_error *err);

/* ---- pretrain_plan.c ---- */
/* How much of the run is done, 0..1: the greatest share of tokens, hours and decay. */
double run_done_share(const struct run *run);
/* Whether the run's tokens or its decay are at their end: nothing is left for any session. */
bool run_is_complete(const struct run *run);
/* Share of the peak rate that decays have left. */
double run_decay(const struct run *run);
double run_decay_at_start(const struct run *run); /* before any of the session's hours */
/* Of the next step. */
double run_learning_rate(const struct run *run);
size_t run_batch_tokens(const struct run *run);
size_t run_n_samples(const struct run *run); /* for the current size of the batches */

/* ---- pretrain_heldout.c ---- */
/* Loads the texts; run->vocab is there. ELMO_E_INVALID: there are too many. */
ELMO_MUST_USE int run_load_heldout(struct run *run, struct elmo_error *err);
void run_heldout_done(struct run *run);
/* Of one text its digest, of more the SHA-256 of their digests' hexadecimal digits. */
void run_heldout_sha256(const struct run *run, char ret_sha256[static SHA256_HEX_BYTES]);
/* Perplexities into the point. *ret_whole becomes false where a signal came first. */
ELMO_MUST_USE int run_score_heldout(struct run *run, struct curve_point *ret_point, bool *ret_whole,
                                    struct elmo_error *err);

/* ---- pretrain_targets.c ---- */
/* Opens --word-vectors while the run still learns from them; state and vocabulary are there.
 * ELMO_E_INVALID: the run needs them and they are not given, or are not those of before. */
ELMO_MUST_USE int run_load_word_vectors(struct run *run, struct elmo_error *err);
/* Of the net: that of the word vectors, else that of the checkpoint to resume; 0: none. */
size_t run_word_vectors_dim(const struct run *run, const struct options *options);
/* Of the next step, 0..1. */
double run_word_vectors_weight(const struct run *run);

/* ---- pretrain_ranks.c ---- */
/* All ranks call these together. */
ELMO_MUST_USE int run_share_tick(struct run *run, struct elmo_error *err);
/* ELMO_E_INVALID: the ranks would not make the same steps, as their settings, texts, weights or
 * processors differ. */
ELMO_MUST_USE int run_agree(struct run *run, struct elmo_error *err);
/* The next batch of each rank, of the current size; false: there is none left for this rank. */
bool run_take_share(struct run *run, struct bilm_batch *ret_batch);
/* Adds up what the ranks have. */
ELMO_MUST_USE int run_sum_scores(struct run *run, struct bilm_score *score, struct elmo_error *err);
/* Of the last tick: */
double run_now(const struct run *run);
bool run_stops(const struct run *run);
bool run_writes(const struct run *run); /* whether it is this rank that writes files */

/* ---- pretrain_output.c ---- */
void run_begin_progress(struct run *run); /* speed and time left are measured from here on */
void run_show(struct run *run, const char *phase);
ELMO_MUST_USE int run_write_checkpoint(struct run *run, struct elmo_error *err);
/* out/before-decay.safetensors, and a line that says so. */
ELMO_MUST_USE int run_keep_before_decay(struct run *run, struct elmo_error *err);
/* Held-out perplexity, a point of the curve, a checkpoint if there were steps since the last. With
 * a signal only the checkpoint. */
ELMO_MUST_USE int run_evaluate(struct run *run, struct elmo_error *err);
ELMO_MUST_USE int run_fail_not_finite(const struct run *run, const char *what,
                                      struct elmo_error *err);

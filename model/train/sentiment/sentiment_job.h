#pragma once
/* What sentiment.c, which learns, and sentiment_write.c, which writes the file, share. */
#include "calibration.h"
#include "common/progress.h"
#include "finetune.h"
#include "head_fit.h"
#include "ngram_model.h"
#include "sentiment.h"
#include "sentiment_texts.h"
#include "text_features.h"
#include "util/team.h"
#include "whitening.h"

#define PSEUDO_CONFIDENCE 0.9 /* that the n-grams must have in a label of their own */

/* What one seed has learnt. */
struct sentiment_fitted {
    uint64_t seed;
    real *values;              /* [head_net_size()] */
    struct ngram_model ngrams; /* {0}: none */
    struct calibration calibration;
    struct head_fit_score dev, test;
};

/* Everything of a run; job_done takes it apart. */
struct sentiment_job {
    const struct sentiment_settings *settings;
    FILE *out; /* NULL: quiet */
    struct elmo_model *model;
    struct sentiment_texts texts;
    size_t n_outputs;
    size_t n_scales; /* the first texts to learn, which tell how features are whitened */
    struct team *team;
    struct progress progress;
    struct text_features features;
    struct whitening whitening;
    struct head_net net;
    struct ngram_texts ngram_texts;
    real *deep_logits, *ngram_logits; /* [n_dev + n_test, n_outputs] of the seed at hand */
    struct sentiment_fitted kept;
    size_t n_pseudo_labelled; /* of the texts without labels */
    struct finetuned tuned;   /* {0}: the biLM stays as it is */
    char *checkpoint;         /* path of fine-tuning's */
    char *provenance;
};

/* How fine-tuning is set; pure. */
struct finetune_settings sentiment_tuning(const struct sentiment_settings *settings, uint64_t seed);

/* Folds whitening and calibration into what was kept, and writes the model file. */
ELMO_MUST_USE int sentiment_write(struct sentiment_job *job, struct elmo_error *err);

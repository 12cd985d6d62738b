#pragma once
/* Fine-tuning: the biLSTMs, the vectors of frequent words and the head trained together on labelled
 * texts, by a slanted triangle of learning rates (Howard and Ruder 2018, "Universal language model
 * fine-tuning", arXiv:1801.06146). The token encoder stays as it is
 * and spells the other words. Keeps the epoch that was best on the development texts. The same seed
 * and threads give the same weights, on processors with the same instructions. */
#include <stdio.h>

#include "common/progress.h"
#include "train/data/labelled.h"
#include "train/maths/head_net.h"
#include "train/maths/net.h"
#include "train/maths/products.h"
#include "tuned_words.h"
#include "util/team.h"

struct finetune_settings {
    size_t n_epochs, batch_tokens;
    double learning_rate;      /* of the biLSTMs, at its height */
    double word_learning_rate; /* of the words' vectors */
    double head_learning_rate; /* of the head */
    enum precision precision;  /* of the products of learning; measures are in f32 */
    double dropout;            /* of the biLSTMs' layers */
    double word_dropout;       /* of whole words in a batch */
    double head_dropout;
    double adversary; /* 0: none; see tune_loss.h */
    size_t min_count; /* of a word in the texts to learn, to get a vector of its own */
    uint64_t seed;
};

struct finetune_settings finetune_defaults(void);

struct finetune {                   /* borrowed */
    const struct elmo_model *model; /* its tokeniser, and `path` its weights */
    const char *path;
    const struct labelled_text *items; /* [n_train + n_dev] */
    size_t n_train, n_dev;
    struct team *team;
    const struct head_net *head;
    struct progress *progress;
    FILE *out;              /* a line per epoch; NULL: quiet */
    const char *checkpoint; /* path: written every so many seconds, and when SIGTERM or SIGINT come,
                             * which then take their course; removed by the caller */
    double checkpoint_seconds;
    bool resume; /* goes on from it */
};

struct finetuned { /* owned: finetuned_done; {0} is none */
    struct net net;
    real *values;             /* [net_size()] the biLM's new tensors */
    struct tuned_words words; /* its lexicon */
};

/* ELMO_E_INVALID: no text to learn has a token, or the checkpoint is of another job;
 * ELMO_E_NUMERIC: a gradient or the development loss is not finite. head_values [head_net_size()]:
 * start and result. */
ELMO_MUST_USE int finetune_run(struct finetuned *ret_tuned, real *head_values,
                               const struct finetune *job, const struct finetune_settings *settings,
                               struct elmo_error *err);
void finetuned_done(struct finetuned *tuned);

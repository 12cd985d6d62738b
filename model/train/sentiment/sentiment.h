#pragma once
/* elmo-train sentiment: a classifier on a model's biLM, from labelled texts to a model file.
 *
 * "notebook": the first 150 words, scalar mix, mean, dense 256 relu, dense 1; one epoch, batch 32,
 *             Adam. (For more than two labels a softmax of so many outputs.)
 * "best":     whole texts, means and maxima of all layers, dense 256 with dropout, early stopping;
 *             a linear classifier over n-grams beside it; both weighed against each other and
 *             calibrated on the development texts.
 *
 * The development texts are a tenth of the texts, apart from the others by group (aclImdb: by
 * movie): they choose, and never teach. The test texts do neither. */
#include <stdint.h>

#include "elmo.h"
#include "train/maths/products.h"

#define SENTIMENT_MAX_SEEDS 100u

enum sentiment_head { SENTIMENT_NOTEBOOK, SENTIMENT_BEST };

struct sentiment_settings { /* borrowed strings */
    const char *model, *data, *out;
    const char *test;       /* texts that are looked at once, at the end; NULL: none */
    const char *unlabelled; /* with finetune and n-grams: texts that the n-grams label for it, a
                             * line each (pseudo_labels.h); NULL: none */
    const char *name;       /* of the new model; NULL: as the old one's */
    enum sentiment_head head;
    bool finetune;        /* the biLM is trained too (finetune.h) */
    size_t words;         /* cut each text behind so many; 0: whole */
    size_t limit;         /* take so many texts; 0: all */
    size_t epochs;        /* of the head; with finetune, of that */
    size_t ngram_order;   /* of "best"; 0: no n-grams */
    double dev_share;     /* 0: none, then nothing is chosen by it */
    double learning_rate; /* of the head; with finetune, of the biLSTMs and, times 5, the words */
    double adversary;     /* of fine-tuning (tune_loss.h) */
    double checkpoint_minutes; /* between those of fine-tuning, at `out` and ".tuning" */
    bool resume;               /* goes on from there */
    enum precision precision;  /* of the products of fine-tuning */
    size_t threads;
    uint64_t seed;
    size_t n_seeds; /* heads from seed, seed + 1, ..: that of the least development loss is kept */
    bool quiet;
};

struct sentiment_settings sentiment_defaults(enum sentiment_head head, bool finetune);

/* Prints the model's summary, epochs and the development texts' measures to standard output unless
 * quiet. */
ELMO_MUST_USE int sentiment_run(const struct sentiment_settings *settings, struct elmo_error *err);

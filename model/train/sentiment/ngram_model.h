#pragma once
/* The n-grams' part of the sentiment head: a linear classifier over the distinct n-grams of a text,
 * the features scaled by naive Bayes' log-count ratios (NB-LR: Wang and Manning 2012, "Baselines
 * and bigrams"). The scale is folded into the weights, so that what is served is one number per row
 * and label. Deterministic for the same seed. One thread. */
#include "ngram_texts.h"

/* What is best on film reviews. */
struct ngram_settings ngram_defaults(void);

struct ngram_model {
    float *weights; /* [n_rows, n_outputs], owned */
    float *bias;    /* [n_outputs], owned */
    size_t n_rows, n_outputs;
};

/* Learns the first n_train texts, whose rows are below settings->n_rows. n_outputs 1: a sigmoid for
 * two labels; else a softmax, of at most LABELLED_MAX_LABELS. */
ELMO_MUST_USE int ngram_model_init(struct ngram_model *ret_model, const struct ngram_texts *texts,
                                   const struct labelled_text *items, size_t n_train,
                                   size_t n_outputs, const struct ngram_settings *settings,
                                   struct elmo_error *err);
void ngram_model_done(struct ngram_model *model); /* {0} is fine */

/* logits [n_outputs] of one text. */
void ngram_model_logits(double *logits, const struct ngram_model *model,
                        const struct ngram_texts *texts, size_t text);

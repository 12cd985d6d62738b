#pragma once
/* Labelled texts as the rows of their n-grams (ngrams.h). Of the texts to learn, only the n-grams
 * that min_count of them have are kept: the many that stand in one alone tell little, and would
 * share their rows with the others. */
#include "inference/model.h"
#include "train/data/labelled.h"

struct ngram_settings {
    size_t max_order;
    size_t n_rows;    /* of the table; a power of two */
    size_t min_count; /* texts to learn that an n-gram must be in */
    size_t n_epochs;
    double learning_rate; /* of AdaGrad */
    uint64_t seed;
};

/* rows[begin[k] .. begin[k + 1]) are text k's, ascending, none twice. */
struct ngram_texts {
    uint32_t *rows;
    size_t *begin; /* [n_texts + 1] */
    size_t n_texts;
};

/* The first n_train items are to learn; the others have all rows that serving would give them.
 * Owned: ngram_texts_done. The model gives the tokeniser. */
ELMO_MUST_USE int ngram_texts_init(struct ngram_texts *ret_texts, const struct elmo_model *model,
                                   const struct labelled_text *items, size_t n_items,
                                   size_t n_train, const struct ngram_settings *settings,
                                   struct elmo_error *err);
void ngram_texts_done(struct ngram_texts *texts); /* {0} is fine */

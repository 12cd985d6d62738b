#pragma once
/* Texts that nobody labelled, with the labels that the n-grams' classifier is sure of: more to
 * learn for another classifier (Lee 2013, "Pseudo-label"; of two that see different things,
 * Blum and Mitchell 1998, "Combining labeled and unlabeled data with co-training"). */
#include "calibration.h"
#include "ngram_model.h"

struct pseudo_labeller {            /* borrowed */
    const struct elmo_model *model; /* its tokeniser */
    const struct ngram_model *ngrams;
    const struct ngram_settings *settings; /* those the n-grams were learnt with */
    const struct calibration *calibration; /* of the n-grams' logits alone */
    double confidence;                     /* a label's probability that is sure enough */
};

/* Labels the items that it is sure of and moves them to the front, in their order; *ret_n of
 * them. */
ELMO_MUST_USE int pseudo_label(struct labelled_text *items, size_t n, size_t *ret_n,
                               const struct pseudo_labeller *labeller, struct elmo_error *err);

#pragma once
/* A model's vectors of labelled contexts, and how well each kind of them tells the senses apart. */
#include "senses.h"

/* What stands for an occurrence of a word; the layers 1..L and then their mix follow. */
enum sense_vector {
    SENSE_WORD_EMB, /* its context-free vector: the same in every context */
    SENSE_WINDOW,   /* mean of the context-free vectors of the two tokens on each side */
    SENSE_SENTENCE, /* mean of those of all other tokens of the sentence */
    SENSE_LAYER_1,  /* SENSE_LAYER_1 + k - 1 is lstm_outputs<k>; SENSE_LAYER_1 + L is elmo, the mean
                       of all layers */
};

struct sense_table {
    size_t n_kinds;   /* SENSE_LAYER_1 + L + 1 */
    double *accuracy; /* [n_words + 1, n_kinds], owned: free(); the last row is over all contexts */
};

/* ELMO_E_FORMAT: a word is not exactly one token of its sentence; names the line and column. */
ELMO_MUST_USE int senses_measure(struct sense_table *ret_table, const struct senses *senses,
                                 const struct elmo_model *model, struct elmo_error *err);
/* "word_emb", ..., "elmo" into buf; returns buf. */
const char *sense_kind_name(size_t kind, size_t n_kinds, char *buf, size_t buf_bytes);

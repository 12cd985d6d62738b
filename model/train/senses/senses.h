#pragma once
/* Contexts of ambiguous words, each labelled with the sense it has there, and how well vectors tell
 * the senses apart: does the nearest other occurrence of the word have the same sense? */
#include <stdint.h>

#include "defs.h"
#include "elmo.h"

struct sense_context {
    size_t line;          /* of the file, from 1 */
    const char *sense;    /* its name */
    uint32_t sense_id;    /* which of the word's senses: 0, 1, ... in order of appearance */
    const char *sentence; /* in which the word is one token */
};

struct sense_word {
    const char *word;
    size_t begin, end; /* its contexts */
    uint32_t n_senses; /* at least 2 */
};

struct senses { /* owned: senses_done; {0} is none */
    char *text; /* that the strings point into */
    struct sense_context *contexts;
    struct sense_word *words;
    size_t n_contexts, n_words;
};

/* Reads a TSV file: a first line "word<TAB>sense<TAB>sentence", then such rows, those of a word
 * together; at least two senses a word and two contexts a sense. ELMO_E_FORMAT names the line and
 * the column (from 1). */
ELMO_MUST_USE int senses_read(struct senses *ret_senses, const char *path, struct elmo_error *err);
void senses_done(struct senses *senses);

/* The share of n vectors [n, dim] whose nearest other one by cosine has the same sense: leave one
 * out. Where several are nearest alike (to 1e-6), each has an equal part in the answer, so that
 * vectors that say nothing get what guessing would. A zero vector has cosine 0 to all. n >= 2. */
double senses_accuracy(const float *vectors, const uint32_t *sense_ids, size_t n, size_t dim);

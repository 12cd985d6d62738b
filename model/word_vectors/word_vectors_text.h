#pragma once
/* The lines of a file of word vectors (see word_vectors.h), one by one. One thread at a time. */
#include "elmo.h"

struct word_vectors_text {
    const char *path; /* borrowed, for messages */
    const char *next, *end;
    size_t line; /* the one that was read last, from 1 */
    size_t dim;
    size_t n_promised; /* words, by the first line; SIZE_MAX: it promises none */
    size_t n_words;    /* read so far, with those left out */
    size_t n_left_out, first_left_out;
};

/* Finds out the format and dim; the bytes are borrowed. */
ELMO_MUST_USE int word_vectors_text_begin(struct word_vectors_text *ret_text, const char *path,
                                          const char *bytes, size_t n_bytes,
                                          struct elmo_error *err);
/* The next word, in the bytes, and its values [dim]; a word without bytes is none: that was all. */
ELMO_MUST_USE int word_vectors_text_next(struct word_vectors_text *text,
                                         struct elmo_token *ret_word, float *ret_values,
                                         struct elmo_error *err);

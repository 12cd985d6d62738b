#pragma once
/* Fills the word cache from a file before the first request, so that the first texts are as fast as
 * later ones. */
#include <stdatomic.h>

#include "elmo.h"

#define WORD_CACHE_FILL_MAX_BYTES 1024u /* longest word */

struct word_cache_fill_options {
    const struct elmo_model *model;
    /* One word per line, as the model's tokeniser writes it, the most frequent first. A CR at the
     * end of a line is removed; empty lines and those over WORD_CACHE_FILL_MAX_BYTES are
     * skipped. */
    const char *path;
    size_t n_threads;
    const atomic_int *stop; /* not 0: stop, and skip the remaining words */
};

/* Reads as many words as the cache has places and passes them to elmo_model_warm; *ret_n_words is
 * the number of words in the cache. ELMO_E_IO: the file cannot be read or is not a regular file.
 * ELMO_E_NOMEM. err may be NULL. */
ELMO_MUST_USE int word_cache_fill(const struct word_cache_fill_options *options,
                                  size_t *ret_n_words, struct elmo_error *err);

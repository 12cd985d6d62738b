#pragma once
/* The word cache before the first request: the words of a file, so that the first texts are as fast
 * as later ones. */
#include <stdatomic.h>

#include "elmo.h"

#define WORD_CACHE_FILL_MAX_BYTES 1024u /* of a line */

struct word_cache_fill_options {
    const struct elmo_model *model;
    /* One word a line, as the model's tokeniser gives it, the most frequent first; a CR at the end
     * is none of it. Empty lines and those over WORD_CACHE_FILL_MAX_BYTES are passed over. */
    const char *path;
    size_t n_threads;
    const atomic_int *stop; /* once it is not 0, what is left is left out */
};

/* Reads as many words as the cache has places and gives them to elmo_model_warm; *ret_n_words were
 * kept. Fails where the file can't be read or is no regular file, where memory runs out; err
 * may be NULL. */
ELMO_MUST_USE int word_cache_fill(const struct word_cache_fill_options *options,
                                  size_t *ret_n_words, struct elmo_error *err);

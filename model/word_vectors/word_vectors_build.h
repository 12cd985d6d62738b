#pragma once
/* Reads a text of word vectors into memory, but for the rows, which go to a stream where there is
 * one. One thread at a time. */
#include "word_vectors.h"
#include "word_vectors_cache.h"

struct word_vectors_build { /* all owned */
    struct word_vectors_header header;
    struct word_vectors_entry *entries; /* [n_words] */
    uint64_t *slots;                    /* [n_slots] */
    char *text;                         /* [n_text_bytes] */
    float *rows;                        /* [n_words, dim]; NULL where they went to the stream */
};

/* `out` may be NULL. A failed write is left to word_vectors_cache_end. */
ELMO_MUST_USE int word_vectors_build(struct word_vectors_build *ret_build, const char *path,
                                     const atomic_int *stop, FILE *out, struct elmo_error *err);
void word_vectors_build_done(struct word_vectors_build *build); /* {0} is fine */

#pragma once
/* Context-free word vectors x_k of a text file, for [x_k; ELMo_k] (Peters et al. 2018,
 * section 3.3).
 *
 *     GloVe               "word 0.1 -0.2 ...\n" a line
 *     word2vec, fastText  the same after a first line "WORDS DIM"
 *
 * Reading the text may take a minute, so what it says is kept in a cache file, which is mapped: it
 * is opened in milliseconds, shared by processes, and read only where words are looked up. A cache
 * that is stale (the text has another length, time or content), cut short or damaged is made again;
 * one that cannot be written is done without, in memory.
 *
 * A word may hold spaces: the last DIM fields of a line are its numbers. Of a word that comes twice
 * the first counts; lines whose word is empty or not UTF-8 are left out and counted; anything else
 * that is wrong is an error that names the line. Failures are those of elmo.h. */
#include <stdatomic.h>

#include "elmo.h"

#define WORD_VECTORS_MAX_DIM 8192

struct word_vectors;

enum word_vectors_origin {
    WORD_VECTORS_FROM_CACHE, /* it was there */
    WORD_VECTORS_CACHED,     /* it was made */
    WORD_VECTORS_IN_MEMORY,  /* it could not be made; info->note says why */
};

struct word_vectors_options {
    const char *path;       /* the text, or such a cache itself */
    const char *cache_path; /* NULL or "": path with ".cache" appended */
    bool lowercase; /* a word that is not there as it is written is looked up in lower case */
    const atomic_int *stop; /* or NULL: opening fails soon after it is no longer 0 */
};

struct word_vectors_info {
    const char *name; /* of the file, without its folder; belongs to the vectors */
    size_t n_words, dim;
    size_t n_left_out, first_left_out; /* the line of the first, from 1; 0: there is none */
    size_t n_repeated;
    enum word_vectors_origin origin;
    char note[384];
};

/* Neither file may be truncated while the vectors live. */
ELMO_MUST_USE int word_vectors_open(struct word_vectors **ret_vectors,
                                    const struct word_vectors_options *options,
                                    struct elmo_error *err);
void word_vectors_free(struct word_vectors *vectors); /* NULL is fine */
const struct word_vectors_info *word_vectors_info(const struct word_vectors *vectors);

/* The vector [dim] of a word, all of it finite; NULL: unknown. Any thread; no allocation. */
const float *word_vectors_find(const struct word_vectors *vectors, const char *bytes,
                               size_t n_bytes);

#pragma once
/* The vocabulary of the softmax, in bilm-tf's file format: one word a line, <S>, </S>, <UNK> first,
 * then from the most frequent to the rarest (the sampled softmax relies on that order). A word's id
 * is its line, from 0. Immutable once made; any thread. */
#include "defs.h"
#include "text/vocabulary.h"

struct vocab {
    struct word_table words; /* words.items[id]; words.n_items is V */
};

void vocab_done(struct vocab *vocab); /* {0} is fine */

/* The id of a word; VOCAB_UNKNOWN if it has none. */
uint32_t vocab_find(const struct vocab *vocab, const char *bytes, size_t n_bytes);

/* The `size` (the marks included; fewer if there are not as many) most frequent of the words that
 * were seen counts[k] times, ties in the order of their bytes. Left out: the marks, words with
 * count 0, and words with white space at an end (bilm-tf strips its lines) or a NUL.
 * ELMO_E_INVALID: size has no room for a word, or there is no word. */
ELMO_MUST_USE int vocab_build(struct vocab *ret_vocab, const struct elmo_token *words,
                              const uint64_t *counts, size_t n_words, size_t size,
                              struct elmo_error *err);
/* Writes path.tmp and renames it: an older file survives any failure. */
ELMO_MUST_USE int vocab_write(const struct vocab *vocab, const char *path, struct elmo_error *err);
/* Reads a file (also .gz, .xz). ELMO_E_FORMAT names the line: not one of the marks, empty, not
 * UTF-8, seen before, white space at an end, a NUL; or no word at all. */
ELMO_MUST_USE int vocab_read(struct vocab *ret_vocab, const char *path, struct elmo_error *err);

#pragma once
/* Word n-grams as rows of a table, by hashing (Weinberger et al. 2009, "Feature hashing for large
 * scale multitask learning", arXiv:0902.2206): what the sentiment head adds to the biLM's view of a
 * text. Case is folded in ASCII. Part of the file format: the trainer and the server must agree on
 * every row. Pure, any thread. */
#include "elmo.h"
#include "util/arena.h"

#define NGRAMS_MAX_ORDER 4

/* The rows (< n_rows <= 2^32) of the distinct n-grams of 1..max_order tokens, ascending, none
 * twice; *ret_n of them in the arena. ELMO_E_NOMEM is the only failure. */
ELMO_MUST_USE int ngram_rows(uint32_t **ret_rows, size_t *ret_n, const struct elmo_token *tokens,
                             size_t n_tokens, size_t max_order, size_t n_rows, struct arena *arena);

/* The row of every n-gram, those that begin at the first token first and of these the shorter ones
 * first. ELMO_E_NOMEM is the only failure. */
ELMO_MUST_USE int ngram_list(uint32_t **ret_rows, size_t *ret_n, const struct elmo_token *tokens,
                             size_t n_tokens, size_t max_order, size_t n_rows, struct arena *arena);

/* Sorts n rows; returns how many different ones there are, which then come first. */
size_t ngram_rows_unite(uint32_t *rows, size_t n);
int ngram_row_order(const void *a, const void *b); /* of rows, for qsort and bsearch */

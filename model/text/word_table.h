#pragma once
/* Byte strings numbered in order of first appearance: the words of a vocabulary and of a corpus.
 * Copies the bytes. Finding is a const operation, any number of threads; adding is one thread's. */
#include <stdint.h>

#include "elmo.h"
#include "util/arena.h"

#define WORD_NONE UINT32_MAX

struct word_table {
    struct elmo_token *items; /* [n_items]; moves while words are added, their bytes do not */
    size_t n_items, capacity;
    uint64_t *slots; /* open addressing: upper half the hash, lower half 1 + index; 0 empty */
    size_t n_slots;  /* a power of two, at least twice n_items; 0 before the first word */
    struct arena text;
    char *free_text; /* the rest of the arena's newest piece */
    size_t n_free_text;
};

/* Starts as {0}. */
void word_table_done(struct word_table *table);

/* The word's index, adding it if it is new; WORD_NONE: out of memory (or of indices). */
uint32_t word_table_add(struct word_table *table, const char *bytes, size_t n_bytes);
/* As in `slots`. Files hold it too: it stays as it is. */
uint32_t word_hash(const char *bytes, size_t n_bytes);
/* WORD_NONE: not there. */
uint32_t word_table_find(const struct word_table *table, const char *bytes, size_t n_bytes);

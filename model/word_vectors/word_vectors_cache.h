#pragma once
/* The cache file of word vectors, as it lies on the disk and is mapped:
 *
 *     struct word_vectors_header, zeros up to 4096
 *     rows       float [n_words, dim], zeros up to a multiple of 8
 *     entries    struct word_vectors_entry [n_words]
 *     slots      uint64_t [n_slots], as in word_table.h
 *     text       the words, one after the other
 *
 * in the byte order of the machine that made it. Nothing in it is believed: the header and, but for
 * the rows, all that follows have a hash, which is checked when it is opened; every row has one of
 * its own, which is checked when it is used; and no index or offset is used unchecked. */
#include <stdio.h>

#include "text/word_table.h"
#include "util/mapped_file.h"

/* What a cache was made from. */
struct word_vectors_source {
    uint64_t n_bytes;
    int64_t modified_s; /* whole seconds: archives keep no more */
    uint64_t sample_hash;
};

struct word_vectors_header {
    char magic[8];
    uint32_t byte_order;
    uint32_t dim;
    uint64_t n_words, n_slots, n_text_bytes;
    uint64_t n_left_out, first_left_out, n_repeated;
    struct word_vectors_source source;
    uint64_t tables_hash, header_hash; /* of entries, slots and text; of all that is above */
};

struct word_vectors_entry {
    uint64_t at; /* in the text */
    uint32_t n_bytes;
    uint32_t row_hash;
};

struct word_vectors_tables { /* borrowed from whoever holds them */
    const struct word_vectors_entry *entries;
    const uint64_t *slots;
    const char *text;
};

uint64_t word_vectors_hash(const void *bytes, size_t n_bytes);
uint32_t word_vectors_row_hash(const float *row, size_t dim);

/* Samples the file, which must be a regular one. */
ELMO_MUST_USE int word_vectors_source_read(struct word_vectors_source *ret_source, const char *path,
                                           struct elmo_error *err);
/* Whether these are the first bytes of a cache. */
bool word_vectors_is_cache(const void *bytes, size_t n_bytes);

/* A stream at byte 0 of a new file is made ready for the rows. */
void word_vectors_cache_begin(FILE *out);
/* Writes what comes after them, and then the header, in which it sets hashes and marks, and brings
 * it all to the disk. False: something has failed, now or before; errno says what. */
bool word_vectors_cache_end(FILE *out, struct word_vectors_header *header,
                            const struct word_vectors_tables *tables);

/* Maps a cache and checks it. `source` is what it must have been made from; NULL: anything.
 * ELMO_E_IO, ELMO_E_FORMAT: it is of no use. */
ELMO_MUST_USE int word_vectors_cache_map(struct mapped_file *ret_file,
                                         struct word_vectors_tables *ret_tables,
                                         const float **ret_rows, const char *path,
                                         const struct word_vectors_source *source,
                                         struct elmo_error *err);

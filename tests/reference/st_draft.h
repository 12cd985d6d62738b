#pragma once
/* A safetensors file on its way to being wrong, for tests of what reads it: its header as a string,
 * its data, and ways to spoil both. A tool of the tests: when memory is short it ends the program.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test_rng.h"

#define ST_DRAFT_HEADER_BYTES 16384

struct st_draft {           /* st_draft_done frees it */
    uint64_t length_prefix; /* of the header */
    char header[ST_DRAFT_HEADER_BYTES];
    unsigned char *data;    /* owned */
    size_t n_data, n_extra; /* n_extra zeros follow the data */
};

/* Takes a valid file apart; false when its header is too long. */
bool st_draft_parse(struct st_draft *ret_draft, const unsigned char *bytes, size_t n_bytes);
struct st_draft st_draft_copy(const struct st_draft *draft);
void st_draft_done(struct st_draft *draft);

/* The file in memory of exactly its size; free() it. */
unsigned char *st_draft_bytes(const struct st_draft *draft, size_t *ret_n_bytes);

/* The first `from` of the header becomes `to`, and the length prefix what it must be then; false
 * when there is none or no room. */
bool st_draft_replace(struct st_draft *draft, const char *from, const char *to);
/* One to three random changes of header or data: bits, numbers, JSON's structure, dtypes, doubled
 * pieces, lengths. */
void st_draft_mutate(struct st_draft *draft, struct rng *rng);

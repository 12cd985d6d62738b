#pragma once
/* A number of lines that travel together from the reader over a worker to the writer. Each is owned
 * by one thread at a time: who holds it. */
#include <stdint.h>

#include "defs.h"
#include "elmo.h"
#include "layout.h"
#include "util/sha256.h"

#define BLOCK_MAX_LINES 4096u

struct line {
    uint64_t number; /* of the input, from 0 */
    char *text;      /* owned */
    size_t n_bytes;
    struct elmo_token *tokens; /* owned; point into text */
    size_t n_tokens;
    size_t values_at; /* of the block's values: layout_sentence_floats of them */
};

/* From the first token's first byte to the last one's last. */
void line_sentence(const struct line *line, const char **ret_text, size_t *ret_n_bytes);
void line_done(struct line *line);

/* Where the input stands behind a line. */
struct mark {
    uint64_t n_lines;     /* of the input */
    struct sha256 prefix; /* of those of them that are this shard's, with their numbers */
    double done_share;    /* 0..1 of the input; NAN: its size is not known */
};

struct block {
    struct line lines[BLOCK_MAX_LINES];
    size_t n_lines, n_tokens, n_values;
    float *values; /* owned, [capacity] of which n_values are used; kept for the next lines */
    size_t capacity;
    struct mark end; /* behind its last line */
};

/* Room for n_values; ELMO_E_NOMEM. */
ELMO_MUST_USE int block_reserve(struct block *block, struct elmo_error *err);
void block_clear(struct block *block); /* of lines; the memory for values stays */
void block_done(struct block *block);

#pragma once
/* The lines of a text file that are this shard's, as tokens, in blocks. What is wrong with a line
 * is told when its turn comes: the lines before it are handed out first. One thread at a time. */
#include "block.h"
#include "text/tokenize.h"

struct reader_settings {    /* borrowed while the reader lives */
    const char *path;       /* "-": standard input; plain, .gz or .xz */
    size_t shard, n_shards; /* line k belongs to shard k % n_shards */
    enum tokenizer tokenizer;
    size_t max_tokens;           /* of a line; more: ELMO_E_FORMAT */
    bool keep_empty;             /* a line without tokens is one with no rows; else ELMO_E_FORMAT */
    size_t block_tokens;         /* a block is full behind these, ... */
    size_t block_floats;         /* ... before there would be more values than that, ... */
    const struct layout *layout; /* ... of these; or with BLOCK_MAX_LINES. It has a line at least */
};

struct reader;

/* ELMO_E_IO names the path and the reason. */
ELMO_MUST_USE int reader_open(struct reader **ret_reader, const struct reader_settings *settings,
                              struct elmo_error *err);
void reader_free(struct reader *reader); /* NULL is fine */
DEFINE_AUTO(reader_free, struct reader *);

/* The mark before the first line. */
struct mark reader_begin(const struct reader *reader);
/* Goes to where a mark was, and makes it again. ELMO_E_FORMAT where the lines before it are not the
 * same. */
ELMO_MUST_USE int reader_skip(struct reader *reader, uint64_t n_lines, const char *prefix_hex,
                              struct mark *ret_mark, struct elmo_error *err);

/* The next lines into an empty block; none: the end. Values are only counted. ELMO_E_FORMAT and
 * ELMO_E_UTF8 name file and line, counted from 1 as editors do. */
ELMO_MUST_USE int reader_fill(struct reader *reader, struct block *block, struct elmo_error *err);

#pragma once
/* A run of elmo-embed: a text file's lines to their vectors. Its checkpoints say how far the input
 * was read, by a number of lines and a hash of them, and what the sink has on the disk. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "elmo.h"
#include "sink.h"
#include "text/tokenize.h"

struct embed_settings { /* borrowed strings */
    const char *model;  /* NULL: the one that is linked in */
    const char *in, *out;
    const char *outputs; /* see layout_init */
    const struct sink_kind *format;
    struct elmo_model_settings compute;
    bool model_tokenizer; /* else at white space, whatever the model was trained on */
    bool sentence_keys, forget_sentences, keep_empty, resume;
    size_t shard, n_shards;
    size_t threads; /* 0: as many as the machine gives this process */
    size_t batch_tokens, max_tokens;
    uint64_t max_part_bytes;   /* see struct sink_setup */
    double checkpoint_seconds; /* at least so long between two of them */
};

struct embed_settings embed_defaults(void);

/* Progress and notes go to `progress` and `notes`, each NULL where they are not wanted. SIGTERM and
 * SIGINT end the process as they would, but behind a checkpoint. ELMO_E_INVALID: asked for what the
 * model has not; the other errors leave the last checkpoint for --resume. */
ELMO_MUST_USE int embed_run(const struct embed_settings *settings, FILE *progress, FILE *notes,
                            struct elmo_error *err);

#pragma once
/* Artificial text for timing the trainer: words of 2 to 10 letters drawn by Zipf's law, in batches
 * with the sizes and lengths of real text (batches.h). It is the same every time. */
#include "train/maths/bilm_loss.h"

struct train_batches {
    size_t n_vocab, n_batches;
    struct elmo_token *vocabulary;   /* [n_vocab] */
    struct bilm_batch *batches;      /* [n_batches] */
    const struct elmo_token **words; /* [n_batches, most words of a batch] */
    uint32_t *positions, *vocab_ids; /* likewise */
    char *text;
};

/* Aborts if memory is short. */
void train_batches_init(struct train_batches *ret_batches, size_t n_vocab, size_t batch_tokens);
void train_batches_done(struct train_batches *batches);

/* Prints all batches as JSON, for other trainers: [{"steps": T, "sentences": B, "words": [...],
 * "vocab_ids": [...], "positions": [B * (T + 1)]}]. */
void train_batches_print(const struct train_batches *batches);

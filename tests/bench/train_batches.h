#pragma once
/* Made-up text for timing the trainer: words of 2 to 10 letters drawn by Zipf's law, in batches of
 * the sizes and lengths that batches.h makes of real text. The same every time. */
#include "train/maths/bilm_loss.h"

struct train_batches {
    size_t n_vocab, n_batches;
    struct elmo_token *vocabulary;   /* [n_vocab] */
    struct bilm_batch *batches;      /* [n_batches] */
    const struct elmo_token **words; /* [n_batches, most words of one] */
    uint32_t *positions, *vocab_ids; /* likewise */
    char *text;
};

/* Aborts where memory is short. */
void train_batches_init(struct train_batches *ret_batches, size_t n_vocab, size_t batch_tokens);
void train_batches_done(struct train_batches *batches);

/* All batches as JSON, for the same run elsewhere: [{"steps": T, "sentences": B, "words": [...],
 * "vocab_ids": [...], "positions": [B * (T + 1)]}]. */
void train_batches_print(const struct train_batches *batches);

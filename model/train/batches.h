#pragma once
/* A corpus as batches of segments of one length each: what bilm_loss runs on. Every token is in
 * exactly one segment of an epoch. A paragraph is split at sentence ends and regrouped: a quarter
 * of the segments are one sentence, the others whole sentences up to a drawn length, so that the
 * model sees short queries and long texts. Segments over 40 tokens are cut to a multiple of 8, the
 * rest flowing into the next, so that lengths coincide; none is longer than BATCHES_MAX_TOKENS.
 *
 * All of it depends on (corpus, seed, epoch) alone, so the position in the data is (epoch, index)
 * and resuming is batches_epoch(epoch), then going on at index. One thread at a time. */
#include "bilm_loss.h"
#include "corpus.h"

#define BATCHES_MAX_TOKENS 152u

struct segment {
    size_t begin;      /* into corpus->tokens */
    uint32_t n_tokens; /* 1..BATCHES_MAX_TOKENS */
};

struct batch_range { /* segments of one length */
    size_t begin, end;
};

struct batches {
    const struct corpus *corpus; /* borrowed */
    uint64_t seed;
    size_t batch_tokens;
    /* Of the epoch at hand: */
    size_t n_batches, n_segments;
    size_t n_small_batches;     /* with less than half of batch_tokens: rare lengths */
    struct batch_range *ranges; /* [n_batches] in the order of training */
    struct segment *segments;   /* [n_segments] by length */
    /* For all of them: */
    uint8_t *sentence_ends; /* a bit per token of the corpus: the last of its sentence */
    uint32_t *local_of;     /* [n_words] index in the batch being filled; WORD_NONE between */
    /* What bilm_batch points to: */
    uint32_t *positions, *vocab_ids;
    const struct elmo_token **words;
};

/* batch_tokens: predictions per direction and batch (a segment of n tokens has n + 1); a batch
 * holds as many segments as fit, at least one. The corpus must have its text. */
ELMO_MUST_USE int batches_init(struct batches *ret_batches, const struct corpus *corpus,
                               uint64_t seed, size_t batch_tokens, struct elmo_error *err);
void batches_done(struct batches *batches); /* {0} is fine */

/* Draws the segments of an epoch and shuffles its batches. */
ELMO_MUST_USE int batches_epoch(struct batches *batches, uint64_t epoch, struct elmo_error *err);
/* The one segmentation that held-out text is measured on, whatever the seed; by length, in order.
 */
ELMO_MUST_USE int batches_heldout(struct batches *batches, struct elmo_error *err);

/* Batch `index` < n_batches. What *ret_batch points to belongs to the batches and is valid until
 * the next call with them. Its tokens: n_sentences * (n_steps - 1). */
void batches_fill(struct batches *batches, size_t index, struct bilm_batch *ret_batch);

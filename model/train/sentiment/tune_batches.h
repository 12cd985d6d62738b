#pragma once
/* Labelled texts as batches of one length each, for tune_loss: a text is cut to a multiple of
 * TUNE_LENGTH_STEP tokens, at most TUNE_MAX_TOKENS, at a place drawn anew each epoch; texts of one
 * length are grouped, and the groups shuffled. All of it depends on (texts, seed, epoch) alone. One
 * thread at a time. */
#include "train/data/labelled.h"
#include "train/maths/tune_loss.h"

#define TUNE_LENGTH_STEP 16u
#define TUNE_MAX_TOKENS  400u

struct tune_text {
    struct elmo_token *tokens; /* owned */
    size_t n_tokens;
    uint32_t label;
};

struct tune_batches {
    struct tune_text *texts; /* [n_texts] without those that have no token */
    size_t n_texts, batch_tokens;
    /* Of the epoch at hand: */
    struct tune_cut {
        uint32_t text, begin, n_tokens;
    } * cuts; /* [n_texts] by length */
    struct tune_range {
        size_t begin, end;
    } * ranges; /* [n_batches] in the order of training */
    size_t n_batches;
    /* What the batch at hand points to: */
    struct arena arena;
};

ELMO_MUST_USE int tune_batches_init(struct tune_batches *ret_batches,
                                    const struct elmo_model *model,
                                    const struct labelled_text *items, size_t n_items,
                                    size_t batch_tokens, struct elmo_error *err);
void tune_batches_done(struct tune_batches *batches); /* {0} is fine */

/* Draws the cuts and the order of an epoch. */
void tune_batches_epoch(struct tune_batches *batches, uint64_t seed, uint64_t epoch);

struct tune_filled { /* belongs to the batches, until the next fill */
    struct bilm_batch texts;
    const uint32_t *labels;
};

/* Batch `index` < n_batches. false: out of memory. */
bool tune_batches_fill(struct tune_batches *batches, size_t index, struct tune_filled *ret_batch);

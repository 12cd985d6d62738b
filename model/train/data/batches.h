#pragma once
/* A corpus as batches of segments of one length each: what bilm_loss runs on. Every token is in
 * exactly one segment of an epoch, unless its file has a weight. A paragraph is split at sentence
 * ends and regrouped: a quarter of the segments are one sentence, the others whole sentences up to
 * a drawn length, so that the model sees short queries and long texts. Segments over 40 tokens are
 * cut to a multiple of 8, the rest flowing into the next, so that lengths coincide; none is longer
 * than BATCHES_MAX_TOKENS.
 *
 * The weight of a file says how often an epoch takes each of its lines: 2 is twice, cut into other
 * segments each time; 0.5 is a random half of the lines, the other half in the next epoch; 2.5 is
 * twice, and one half a third time. In general, E epochs take each line E * weight times, rounded
 * up or down.
 *
 * The size of the batches may change within an epoch: batches_resize() regroups the segments that
 * are not taken yet. The part of an epoch with batches of one size is a stage. The batches depend
 * only on (corpus, weights, seed, epoch, sizes of its stages, batches taken in each stage): a
 * position holds the last three, and batches_seek() goes on from it with the same batches. One
 * thread at a time. */
#include "corpus.h"
#include "train/maths/bilm_loss.h"

#define BATCHES_MAX_TOKENS 152u
#define BATCHES_MAX_STAGES 16u /* of an epoch: its first size and 15 changes */

struct segment {
    size_t begin;      /* into corpus->tokens */
    uint32_t n_tokens; /* 1..BATCHES_MAX_TOKENS */
};

struct batch_range { /* segments of one length */
    size_t begin, end;
};

struct batches_stage {
    size_t batch_tokens;
    size_t n_taken; /* batches of this stage, skipped ones included */
};

/* What a checkpoint stores. It says which batches are taken; the next one follows from it. */
struct batches_position {
    uint64_t epoch;
    size_t n_stages; /* 1..BATCHES_MAX_STAGES; the last is the current one */
    struct batches_stage stages[BATCHES_MAX_STAGES];
};

struct batches {
    const struct corpus *corpus; /* borrowed */
    double *weights;             /* [corpus->n_parts] what a checkpoint stores to compare */
    uint64_t seed;
    size_t most_batch_tokens;
    struct batches_position position; /* read it at any time; only the functions below change it */
    /* Of the current epoch: predictions per direction, in all batches and in those taken. */
    uint64_t n_predictions, n_taken_predictions;
    /* Of the current stage: */
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

/* weights: [corpus->n_parts], copied; NULL: each is 1. A weight that is not corpus_is_weight() is
 * ELMO_E_INVALID. most_batch_tokens: the largest batch_tokens that the functions below will be
 * given. The corpus must have its text. There are no batches before batches_epoch, batches_heldout
 * or batches_seek.
 */
ELMO_MUST_USE int batches_init(struct batches *ret_batches, const struct corpus *corpus,
                               const double *weights, uint64_t seed, size_t most_batch_tokens,
                               struct elmo_error *err);
void batches_done(struct batches *batches); /* {0} is fine */

/* The next four leave the batches as they were when they fail, batches_seek excepted.
 * batch_tokens, 1..most_batch_tokens (else ELMO_E_INVALID): predictions per direction and batch (a
 * segment of n tokens has n + 1); a batch holds as many segments as fit, at least one. */

/* Draws the segments of an epoch and shuffles its batches. ELMO_E_INVALID: the weights are so small
 * that the epoch has no line. */
ELMO_MUST_USE int batches_epoch(struct batches *batches, uint64_t epoch, size_t batch_tokens,
                                struct elmo_error *err);
/* The one segmentation that held-out text is measured on, whatever the seed and the weights: each
 * line once; by length, in order. */
ELMO_MUST_USE int batches_heldout(struct batches *batches, size_t batch_tokens,
                                  struct elmo_error *err);
/* Makes the batches that are left of the epoch into batches of another size and shuffles them: a
 * new stage. The size that they have already changes nothing. ELMO_E_INVALID: the epoch has
 * BATCHES_MAX_STAGES stages. */
ELMO_MUST_USE int batches_resize(struct batches *batches, size_t batch_tokens,
                                 struct elmo_error *err);
/* Goes to a position that batches of the same corpus, weights and seed had. Costs an epoch's
 * drawing and its resizes, whatever the number of batches taken. ELMO_E_INVALID: they cannot have
 * had it; the batches are then at some other position. */
ELMO_MUST_USE int batches_seek(struct batches *batches, const struct batches_position *position,
                               struct elmo_error *err);

/* The current stage's size. */
static inline size_t batches_size(const struct batches *batches)
{
    return batches->position.stages[batches->position.n_stages - 1].batch_tokens;
}

/* Batches of the current stage that are not taken: 0 at the end of the epoch. */
static inline size_t batches_left(const struct batches *batches)
{
    return batches->n_batches - batches->position.stages[batches->position.n_stages - 1].n_taken;
}

/* 0..1 of the epoch's predictions that are in the batches taken. */
double batches_taken_share(const struct batches *batches);

/* Takes the next batch of the epoch; false: none is left. What *ret_batch points to belongs to the
 * batches and is valid until the next call with them. Its predictions per direction: n_sentences *
 * n_steps. */
ELMO_MUST_USE bool batches_take(struct batches *batches, struct bilm_batch *ret_batch);

/* Takes at most n batches of the epoch without filling them, which costs next to nothing; returns
 * how many were left to take. So rank r of n trains on its share: it skips r batches, takes one and
 * skips n - 1 - r. All ranks have the same batches, position and batches_left(), and each batch is
 * one rank's; fewer than n left is a last round that not all of them have a batch in. */
size_t batches_skip(struct batches *batches, size_t n);

/* Batch `index` < n_batches of the stage, wherever the position is; the position stays. *ret_batch
 * as above. */
void batches_fill(struct batches *batches, size_t index, struct bilm_batch *ret_batch);

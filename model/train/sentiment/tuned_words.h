#pragma once
/* The vectors of words as fine-tuning learns them: those that occur often enough in the texts begin
 * where the token encoder puts them and are then trained one by one; the others stay as the
 * encoder, which is frozen, spells them. They become the new model's lexicon (lexicon.h). Adam is
 * sparse: only the words of a batch move, each with the moments it had when it last did. One caller
 * at a time. */
#include "inference/model.h"
#include "tune_batches.h"

struct tuned_words {
    const struct elmo_model *model; /* borrowed: the token encoder */
    struct word_table words;        /* marks, the model's own lexicon, then by first appearance */
    float *vectors;                 /* [words.n_items, P] owned, as the rest: */
    float *first, *second;          /* moments, the same shape */
    uint64_t n_steps;
    struct arena arena;
};

/* The words that stand at least min_count times in the texts, and those of the model's lexicon. */
ELMO_MUST_USE int tuned_words_init(struct tuned_words *ret_words, const struct elmo_model *model,
                                   const struct tune_text *texts, size_t n_texts, size_t min_count,
                                   struct elmo_error *err);
void tuned_words_done(struct tuned_words *words); /* {0} is fine */
/* Frees all but the words and their vectors: no more steps. */
void tuned_words_finish(struct tuned_words *words);

/* vectors [n, P] of a batch's words; rows [n] is what each is among the tuned, WORD_NONE if it is
 * not. false: out of memory. */
bool tuned_words_gather(struct tuned_words *words, float *vectors, uint32_t *rows,
                        const struct elmo_token *const *tokens, size_t n);
/* Dropout of whole words (Gal and Ghahramani 2016, arXiv:1512.05287): each of the n rows of x [n,
 * P] becomes 0 with probability `dropout` and grows by 1 / (1 - dropout) else. The same seed drops
 * the same rows, so that a gradient passes where its vector did. */
void tuned_words_drop(float *x, size_t n, size_t P, double dropout, uint64_t seed);
/* One step of Adam on those rows with gradients [n, P]. */
void tuned_words_step(struct tuned_words *words, const uint32_t *rows, const float *gradients,
                      size_t n, double learning_rate);

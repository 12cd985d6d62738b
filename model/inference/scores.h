#pragma once
/* Which words a sentence's positions predict: its rows of the language model's softmax are, for
 * each direction whose scores are asked for, the forward one first, those of the positions that it
 * reads before its last one, in the order in which it reads (bilstm.h: predictors). Pure. */
#include "language_model.h"

size_t scores_rows(const struct elmo_sentence *sentence); /* 0: none are asked for */

/* words [scores_rows()] that the rows predict. */
void scores_words(uint32_t *words, const struct elmo_sentence *sentence,
                  const struct language_model *lm);
/* The rows' scores [scores_rows()] to log_probs, where a token's place is that in the text. */
void scores_hand_out(const struct elmo_sentence *sentence, const float *scores);

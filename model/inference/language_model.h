#pragma once
/* Log-probabilities of words by the full softmax over the language model's vocabulary: logits of a
 * position are w h + b, with h [P] what the top LSTM layer of one direction says there; both
 * directions share w and b (Peters et al. 2018, section 3.1). The matrix is packed by blocks of
 * words in the type that the LSTMs compute in, and a few rows meet one block after the other, so
 * that the logits of a whole text are never there at once.
 *
 * Immutable once open, any thread. */
#include "file/safetensors.h"
#include "util/arena.h"
#include "util/team.h"
#include "weights.h"

struct language_model;

/* Reads a file that elmo-train export --softmax wrote, for the model in `bilm` with outputs of P
 * floats a direction. ELMO_E_FORMAT names what is wrong with it, ELMO_E_INVALID: it belongs to
 * another biLM; both name the path. */
ELMO_MUST_USE int language_model_open(struct language_model **ret_lm, const char *path,
                                      const struct safetensors *bilm, size_t P,
                                      const struct compute *how, struct elmo_error *err);
void language_model_free(struct language_model *lm); /* NULL is fine */

size_t language_model_n_words(const struct language_model *lm); /* V; of NULL 0 */
/* The row of a word; VOCAB_UNKNOWN where it has none. */
uint32_t language_model_row(const struct language_model *lm, const struct elmo_token *word);

/* log_probs[k] = log softmax(w x_k + b)[words[k]], of n rows x [n, P]: the same bits whatever rows
 * are beside one, and whatever the subteam's size, which shares the blocks of words. Scratch comes
 * from the arena and grows with the vocabulary, not with n. ELMO_E_NOMEM is the only failure; what
 * is not finite shows in log_probs. */
ELMO_MUST_USE int language_model_score(float *log_probs, const struct language_model *lm,
                                       const float *x, const uint32_t *words, size_t n,
                                       const struct subteam *subteam, struct arena *arena);

#pragma once
/* Layer 0 of a model: a word of its lexicon has a vector of its own, which fine-tuning gave it;
 * every other token is spelt by the token encoder. Most models have no lexicon. */
#include "model.h"
#include "util/arena.h"
#include "util/team.h"

/* ret_vectors [n_tokens, P] of tokens [n_tokens]. Scratch comes from the arena; ELMO_E_NOMEM is the
 * only failure. Any thread, each with its arena. */
ELMO_MUST_USE int lexicon_encode(float *ret_vectors, const struct elmo_token *const *tokens,
                                 size_t n_tokens, const struct elmo_model *model,
                                 const struct subteam *subteam, struct arena *arena);

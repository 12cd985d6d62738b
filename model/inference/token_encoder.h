#pragma once
/* The context-free half of the model (README.md, section 4; Kim et al. 2016, arXiv:1508.06615):
 * characters -> convolution and max-pool over time -> highways -> projection. One vector per token,
 * the same at every place of the token. */
#include "elmo.h"
#include "file/options.h"
#include "util/arena.h"
#include "util/team.h"
#include "weights.h"

/* ret_vectors [n_tokens, P] of tokens [n_tokens]. The subteam's threads share the columns. Scratch
 * comes from the arena; ELMO_E_NOMEM is the only failure. Work per token grows with its own bytes:
 * windows of nothing but padding are computed once each. */
ELMO_MUST_USE int token_encoder_run(float *ret_vectors, const struct elmo_token *const *tokens,
                                    size_t n_tokens, const struct options *options,
                                    const struct weights *weights, const struct subteam *subteam,
                                    struct arena *arena);

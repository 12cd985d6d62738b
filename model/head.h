#pragma once
/* The sentiment head: scalar mix, or all layers side by side -> pool -> dense, relu -> dense (+ the
 * weights of the text's n-grams) -> sigmoid or softmax. */
#include "arena.h"
#include "model.h"

struct head_text {
    const float *const *layers; /* [1 + L]: [0] is [T, P], the others [T, 2P] */
    const struct elmo_token *tokens;
    size_t n_tokens; /* T */
};

/* probabilities [n_labels]. `mixed` [T, 2P] and `shares` [1 + L] are scratch. ELMO_E_NOMEM is the
 * only failure. */
ELMO_MUST_USE int head_run(float *probabilities, const struct elmo_model *model,
                           const struct head_text *text, float *mixed, float *shares,
                           struct arena *arena);

/* What dense_1 gets, [input_dim]: the trainer of heads reads it too. */
void head_pool(float *pooled, const struct elmo_model *model, const struct head_text *text,
               float *mixed, float *shares);

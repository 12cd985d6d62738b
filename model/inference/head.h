#pragma once
/* The sentiment head: scalar mix, or all layers side by side -> pool -> dense, relu -> dense (+ the
 * weights of the text's n-grams) -> sigmoid or softmax. */
#include "model.h"
#include "util/arena.h"

struct head_text {
    const float *const *layers; /* [1 + L]: [0] is [T, P], the others [T, 2P] */
    const struct elmo_token *tokens;
    size_t n_tokens; /* T */
};

struct head_pass {              /* what the head has computed of a text; in the arena */
    const float *mixed;         /* [T, 2P] where it pools the mix */
    const float *pooled;        /* [input] */
    const float *units;         /* [hidden] before the relu */
    const float *logits;        /* [output] */
    const float *probabilities; /* [n_labels] */
};

/* `mixed` [T, 2P] and `shares` [1 + L] are scratch. ELMO_E_NOMEM is the only failure. */
ELMO_MUST_USE int head_run(struct head_pass *ret_pass, const struct elmo_model *model,
                           const struct head_text *text, float *mixed, float *shares,
                           struct arena *arena);

/* The part of logits [output] that comes from units [hidden]; `open` [hidden] is scratch. */
void head_logits_of_units(float *logits, const float *units, float *open,
                          const struct head_weights *head);

/* What dense_1 gets, [input_dim]: the trainer of heads reads it too. */
void head_pool(float *pooled, const struct elmo_model *model, const struct head_text *text,
               float *mixed, float *shares);

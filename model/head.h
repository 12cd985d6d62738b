#pragma once
/* The sentiment head: scalar mix -> pool -> dense, relu -> dense -> sigmoid or softmax. */
#include "arena.h"
#include "model.h"

/* probabilities [n_labels] from the pooled mix [input_dim]. ELMO_E_NOMEM is the only failure. */
ELMO_MUST_USE int head_run(float *probabilities, const float *pooled,
                           const struct head_weights *head, struct arena *arena);

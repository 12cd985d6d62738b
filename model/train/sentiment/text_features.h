#pragma once
/* Frozen features: each text as the pooled layers of the biLM, worked out once, so that a head can
 * be trained on them in seconds. A row is the means over the text's tokens of all representations
 * side by side (x P, layer 1 2P, .., layer L 2P), then their maxima: what a head with the input
 * "layers" and the pooling "mean_max" reads (model_file.h). */
#include "bulk_run.h"

struct text_features {
    float *rows; /* [n_rows, dim], owned */
    size_t n_rows, dim;
    size_t half; /* dim / 2: the means; head_pooled_dim of all layers */
};

/* Of the items, in their order. `progress` may be NULL. */
ELMO_MUST_USE int text_features_init(struct text_features *ret_features,
                                     const struct elmo_model *model,
                                     const struct labelled_text *items, size_t n_items,
                                     struct team *team, struct progress *progress,
                                     struct elmo_error *err);
void text_features_done(struct text_features *features); /* {0} is fine */

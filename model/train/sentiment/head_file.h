#pragma once
/* A model file with a new sentiment head: all tensors of the biLM as they lie in the model it was
 * trained on (or new ones and a lexicon, where they were tuned too), the head's in float32, its
 * table of n-grams in bf16. It takes the place of an older file only once elmod could open it. */
#include "elmo.h"
#include "finetune.h"
#include "ngram_model.h"

struct trained_head { /* borrowed */
    struct head_shape shape;
    const char *pooling;                  /* "mean" or "mean_max" */
    const float *mix_weights, *mix_gamma; /* [1 + L], [1]; of the input "mix" */
    const float *w1, *b1, *w2, *b2;       /* as struct head_params */
    const float *ngrams;                  /* [shape.n_ngram_rows, output], or NULL */
    size_t ngram_order;
    const char *const *labels; /* [n_labels] */
    size_t n_labels;
};

/* tuned: NULL: the biLM and the lexicon, if any, are those of the model. name: NULL: the model's.
 * provenance: JSON object text. head: NULL: none. */
struct head_file {
    const char *model, *out; /* paths; may be the same */
    const char *name, *provenance;
    const struct finetuned *tuned;
    const struct trained_head *head;
};

/* Whether head_file_write can write what such a model becomes when it is tuned: to be told before
 * the work. ELMO_E_INVALID: it has tensors of another type than f32 or bf16. */
ELMO_MUST_USE int head_file_check_tunable(const char *model, struct elmo_error *err);

ELMO_MUST_USE int head_file_write(const struct head_file *file, struct elmo_error *err);

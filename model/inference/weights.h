#pragma once
/* The tensors of a model file, checked against tensor_specs.h: matrices packed in the type
 * that is computed in, convolutions as tables, all else as float32 arrays, where they lie in the
 * file or, of bf16 and f16, widened at load. Immutable afterwards. */
#include "file/options.h"
#include "file/safetensors.h"
#include "kernels/char_table.h"
#include "kernels/packed.h"
#include "tensor_specs.h"

struct conv_weights {
    struct char_table table;
    const float *bias; /* [n_filters] */
};

struct highway_weights {
    struct packed_matrix carry, transform; /* [F, F] */
    const float *b_carry, *b_transform;    /* [F] */
};

struct lstm_weights {
    struct packed_matrix input, recurrent; /* [P, 4C] gates */
    struct packed_matrix projection;       /* [C, P]; n_out 0 where C == P and there is none */
    const float *bias;                     /* [packed_gate_floats(C)]; the forget bias is in it */
};

struct head_weights {
    bool present;
    struct head_shape shape;
    const float *mix_weights; /* [1 + L] logits; NULL where all layers are pooled */
    float mix_gamma;
    const float *dense_1_kernel, *dense_1_bias; /* [input, hidden], [hidden] */
    const float *dense_2_kernel, *dense_2_bias; /* [hidden, output], [output] */
    const float *ngrams;                        /* [n_ngram_rows, output], or NULL */
    size_t ngram_order;
};

struct weights {
    struct conv_weights conv[OPTIONS_MAX_FILTERS];
    struct highway_weights *highway; /* [n_highway], owned */
    struct packed_matrix projection; /* [F, P] */
    const float *b_proj;             /* [P]; NULL where F == P and there are neither */
    struct lstm_weights *lstm[2];    /* [direction][L], owned */
    const float *lexicon;            /* [n_lexicon, P]; NULL: none */
    size_t n_lexicon;
    struct head_weights head;
    float *widened;        /* owned: what is not float32 in the file */
    unsigned char *packed; /* owned: the matrices */
    size_t n_parameters;
    const char *dtype; /* "f32", "bf16", "f16": of the largest part of the file; static */
};

struct compute {
    const struct lane_tile *tile;
    enum elmo_dtype dtype;
};

/* `file` must outlive the weights. On failure *ret_weights still
 * needs weights_done. */
ELMO_MUST_USE int weights_init(struct weights *ret_weights, const struct options *options,
                               const struct safetensors *file, const struct compute *how,
                               struct elmo_error *err);
void weights_done(struct weights *weights);

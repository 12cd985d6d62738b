#pragma once
/* Every tensor a model may hold: its name and its shape, worked out from the options. The loader,
 * the converter and the tests all read this one list, so that they cannot disagree.
 *
 * The biLM's tensors have bilm-tf's HDF5 paths as names (README.md, section 2); the sentiment
 * head's are under "sentiment/". */
#include "defs.h"
#include "elmo.h"
#include "file/options.h"

#define TENSOR_NAME_MAX 96
#define TENSOR_MAX_DIMS 4

struct tensor_spec {
    char name[TENSOR_NAME_MAX];
    size_t n_dims;
    size_t dims[TENSOR_MAX_DIMS];
    bool optional; /* may be absent: W_proj and b_proj iff F == P, W_P_0 iff C == P */
};

struct tensor_specs {
    struct tensor_spec *items; /* owned */
    size_t n_items;
};

/* Sizes of the sentiment head; read from the shapes of its dense layers. */
struct head_shape {
    size_t input_dim; /* of what is pooled, twice that where it pools mean_max */
    size_t hidden_dim;
    size_t output_dim;   /* 1: sigmoid, two labels; n > 1: softmax, n labels */
    bool all_layers;     /* pools all layers side by side, and has no mix */
    size_t n_ngram_rows; /* of its table of n-grams; 0: it has none */
};

/* The biLM's tensors, and the head's where `head` is not NULL. tensor_specs_done frees them. */
ELMO_MUST_USE int tensor_specs_init(struct tensor_specs *ret_specs, const struct options *options,
                                    const struct head_shape *head, struct elmo_error *err);
/* Appends the lexicon's vectors. */
ELMO_MUST_USE int tensor_specs_add_lexicon(struct tensor_specs *specs, size_t n_words,
                                           const struct options *options, struct elmo_error *err);
/* Floats per token of what the head pools: 2P for the mix, P + L * 2P for all layers. */
size_t head_pooled_dim(const struct options *options, bool all_layers);
void tensor_specs_done(struct tensor_specs *specs);

/* Is it stored as bf16 in a file of that dtype? Rounding biases and the few characters' vectors
 * would save nothing and double the error of layer 0: they stay float32. */
bool tensor_spec_is_rounded(const struct tensor_spec *spec);

#pragma once
/* Which vectors of a sentence are wanted and how they lie in memory: one after the other, each
 * row-major, in float32. Immutable once made, any thread. */
#include "defs.h"
#include "elmo.h"
#include "file/options.h"

#define LAYOUT_MAX_OUTPUTS (OPTIONS_MAX_LAYERS + 3)
#define LAYOUT_MAX_DIMS    3

enum layout_kind {
    LAYOUT_ALL,   /* [1 + L, T, 2P]: every layer, layer 0 twice in each row, as AllenNLP has it */
    LAYOUT_LAYER, /* [T, P] for layer 0, [T, 2P] above */
    LAYOUT_MIX,   /* [T, 2P]: the mean of the layers */
    LAYOUT_POOLED /* [2P]: the mean of that over the tokens */
};

struct layout_output {
    char name[24];
    enum layout_kind kind;
    size_t layer; /* of LAYOUT_LAYER */
};

struct layout {
    struct layout_output outputs[LAYOUT_MAX_OUTPUTS];
    size_t n_outputs;
    bool named; /* they were asked for by the names that the service has for them */
    size_t n_layers, token_dim, layer_dim; /* L, P, 2P */
};

/* what: "all", "top" or "average" as AllenNLP's command has them, or names of the service's outputs
 * with commas between: word_emb, lstm_outputs1 to L, elmo, default. ELMO_E_INVALID where one is not
 * known, not of this model, or there twice. */
ELMO_MUST_USE int layout_init(struct layout *ret_layout, const char *what,
                              const struct elmo_model_info *info, struct elmo_error *err);

/* The shape of output k of a sentence; returns the number of dimensions. */
size_t layout_shape(const struct layout *layout, size_t k, size_t n_tokens,
                    size_t ret_dims[static LAYOUT_MAX_DIMS]);
/* How many floats that are; of all outputs together. */
size_t layout_output_floats(const struct layout *layout, size_t k, size_t n_tokens);
size_t layout_sentence_floats(const struct layout *layout, size_t n_tokens);

/* Points the sentence, whose n_tokens are set, at `values` [layout_sentence_floats], by way of
 * `layers` [1 + L], which must stay where it is until the sentence has run. */
void layout_attach(const struct layout *layout, float *values, float **layers,
                   struct elmo_sentence *sentence);
/* Call when it has run: only now every value is where it belongs. */
void layout_finish(const struct layout *layout, float *values, size_t n_tokens);

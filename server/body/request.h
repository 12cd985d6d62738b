#pragma once
/* Parses and checks the JSON bodies of requests. The result is a struct with tokens, or a problem
 * that names every wrong place. Pure: no I/O, no clock, no state; any thread.
 *
 * Texts are tokenised here, so that the queue can count tokens and a request that is too large is
 * refused at once. Tokens point into the strings of the parsed body: no text is copied. */
#include "defs.h"
#include "elmo.h"
#include "protocol/problem.h"
#include "word_vectors.h"

enum request_kind {
    REQUEST_EMBED = 1,
    REQUEST_SENTIMENT = 2,
    REQUEST_TOKENIZE = 4,
    REQUEST_SCORE = 8,
    REQUEST_OPENAI = 16, /* POST /v1/embeddings */
    REQUEST_OIP = 32,    /* POST /v2/models/{model}/infer */
};

struct request_limits {
    size_t max_inputs;
    size_t max_tokens;         /* of one input */
    size_t max_request_tokens; /* of all inputs, after truncation */
    /* Makes the outputs of word vectors available; NULL: there are none. */
    const struct word_vectors *word_vectors;
};

struct request_input {
    const char *text;          /* NULL if the input was sent as tokens */
    struct elmo_token *tokens; /* [n_tokens], owned; NULL if there are none */
    size_t n_tokens;
    bool truncated;
};

enum request_offsets { OFFSETS_NONE, OFFSETS_BYTES, OFFSETS_CODEPOINTS, OFFSETS_UTF16 };

struct request {
    struct json_t *body; /* owned: everything below points into its strings */
    enum request_kind kind;
    struct request_input *inputs; /* [n_inputs], owned */
    size_t n_inputs;
    size_t n_tokens; /* of all inputs */
    bool truncate;
    size_t max_tokens; /* per input: the smaller of request and limit */
    enum request_offsets offsets;
    bool probabilities; /* of the sentiment head */
    bool attributions;  /* of the logit to the tokens */
    bool log_probs;     /* of the language model */
    const char *id; /* of the Open Inference Protocol, repeated in the answer; borrowed, or NULL */
    /* Vectors. */
    bool *layers; /* [1 + L], owned: the requested layers */
    bool elmo, pooled;
    bool word_vec, word_vec_elmo;
    const struct word_vectors *word_vectors; /* for the last two outputs; borrowed, or NULL */
    bool has_mix;
    struct elmo_mix mix;
    float *mix_weights; /* [1 + L], owned; mix.weights is this or NULL */
    enum elmo_pooling pooling;
    bool normalize;
    bool base64;
};

/* Parses a body of this kind for this model. False: *problem is set (also if memory ran out), and
 * *ret_request is untouched. */
ELMO_MUST_USE bool request_parse(struct request **ret_request, enum request_kind kind,
                                 const char *body, size_t n_bytes, const struct elmo_model *model,
                                 const struct request_limits *limits, struct problem *problem);
void request_free(struct request *request); /* NULL is fine */
DEFINE_AUTO(request_free, struct request *);

/* The outputs of /embed by number: the layers are 0 to L, the others follow as L + one of these.
 * Those from OUTPUT_WORD_VEC on need word vectors. */
enum output { OUTPUT_ELMO = 1, OUTPUT_DEFAULT, OUTPUT_WORD_VEC, OUTPUT_WORD_VEC_ELMO };
#define N_OUTPUTS_AFTER_LAYERS OUTPUT_WORD_VEC_ELMO

/* The name of an output of a model with L = n_layers: "word_emb" for layer 0, "lstm_outputs12",
 * "elmo", ... The name of a layer is written to `layer`; the others are static. */
#define LAYER_NAME_MAX 40
const char *request_output_name(size_t output, size_t n_layers, char layer[static LAYER_NAME_MAX]);

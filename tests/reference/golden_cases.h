#pragma once
/* The golden cases of tests/golden: which models, which odd sentences, what is asked of them. Both
 * the generator and the test read this one list. A case is one sentence asked of one model; its
 * tensors in the file of expected values are named "SENTENCE/layer_K", "SENTENCE/elmo",
 * "SENTENCE/pooled", "SENTENCE/probabilities" and "SENTENCE/final_state"; empty ones are left out.
 */
#include "naive.h"
#include "random_model.h"

struct golden_model {
    const char *name; /* of its files: NAME.safetensors and NAME.expected.safetensors */
    uint64_t seed;
    struct options options;
    bool optional_tensors;
    bool has_head;
    struct head_shape head;
    enum elmo_pooling head_pooling;
};

extern const struct golden_model golden_models[];
extern const size_t n_golden_models;

#define GOLDEN_MAX_TOKENS 8

struct golden_sentence {
    const char *name;
    size_t n_tokens;
    struct elmo_token tokens[GOLDEN_MAX_TOKENS];
};

extern const struct golden_sentence golden_sentences[];
extern const size_t n_golden_sentences;

/* What is asked of golden_sentences[index]: everything, with another mix, pooling and initial state
 * from sentence to sentence. Outputs are left NULL. */
struct golden_request {
    struct elmo_mix mix;
    float mix_weights[1 + OPTIONS_MAX_LAYERS];
    float *initial_state; /* owned: golden_request_done */
    struct elmo_sentence sentence;
};
void golden_request_init(struct golden_request *ret_request, size_t index,
                         const struct options *options);
void golden_request_done(struct golden_request *request);

/* Adds what the naive reference says of every sentence. */
void golden_expect(struct tensor_set *expected, const struct naive_model *model, bool has_head,
                   enum elmo_pooling head_pooling);

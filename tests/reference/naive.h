#pragma once
/* The naive reference: ELMo's equations, written down one by one in double precision, slow and in
 * the open. It exists to be read beside the papers and to be compared with: it shares no arithmetic
 * with model/, trims nothing, batches nothing and uses no BLAS.
 *
 *   Kim, Jernite, Sontag, Rush 2016, "Character-aware neural language models", arXiv:1508.06615
 *   Sak, Senior, Beaufays 2014, "Long short-term memory based recurrent neural network
 *     architectures for large vocabulary speech recognition", arXiv:1402.1128
 *   Srivastava, Greff, Schmidhuber 2015, "Highway networks", arXiv:1505.00387
 *   Jozefowicz et al. 2016, "Exploring the limits of language modeling", arXiv:1602.02410
 *   Peters et al. 2018, "Deep contextualized word representations", arXiv:1802.05365
 *
 * A tool of the tests: when memory is short it ends the program. Pure, any thread. */
#include "elmo.h"
#include "file/options.h"
#include "tensor_set.h"

struct naive_model { /* borrows everything */
    const struct options *options;
    const struct tensor_set *weights; /* by the names of tensor_specs.h */
};

struct naive_sentence { /* owned: naive_sentence_done */
    size_t n_tokens;
    double *layers[1 + OPTIONS_MAX_LAYERS]; /* [0]: [n_tokens, P], others: [n_tokens, 2P] */
    double *final_state;                    /* [direction][layer][h P, c C] */
    double *
        predictors[2]; /* [n_tokens + 1, P]: what the top layer of a direction says at the positions
                          that it reads before its last one, in the order in which it reads */
    size_t n_cells_clipped; /* over all positions, <S> and </S> too: says that clips were reached */
    size_t n_outputs_clipped;
};

/* All layers of one sentence; initial_state is laid out as final_state, NULL: zeros. */
void naive_run(struct naive_sentence *ret_sentence, const struct naive_model *model,
               const struct elmo_token *tokens, size_t n_tokens, const double *initial_state);
void naive_sentence_done(struct naive_sentence *sentence);

/* The scalar mix of the layers, [n_tokens, 2P]; mix as elmo_sentence.mix. Caller frees. */
double *naive_mix(const struct naive_model *model, const struct naive_sentence *sentence,
                  const struct elmo_mix *mix);
/* The mix over the tokens, [2P] or [4P]. Caller frees. */
double *naive_pool(const struct naive_model *model, const double *mixed, size_t n_tokens,
                   enum elmo_pooling pooling, bool l2_normalize);
struct naive_head { /* what the file's metadata says of the head */
    enum elmo_pooling pooling;
    bool all_layers;    /* pools all layers side by side instead of their mix */
    size_t ngram_order; /* 0: no n-grams */
};

/* The head's outputs, [n_outputs], of the layers in `sentence`; tokens NULL: without its n-grams.
 * Caller frees. */
double *naive_logits(const struct naive_model *model, const struct naive_sentence *sentence,
                     const struct elmo_token *tokens, const struct naive_head *head,
                     size_t *ret_n_outputs);

/* The sentiment head's probabilities, [n_labels]; `tokens` [n_tokens] are the sentence's. Caller
 * frees. */
double *naive_sentiment(const struct naive_model *model, const struct naive_sentence *sentence,
                        const struct elmo_token *tokens, const struct naive_head *head,
                        size_t *ret_n_labels);

/* The row of an n-gram in a table of n_rows. */
size_t naive_ngram_row(const struct elmo_token *tokens, size_t order, size_t n_rows);

/* ---- naive_scores.c ---- */

/* log softmax(w h + b)[words[t]] of a direction's predictors, as elmo.h orders log_probs: words
 * [n_tokens + 1] are the tokens' rows in the text's order, and the end's; w [V, P]. Caller frees.
 */
double *naive_log_probs(const struct naive_model *model, const struct naive_sentence *sentence,
                        unsigned direction, const size_t *words, const float *w, const float *b,
                        size_t V);

/* Attributions, the bias and the logit, [n_tokens + 2], by quadrature: the head as a black box, on
 * n_steps points of the way from zero vectors to the real ones, and at each its derivative in the
 * direction of each token's vectors, by central differences. These give two tokens that share a
 * maximum half of it each, but three of them too: NULL where there are such. Caller frees. */
double *naive_attributions(const struct naive_model *model, const struct naive_sentence *sentence,
                           const struct elmo_token *tokens, const struct naive_head *head,
                           size_t n_steps);

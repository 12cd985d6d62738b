#pragma once
/* The biLM objective of one batch (Peters et al. 2018, section 3.1): the forward LSTMs predict
 * every next token, the backward ones every previous one, over shared token encoder and softmax.
 * All sentences of a batch have the same number of tokens and start from the zero state, as in
 * serving. */
#include <stdint.h>

#include "net.h"
#include "util/team.h"
#include "word_vectors.h"

struct bilm_batch {            /* borrowed */
    size_t n_sentences;        /* B */
    size_t n_steps;            /* T: tokens + 1 predictions per direction and sentence */
    const uint32_t *positions; /* [B, T + 1] words of <S>, the tokens, </S> */
    const struct elmo_token *const *words; /* [n_words] distinct */
    const uint32_t *vocab_ids;             /* [n_words] what the softmax calls them */
    size_t n_words;
};

struct bilm_settings {
    size_t n_samples;   /* of the sampled softmax */
    double dropout;     /* of every LSTM layer's input and of the top output */
    uint64_t step_seed; /* the samples of this batch depend on nothing else */
    uint64_t rank;      /* of the process: the dropout depends on it and the step_seed */
    const struct word_vectors *word_vectors; /* targets of word_vector_loss.h, of the net's
                                                word_vectors_dim; NULL: none */
    double word_vectors_weight;              /* 0: none */
};

struct bilm_result {
    size_t n_predictions; /* per direction, of the batch */
    double loss[2];       /* per direction: mean -log p of the sampled softmax, nats */
    double word_vectors_loss;
    /* Gradients of the mean over both directions, plus word_vectors_loss; they belong to the
     * trainer until its next call.
     */
    const uint32_t *softmax_ids; /* [n_softmax_rows] rows of the softmax that have one, distinct:
                                    the samples, then the batch's other words */
    const real *softmax_dw, *softmax_db; /* [n_softmax_rows, P], [n_softmax_rows] */
    size_t n_softmax_rows, n_samples;
};

struct bilm_loss; /* scratch; one caller at a time */

ELMO_MUST_USE int bilm_loss_new(struct bilm_loss **ret_loss, const struct net *net,
                                struct team *team, struct elmo_error *err);
void bilm_loss_free(struct bilm_loss *loss); /* NULL is fine */

/* Loss and gradients of a batch: values [net_size()], dense_gradients [net->n_dense] overwritten.
 */
ELMO_MUST_USE int bilm_loss_run(struct bilm_loss *loss, struct bilm_result *ret_result,
                                real *dense_gradients, real *values, const struct bilm_batch *batch,
                                const struct bilm_settings *settings, struct elmo_error *err);

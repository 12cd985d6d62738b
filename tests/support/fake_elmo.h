#pragma once
/* A fake of the model in include/elmo.h, linked instead of it into tests of the server's modules:
 * 2 layers, P = 2, two labels, texts split at single spaces. Its outputs follow from the tokens, so
 * that tests can see which sentence they belong to:
 *
 *     word_emb[t]  = {bytes of token t, t}
 *     layer k[t]   = {k, t, bytes of token t, mark}; elmo[t] is the same with k = 9
 *     pooled       = {n_tokens, pooling, mark, 0, ...}; probabilities = {1 - p, p} with
 *                    p = 1 / (1 + n_tokens)
 *     attributions = bytes of each token, then -1 (the bias), then -2 (the logit)
 *     log_probs[d] = -(t + 1) of token t forward, 10 less backward; at the end -0.5, -10.5
 *
 * Scores of the language model cost 3 more per position. Its vocabulary has all tokens that do not
 * begin with "x".
 *
 * A token "NaN" makes the run fail with ELMO_E_NUMERIC, a token "lost" with ELMO_E_NOMEM. */
#include "elmo.h"

struct fake_elmo {
    bool without_head, without_lm;
    bool new_session_fails, first_run_fails;
    const char *name; /* NULL: fake "elmo" */
    unsigned mark;    /* part of its outputs and the end of its sha256, to distinguish models */
};

/* A static model: every call returns the same memory. */
struct elmo_model *fake_elmo_model(const struct fake_elmo *options);
/* A further model. NULL: out of memory. */
struct elmo_model *fake_elmo_model_new(const struct fake_elmo *options);
void fake_elmo_model_free(struct elmo_model *model); /* of both kinds; NULL is fine */

/* The runs so far (with the warm-ups) and the sentences of the last one. */
size_t fake_elmo_n_runs(void);
size_t fake_elmo_last_n_sentences(void);
size_t fake_elmo_last_n_threads(void);
/* Number of sessions that are not freed. */
size_t fake_elmo_n_sessions(void);
/* Number of models of fake_elmo_model_new that are not freed. */
size_t fake_elmo_n_models(void);

/* Shuts the gate: runs wait inside until it opens, except the first run of each session. */
void fake_elmo_shut_gate(void);
void fake_elmo_open_gate(void);
/* Waits until n runs wait at the gate. */
void fake_elmo_wait_at_gate(size_t n);

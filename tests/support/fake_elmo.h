#pragma once
/* A stand-in for the model behind include/elmo.h, linked instead of it into tests of the server's
 * modules: 2 layers, P = 2, two labels, texts split on single spaces. What it "computes" can be
 * told from the tokens, so that tests see whose outputs they got:
 *
 *     word_emb[t]  = {bytes of token t, t}
 *     layer k[t]   = {k, t, bytes of token t, mark}; elmo[t] is the same with k = 9
 *     pooled       = {n_tokens, pooling, mark, 0, ...}; probabilities = {1 - p, p}, p = 1 / (1 +
 * n_tokens)
 *     attributions = bytes of each token, then -1 (the bias), then -2 (the logit)
 *     log_probs[d] = -(t + 1) of token t forward, 10 less backward; of the end -0.5, -10.5
 *
 * The language model's scores cost 3 positions more each, and its vocabulary has all tokens that do
 * not begin with "x".
 *
 * A token "NaN" makes the run fail with ELMO_E_NUMERIC, a token "lost" with ELMO_E_NOMEM. */
#include "elmo.h"

struct fake_elmo {
    bool without_head, without_lm;
    bool new_session_fails, first_run_fails;
    const char *name; /* NULL: fake "elmo" */
    unsigned mark;    /* tells models apart in what they compute; its sha256 ends in it */
};

/* The same memory each time. */
struct elmo_model *fake_elmo_model(const struct fake_elmo *options);
/* One beside others; NULL: out of memory. */
struct elmo_model *fake_elmo_model_new(const struct fake_elmo *options);
void fake_elmo_model_free(struct elmo_model *model); /* of either; NULL is fine */

/* The runs so far (with the warm-ups) and the sentences of the last one. */
size_t fake_elmo_n_runs(void);
size_t fake_elmo_last_n_sentences(void);
size_t fake_elmo_last_n_threads(void);
/* Sessions made and not freed. */
size_t fake_elmo_n_sessions(void);
/* The same of fake_elmo_model_new. */
size_t fake_elmo_n_models(void);

/* Shut the gate: runs stop inside until it opens, but for the first one of each session. */
void fake_elmo_shut_gate(void);
void fake_elmo_open_gate(void);
/* Waits until n runs stand at the gate. */
void fake_elmo_wait_at_gate(size_t n);

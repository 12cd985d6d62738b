#pragma once
/* What trains: it owns the weights, their average, their gradients and
 * Adam's moments, and makes one step after
 * the other. A run (pretrain.h) decides what a step is made of, the batch, the rate and the seed,
 * and sees nothing of the mathematics. This is where another kind of machine would go, one level
 * above products.h. engine_cpu.c makes a step of bilm_loss_run and optimizer_step on the threads of
 * a team. One thread at a time. */
#include "ranks.h"
#include "train/maths/bilm_loss.h"
#include "train/maths/optimizer.h"
#include "train/maths/products.h"
#include "train/maths/weight_average.h"

struct engine_settings {
    enum precision precision; /* of the products: f32 or bf16 */
    double dropout;           /* see bilm_settings */
    double max_norm;          /* see optimizer_settings */
    double average;           /* decay of weight_average.h; 0: the engine keeps none */
    const struct word_vectors *word_vectors; /* see bilm_settings, borrowed; NULL: none */
    const struct ranks *ranks; /* that step together, borrowed; NULL: this process only */
};

/* All that a checkpoint needs of an engine, in this machine's memory. The arrays belong to the
 * engine: they are valid until its next step, upload or free. */
struct engine_state {
    real *values;                   /* [net_size()] */
    struct optimizer *optimizer;    /* its moments and its count of steps */
    struct weight_average *average; /* NULL: there is none */
};

struct engine_step {
    double rate;
    size_t n_samples; /* see bilm_settings */
    uint64_t seed;    /* of dropout and samples */
    double word_vectors_weight;
};

struct engine_result {
    double loss;          /* of the sampled softmax, nats, mean of both directions */
    double norm;          /* of the whole gradient, before it was clipped */
    size_t n_predictions; /* per direction; these three are of the batches of all ranks */
};

struct engine;

/* Weights and moments are 0. The net and the team are borrowed until engine_free. */
ELMO_MUST_USE int engine_new(struct engine **ret_engine, const struct net *net, struct team *team,
                             const struct engine_settings *settings, struct elmo_error *err);
void engine_free(struct engine *engine); /* NULL is fine */

/* The state as it is after the last step. It may be written to, and takes effect with
 * engine_upload. The engine for CPUs lends the arrays that it works on: nothing is copied. */
ELMO_MUST_USE int engine_download(struct engine *engine, struct engine_state *ret_state,
                                  struct elmo_error *err);
/* Goes on from *state, the last that engine_download gave. An average without a step begins at its
 * values. */
ELMO_MUST_USE int engine_upload(struct engine *engine, const struct engine_state *state,
                                struct elmo_error *err);

/* One step on a batch. Ranks call it together, with the same *step, and take the same step by the
 * gradients of all their batches; NULL: this rank has no batch, but another has one. A loss or a
 * norm that is not finite is the caller's to see: after it the weights are not to be used any more.
 */
ELMO_MUST_USE int engine_step(struct engine *engine, struct engine_result *ret_result,
                              const struct bilm_batch *batch, const struct engine_step *step,
                              struct elmo_error *err);

/* The engine for CPUs. */
#include <stdlib.h>

#include "engine.h"
#include "error.h"
#include "gradient_exchange.h"
#include "util/big_alloc.h"

struct engine {
    struct team *team;
    struct engine_settings settings;
    struct bilm_loss *loss;
    struct gradient_exchange *exchange; /* NULL: there are no other ranks */
    struct optimizer optimizer;
    struct weight_average average; /* of values; none where settings.average is 0 */
    real *values, *gradients;      /* [net_size()], [net.n_dense] */
};

static int make_parts(struct engine *e, const struct net *net, struct elmo_error *err)
{
    int r = bilm_loss_new(&e->loss, net, e->team, err);
    if (!r)
        r = optimizer_init(&e->optimizer, net, e->team, MOMENTS_COMPACT, err);
    if (!r && e->settings.average > 0)
        r = weight_average_init(&e->average, net_size(net), e->settings.average, err);
    if (!r && e->settings.ranks)
        r = gradient_exchange_new(&e->exchange, e->settings.ranks, net, err);
    if (r)
        return r;
    e->values = big_zeros(net_size(net), sizeof(real));
    e->gradients = big_zeros(net->n_dense, sizeof(real));
    return e->values && e->gradients ? 0 : elmo_fail_nomem(err);
}

int engine_new(struct engine **ret_engine, const struct net *net, struct team *team,
               const struct engine_settings *settings, struct elmo_error *err)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return elmo_fail_nomem(err);
    e->team = team;
    e->settings = *settings;
    int r = make_parts(e, net, err);
    if (r)
        engine_free(e);
    else
        *ret_engine = e;
    return r;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    bilm_loss_free(e->loss);
    gradient_exchange_free(e->exchange);
    optimizer_done(&e->optimizer);
    weight_average_done(&e->average);
    free(e->values);
    free(e->gradients);
    free(e);
}

int engine_download(struct engine *e, struct engine_state *ret_state, struct elmo_error *err)
{
    (void)err;
    *ret_state = (struct engine_state){
        .values = e->values,
        .optimizer = &e->optimizer,
        .average = e->settings.average > 0 ? &e->average : NULL,
    };
    return 0;
}

int engine_upload(struct engine *e, const struct engine_state *state, struct elmo_error *err)
{
    if (state->values != e->values)
        return elmo_fail(err, ELMO_E_INVALID, "the state is not one that this engine has lent");
    if (e->settings.average > 0 && !e->average.n_steps)
        weight_average_begin(&e->average, e->values);
    return 0;
}

/* Gradients of the batch, none if it is NULL. */
static int find_gradients(struct engine *e, struct bilm_result *ret_result,
                          const struct bilm_batch *batch, const struct engine_step *step,
                          struct elmo_error *err)
{
    const struct ranks *ranks = e->settings.ranks;
    const struct bilm_settings how = {
        .n_samples = step->n_samples,
        .dropout = e->settings.dropout,
        .step_seed = step->seed,
        .rank = ranks ? ranks->index : 0,
        .word_vectors = e->settings.word_vectors,
        .word_vectors_weight = step->word_vectors_weight,
    };
    *ret_result = (struct bilm_result){0};
    if (!batch)
        return 0;
    products_use(e->settings.precision);
    int r = bilm_loss_run(e->loss, ret_result, e->gradients, e->values, batch, &how, err);
    products_use(PRECISION_F32);
    return r;
}

int engine_step(struct engine *e, struct engine_result *ret_result, const struct bilm_batch *batch,
                const struct engine_step *step, struct elmo_error *err)
{
    const struct optimizer_settings adam = {step->rate, e->settings.max_norm};
    struct bilm_result result;
    int r = find_gradients(e, &result, batch, step, err);
    if (!r && e->exchange)
        r = gradient_exchange_run(e->exchange, &result, e->gradients, result.n_predictions, err);
    if (r)
        return r;
    *ret_result = (struct engine_result){
        .loss = (result.loss[0] + result.loss[1]) / 2,
        .norm = optimizer_step(&e->optimizer, e->values, e->gradients, &result, &adam),
        .n_predictions = result.n_predictions,
    };
    if (e->settings.average > 0)
        weight_average_step(&e->average, e->values, e->team);
    return 0;
}

#include "optimizer.h"

#include <stdlib.h>

#include "adam.h"
#include "error.h"
#include "util/big_alloc.h"
#include "util/rng.h"

#define MAX_TEAM 64

static bool allocate(struct optimizer *o)
{
    size_t n = net_size(o->net);
    if (o->moments == MOMENTS_FULL) {
        o->first = big_zeros(n, sizeof(real));
        o->second = big_zeros(n, sizeof(real));
        return o->first && o->second;
    }
    o->compact_first = big_zeros(n, sizeof(moment));
    o->compact_second = big_zeros(n, sizeof(moment));
    return o->compact_first && o->compact_second;
}

int optimizer_init(struct optimizer *ret_optimizer, const struct net *net, struct team *team,
                   enum moments moments, struct elmo_error *err)
{
    struct optimizer o = {.net = net, .team = team, .moments = moments};
    if (!allocate(&o)) {
        optimizer_done(&o);
        return elmo_fail_nomem(err);
    }
    *ret_optimizer = o;
    return 0;
}

void optimizer_done(struct optimizer *o)
{
    free(o->first);
    free(o->second);
    free(o->compact_first);
    free(o->compact_second);
    *o = (struct optimizer){0};
}

/* One step, as the team shares it. */
struct step {
    struct optimizer *optimizer;
    real *values;
    const real *gradients;
    const struct bilm_result *result;
    double squares[MAX_TEAM]; /* per member: of its share of the gradient */
    struct adam_rates adam;
    uint32_t random; /* of this step's rounding */
};

static void measure_share(void *arg, size_t index, size_t size)
{
    struct step *s = arg;
    const struct loops *loops = loops_best();
    const struct net *net = s->optimizer->net;
    const struct bilm_result *r = s->result;
    size_t begin, end, P = net->options.proj_dim;
    team_share(net->n_dense, index, size, &begin, &end);
    double squares = loops->sum_of_squares(s->gradients + begin, end - begin);
    team_share(r->n_softmax_rows, index, size, &begin, &end);
    squares += loops->sum_of_squares(r->softmax_dw + begin * P, (end - begin) * P);
    squares += loops->sum_of_squares(r->softmax_db + begin, end - begin);
    s->squares[index] = squares;
}

/* Adam on n values that lie together. */
static void update(const struct step *s, size_t at, const real *gradients, size_t n)
{
    const struct optimizer *o = s->optimizer;
    if (o->moments == MOMENTS_FULL)
        loops_best()->adam(s->values + at, o->first + at, o->second + at, gradients, n, &s->adam);
    else
        loops_best()->adam_compact(s->values + at, o->compact_first + at, o->compact_second + at,
                                   gradients, n, &s->adam, s->random + (uint32_t)at);
}

static void update_row(const struct step *s, size_t row)
{
    const struct net *net = s->optimizer->net;
    size_t P = net->options.proj_dim, id = s->result->softmax_ids[row];
    update(s, net->n_dense + id * P, s->result->softmax_dw + row * P, P);
    update(s, net->n_dense + net->n_vocab * P + id, s->result->softmax_db + row, 1);
}

static void update_share(void *arg, size_t index, size_t size)
{
    const struct step *s = arg;
    size_t begin, end;
    team_share(s->optimizer->net->n_dense, index, size, &begin, &end);
    update(s, begin, s->gradients + begin, end - begin);
    team_share(s->result->n_softmax_rows, index, size, &begin, &end);
    for (size_t row = begin; row < end; row++)
        update_row(s, row);
}

double optimizer_step(struct optimizer *o, real *values, const real *dense_gradients,
                      const struct bilm_result *result, const struct optimizer_settings *settings)
{
    struct step s = {
        .optimizer = o, .values = values, .gradients = dense_gradients, .result = result};
    double squares = 0;
    team_run(o->team, measure_share, &s);
    for (size_t k = 0; k < team_size(o->team); k++)
        squares += s.squares[k];
    double norm = sqrt(squares);
    if (!isfinite(norm))
        return norm;
    o->n_steps++;
    struct rng rng = {o->n_steps};
    s.random = (uint32_t)rng_next(&rng);
    s.adam = adam_rates_at(o->n_steps, settings->learning_rate,
                           norm > settings->max_norm ? settings->max_norm / norm : 1);
    team_run(o->team, update_share, &s);
    return norm;
}

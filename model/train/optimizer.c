#include "optimizer.h"

#include <stdlib.h>

#include "adam.h"
#include "error.h"
#include "loops.h"

#define MAX_TEAM 64

int optimizer_init(struct optimizer *ret_optimizer, const struct net *net, struct team *team,
                   struct elmo_error *err)
{
    struct optimizer o = {
        .net = net,
        .team = team,
        .first = calloc(net_size(net), sizeof(real)),
        .second = calloc(net_size(net), sizeof(real)),
    };
    if (!o.first || !o.second) {
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
    loops_best()->adam(s->values + at, s->optimizer->first + at, s->optimizer->second + at,
                       gradients, n, &s->adam);
}

static void update_share(void *arg, size_t index, size_t size)
{
    const struct step *s = arg;
    const struct net *net = s->optimizer->net;
    const struct bilm_result *r = s->result;
    size_t begin, end, P = net->options.proj_dim;
    team_share(net->n_dense, index, size, &begin, &end);
    update(s, begin, s->gradients + begin, end - begin);
    size_t bias = net->n_dense + net->n_vocab * P; /* softmax/W, then softmax/b */
    team_share(r->n_softmax_rows, index, size, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        update(s, net->n_dense + r->softmax_ids[row] * P, r->softmax_dw + row * P, P);
        update(s, bias + r->softmax_ids[row], r->softmax_db + row, 1);
    }
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
    s.adam = adam_rates_at(o->n_steps, settings->learning_rate,
                           norm > settings->max_norm ? settings->max_norm / norm : 1);
    team_run(o->team, update_share, &s);
    return norm;
}

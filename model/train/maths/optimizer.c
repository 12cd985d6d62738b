#include "optimizer.h"

#include <stdlib.h>

#include "adam.h"
#include "error.h"
#include "util/big_alloc.h"
#include "util/rng.h"

#define MAX_TEAM      64
#define MAX_ROW_STEPS 1000 /* from there on an average of one thousandth each step */

static bool allocate(struct optimizer *o)
{
    size_t n = net_size(o->net), n_dense = o->net->n_dense, V = o->net->n_vocab;
    if (o->moments == MOMENTS_FULL) {
        o->first = big_zeros(n, sizeof(real));
        o->second = big_zeros(n, sizeof(real));
        return o->first && o->second;
    }
    o->compact_first = big_zeros(n_dense, sizeof(moment));
    o->compact_second = big_zeros(n_dense, sizeof(moment));
    o->row_second = calloc(V, sizeof(real));
    o->row_steps = calloc(V, sizeof(real));
    return o->compact_first && o->compact_second && o->row_second && o->row_steps;
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
    free(o->row_second);
    free(o->row_steps);
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
    double learning_rate;
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

/* Adam on n values that lie together, with full moments. */
static void update(const struct step *s, size_t at, const real *gradients, size_t n)
{
    loops_best()->adam(s->values + at, s->optimizer->first + at, s->optimizer->second + at,
                       gradients, n, &s->adam);
}

static void update_dense(const struct step *s, size_t begin, size_t end)
{
    struct optimizer *o = s->optimizer;
    const real *gradients = s->gradients + begin;
    if (o->moments == MOMENTS_FULL)
        update(s, begin, gradients, end - begin);
    else
        loops_best()->adam_compact(s->values + begin, o->compact_first + begin,
                                   o->compact_second + begin, gradients, end - begin, &s->adam,
                                   s->random + (uint32_t)begin);
}

/* The mean square of a row's gradient, its bias included, into its moment; returns what its step
 * multiplies the gradient by. */
static real row_factor(const struct step *s, size_t id, const real *dw, real db, size_t P)
{
    struct optimizer *o = s->optimizer;
    double square = loops_best()->sum_of_squares(dw, P) + (double)db * (double)db;
    square *= (double)s->adam.scale * (double)s->adam.scale / (double)(P + 1);
    o->row_steps[id] = o->row_steps[id] < MAX_ROW_STEPS ? o->row_steps[id] + 1 : MAX_ROW_STEPS;
    /* An average of all at first, an exponential one later: what the correction of a bias gives. */
    double weight = fmax(1 - (double)s->adam.beta_2, 1 / (double)o->row_steps[id]);
    o->row_second[id] += (real)(weight * (square - (double)o->row_second[id]));
    return (real)(-s->learning_rate * (double)s->adam.scale /
                  (sqrt((double)o->row_second[id]) + ADAM_EPSILON));
}

static void update_row(const struct step *s, size_t row)
{
    const struct net *net = s->optimizer->net;
    size_t P = net->options.proj_dim, id = s->result->softmax_ids[row], at = net->n_dense + id * P,
           at_bias = net->n_dense + net->n_vocab * P + id;
    const real *dw = s->result->softmax_dw + row * P, *db = s->result->softmax_db + row;
    if (s->optimizer->moments == MOMENTS_FULL) {
        update(s, at, dw, P);
        update(s, at_bias, db, 1);
        return;
    }
    real factor = row_factor(s, id, dw, *db, P);
    loops_best()->add_scaled(s->values + at, dw, factor, P);
    s->values[at_bias] += factor * *db;
}

static void update_share(void *arg, size_t index, size_t size)
{
    const struct step *s = arg;
    size_t begin, end;
    team_share(s->optimizer->net->n_dense, index, size, &begin, &end);
    update_dense(s, begin, end);
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
    s.learning_rate = settings->learning_rate;
    struct rng rng = {o->n_steps};
    s.random = (uint32_t)rng_next(&rng);
    s.adam = adam_rates_at(o->n_steps, settings->learning_rate,
                           norm > settings->max_norm ? settings->max_norm / norm : 1);
    team_run(o->team, update_share, &s);
    return norm;
}

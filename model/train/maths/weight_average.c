#include "weight_average.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "util/big_alloc.h"

int weight_average_init(struct weight_average *ret_average, size_t n, double decay,
                        struct elmo_error *err)
{
    struct weight_average a = {.n = n, .decay = decay, .values = big_zeros(n, sizeof(real))};
    if (!a.values)
        return elmo_fail_nomem(err);
    *ret_average = a;
    return 0;
}

void weight_average_done(struct weight_average *a)
{
    free(a->values);
    *a = (struct weight_average){0};
}

void weight_average_begin(struct weight_average *a, const real *weights)
{
    memcpy(a->values, weights, a->n * sizeof *weights);
}

/* One update, as the team shares it. */
struct update {
    struct weight_average *average;
    const real *weights;
    real share; /* of the new weights */
};

static void update_share(void *arg, size_t index, size_t size)
{
    const struct update *u = arg;
    size_t begin, end;
    team_share(u->average->n, index, size, &begin, &end);
    real *restrict average = u->average->values;
    const real *restrict weights = u->weights;
    for (size_t k = begin; k < end; k++)
        average[k] += u->share * (weights[k] - average[k]);
}

/* Of update m, from 1 on. */
static double share_of(double decay, uint64_t m)
{
    double exponential = -expm1(WEIGHT_AVERAGE_EVERY * log(decay)),
           polynomial = (WEIGHT_AVERAGE_POWER + 1.0) / (WEIGHT_AVERAGE_POWER + (double)m);
    return fmax(exponential, polynomial);
}

void weight_average_step(struct weight_average *a, const real *weights, struct team *team)
{
    uint64_t before = a->n_steps++;
    if (before % WEIGHT_AVERAGE_EVERY)
        return;
    struct update u = {a, weights, (real)share_of(a->decay, before / WEIGHT_AVERAGE_EVERY + 1)};
    team_run(team, update_share, &u);
}

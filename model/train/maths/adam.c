#include "adam.h"

#include "error.h"

#define BETA_1 0.9
#define BETA_2 0.999

struct adam_rates adam_rates_at(uint64_t n_steps, double learning_rate, double gradient_scale)
{
    /* w -= rate * (first / c1) / (sqrt(second / c2) + epsilon) */
    double c1 = 1 - pow(BETA_1, (double)n_steps), c2 = 1 - pow(BETA_2, (double)n_steps);
    return (struct adam_rates){
        .scale = (real)gradient_scale,
        .rate = (real)(learning_rate * sqrt(c2) / c1),
        .beta_1 = (real)BETA_1,
        .beta_2 = (real)BETA_2,
        .epsilon = (real)(ADAM_EPSILON * sqrt(c2)),
    };
}

int adam_init(struct adam *ret_adam, size_t n, struct elmo_error *err)
{
    struct adam a = {.first = calloc(n, sizeof(real)), .second = calloc(n, sizeof(real)), .n = n};
    if (!a.first || !a.second) {
        adam_done(&a);
        return elmo_fail_nomem(err);
    }
    *ret_adam = a;
    return 0;
}

void adam_done(struct adam *a)
{
    free(a->first);
    free(a->second);
    *a = (struct adam){0};
}

void adam_step(struct adam *a, real *restrict values, const real *restrict gradients, double rate,
               double decay, size_t n_decayed)
{
    const struct adam_rates step = adam_rates_at(++a->n_steps, rate, 1);
    real *restrict first = a->first, *restrict second = a->second, keep = (real)(1 - rate * decay);
    for (size_t k = 0; k < n_decayed; k++)
        values[k] *= keep;
    for (size_t k = 0; k < a->n; k++) {
        first[k] = (real)BETA_1 * first[k] + (real)(1 - BETA_1) * gradients[k];
        second[k] = (real)BETA_2 * second[k] + (real)(1 - BETA_2) * gradients[k] * gradients[k];
        values[k] -= step.rate * first[k] / ((real)sqrt((double)second[k]) + step.epsilon);
    }
}

#include "calibration.h"

#include <string.h>

#include "error.h"
#include "train/maths/adam.h"
#include "train/maths/cross_entropy.h"

#define MIN_TEXTS 20
#define N_STEPS   2000
#define RATE      0.02
#define PULL      1.0 /* to the start, as of so many texts: separable ones ask for infinity */

/* parameters: a, b, c [n_outputs]. */
static void add_gradient(real *gradients, double *z, const real *parameters, const real *first,
                         const real *second, uint32_t label, size_t n, size_t n_outputs)
{
    for (size_t k = 0; k < n_outputs; k++)
        z[k] = (double)(parameters[0] * first[k] + parameters[2 + k] +
                        (second ? parameters[1] * second[k] : 0));
    cross_entropy(z, n_outputs, label);
    for (size_t k = 0; k < n_outputs; k++) {
        z[k] /= (double)n;
        gradients[0] += (real)z[k] * first[k];
        gradients[1] += second ? (real)z[k] * second[k] : 0;
        gradients[2 + k] += (real)z[k];
    }
}

/* Of PULL / n * |parameters - start|^2 / 2; start: a = b = share, c = 0. */
static void add_pull(real *gradients, const real *parameters, real share, size_t n,
                     size_t n_outputs)
{
    for (size_t k = 0; k < 2 + n_outputs; k++)
        gradients[k] += (real)(PULL / (double)n) * (parameters[k] - (k < 2 ? share : 0));
}

int calibration_init(struct calibration *ret_calibration, const real *first, const real *second,
                     const struct labelled_text *items, size_t n, size_t n_outputs,
                     struct elmo_error *err)
{
    struct adam adam = {0};
    struct calibration c = {.c = calloc(n_outputs, sizeof *c.c)};
    real share = second ? (real)0.5 : 1;
    AUTO(mem_free) real *parameters = calloc(2 + n_outputs, sizeof *parameters);
    AUTO(mem_free) real *gradients = calloc(2 + n_outputs, sizeof *gradients);
    AUTO(mem_free) double *z = calloc(n_outputs, sizeof *z);
    if (!c.c || !parameters || !gradients || !z || adam_init(&adam, 2 + n_outputs, NULL)) {
        calibration_done(&c);
        return elmo_fail_nomem(err);
    }
    parameters[0] = parameters[1] = share;
    for (size_t step = 0; step < N_STEPS && n >= MIN_TEXTS; step++) {
        memset(gradients, 0, (2 + n_outputs) * sizeof *gradients);
        for (size_t k = 0; k < n; k++)
            add_gradient(gradients, z, parameters, first + k * n_outputs,
                         second ? second + k * n_outputs : NULL, items[k].label, n, n_outputs);
        add_pull(gradients, parameters, share, n, n_outputs);
        adam_step(&adam, parameters, gradients, RATE * (1 - (double)step / N_STEPS), 0, 0);
    }
    adam_done(&adam);
    c.a = (double)parameters[0];
    c.b = second ? (double)parameters[1] : 0;
    for (size_t k = 0; k < n_outputs; k++)
        c.c[k] = (double)parameters[2 + k];
    *ret_calibration = c;
    return 0;
}

void calibration_done(struct calibration *calibration)
{
    free(calibration->c);
    *calibration = (struct calibration){0};
}

void calibration_apply(const struct calibration *c, real *first, const real *second, size_t n,
                       size_t n_outputs)
{
    for (size_t k = 0; k < n * n_outputs; k++)
        first[k] = (real)(c->a * (double)first[k] + (second ? c->b * (double)second[k] : 0) +
                          c->c[k % n_outputs]);
}

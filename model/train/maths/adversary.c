#include "adversary.h"

#include <math.h>
#include <string.h>

/* The row of token k = 1 .. T - 1 of text b; row 0 of a text is <S> or, backward, </S>. */
static size_t row_of(const struct bilm_batch *texts, unsigned direction, size_t k, size_t b)
{
    return (direction ? texts->n_steps - k : k) * texts->n_sentences + b;
}

/* variances [P] of x [n, P]; means [P] is scratch. */
static void find_variances(double *variances, double *means, const real *x, size_t n, size_t P)
{
    memset(means, 0, P * sizeof *means);
    memset(variances, 0, P * sizeof *variances);
    for (size_t row = 0; row < n; row++)
        for (size_t p = 0; p < P; p++) {
            double value = (double)x[row * P + p];
            means[p] += value / (double)n;
            variances[p] += value * value / (double)n;
        }
    for (size_t p = 0; p < P; p++)
        variances[p] = fmax(variances[p] - means[p] * means[p], 0);
}

/* In units of the deviations s the gradient is s g; the step r along it is, back in x, s^2 g. */
static void shift_text(real *shift, const real *const dx[2], const struct bilm_batch *texts,
                       size_t b, const double *variances, size_t P, double length)
{
    double squares = 0;
    for (size_t k = 1; k < texts->n_steps; k++) {
        const real *forward = dx[0] + row_of(texts, 0, k, b) * P;
        const real *backward = dx[1] + row_of(texts, 1, k, b) * P;
        real *to = shift + row_of(texts, 0, k, b) * P;
        for (size_t p = 0; p < P; p++) {
            double g = (double)(forward[p] + backward[p]);
            squares += variances[p] * g * g;
            to[p] = (real)(variances[p] * g);
        }
    }
    real factor = squares > 1e-60 ? (real)(length / sqrt(squares)) : 0; /* below, floats end */
    for (size_t k = 1; k < texts->n_steps; k++)
        for (size_t p = 0; p < P; p++)
            shift[row_of(texts, 0, k, b) * P + p] *= factor;
}

bool adversary_find(real *shift, const real *const dx[2], const real *x,
                    const struct bilm_batch *texts, size_t P, double share, struct arena *arena)
{
    size_t B = texts->n_sentences;
    double *variances = ARENA_NEW(arena, double, P), *means = ARENA_NEW(arena, double, P);
    if (!variances || !means)
        return false;
    find_variances(variances, means, x + B * P, (texts->n_steps - 1) * B, P);
    memset(shift, 0, B * P * sizeof *shift);
    for (size_t b = 0; b < B; b++)
        shift_text(shift, dx, texts, b, variances, P, share * sqrt((double)P));
    return true;
}

void adversary_add(real *x, const real *shift, const struct bilm_batch *texts, unsigned direction,
                   size_t P)
{
    for (size_t k = 1; k < texts->n_steps; k++)
        for (size_t b = 0; b < texts->n_sentences; b++) {
            real *to = x + row_of(texts, direction, k, b) * P;
            const real *from = shift + row_of(texts, 0, k, b) * P;
            for (size_t p = 0; p < P; p++)
                to[p] += from[p];
        }
}

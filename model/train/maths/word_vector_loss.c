#include "word_vector_loss.h"

/* The vectors of the known words in x [n_known, P], and what they are to become, negated, in
 * d [n_known, D]. Returns the sum of the targets' squares. */
static double gather(real *x, real *d, const real *vectors, const float *const *targets,
                     size_t n_words, size_t P, size_t D)
{
    double squares = 0;
    for (size_t w = 0; w < n_words; w++) {
        if (!targets[w])
            continue;
        memcpy(x, vectors + w * P, P * sizeof *x);
        for (size_t k = 0; k < D; k++) {
            d[k] = -(real)targets[w][k];
            squares += (double)d[k] * (double)d[k];
        }
        x += P;
        d += D;
    }
    return squares;
}

static void scatter(real *dvectors, const real *dx, const float *const *targets, size_t n_words,
                    size_t P)
{
    for (size_t w = 0; w < n_words; w++) {
        if (!targets[w])
            continue;
        for (size_t k = 0; k < P; k++)
            dvectors[w * P + k] += dx[k];
        dx += P;
    }
}

/* d becomes the gradient: 2 scale d. Returns the loss: scale |d|^2. */
static double square_loss(real *d, size_t n, double scale)
{
    double squares = 0;
    for (size_t k = 0; k < n; k++) {
        squares += (double)d[k] * (double)d[k];
        d[k] *= (real)(2 * scale);
    }
    return scale * squares;
}

bool word_vector_loss(double *ret_loss, real *dvectors, real *dprojection, const real *vectors,
                      const real *projection, const float *const *targets, size_t n_words, size_t P,
                      size_t D, real weight, struct arena *arena)
{
    size_t n_known = 0;
    for (size_t w = 0; w < n_words; w++)
        n_known += targets[w] != NULL;
    *ret_loss = 0;
    if (!n_known)
        return true;
    real *x = ARENA_NEW(arena, real, n_known * P), *d = ARENA_NEW(arena, real, n_known * D);
    if (!x || !d)
        return false;
    double squares = gather(x, d, vectors, targets, n_words, P, D);
    if (squares <= 0)
        return true;
    real_linear(d, x, projection, n_known, P, D, 1);
    *ret_loss = square_loss(d, n_known * D, (double)weight / squares);
    real_linear_dw(dprojection, x, d, n_known, P, D);
    real_linear_dx(x, d, projection, n_known, P, D, 0);
    scatter(dvectors, x, targets, n_words, P);
    return true;
}

#include "mix.h"

#include <math.h>
#include <string.h>

#define LAYER_NORM_EPSILON 1e-12 /* bilm-tf's */

void softmax(float *x, size_t n)
{
    double sum = 0;
    float greatest = x[0];
    for (size_t k = 1; k < n; k++)
        greatest = x[k] > greatest ? x[k] : greatest;
    for (size_t k = 0; k < n; k++) {
        x[k] = expf(x[k] - greatest);
        sum += (double)x[k];
    }
    for (size_t k = 0; k < n; k++)
        x[k] = (float)((double)x[k] / sum);
}

/* The share of each layer, gamma included. */
static void layer_shares(float *shares, const struct elmo_mix *mix, size_t n)
{
    for (size_t k = 0; k < n; k++)
        shares[k] = mix && mix->weights      ? mix->weights[k]
                    : mix && mix->normalized ? 1 / (float)n
                                             : 0;
    if (!mix || !mix->normalized)
        softmax(shares, n);
    for (size_t k = 0; k < n && mix; k++)
        shares[k] *= mix->gamma;
}

/* One mean and one variance over all of x, in double: a sentence may have millions of values. */
static void mean_and_scale(const float *x, size_t n, double *ret_mean, double *ret_scale)
{
    double sum = 0, squares = 0;
    for (size_t k = 0; k < n; k++)
        sum += (double)x[k];
    double mean = sum / (double)n;
    for (size_t k = 0; k < n; k++)
        squares += ((double)x[k] - mean) * ((double)x[k] - mean);
    *ret_mean = mean;
    *ret_scale = 1 / sqrt(squares / (double)n + LAYER_NORM_EPSILON);
}

/* out += scale * (x - mean). The mean goes first and in double: where all values are nearly alike,
 * layer norm's scale is up to 1e6, and float32 would keep nothing of scale * x - scale * mean. */
static void add_layer(float *restrict out, const float *restrict x, size_t n, double mean,
                      double scale)
{
    for (size_t k = 0; k < n; k++)
        out[k] += (float)(scale * ((double)x[k] - mean));
}

/* out += scale * x. */
static void add_scaled(float *restrict out, const float *restrict x, size_t n, float scale)
{
    for (size_t k = 0; k < n; k++)
        out[k] += scale * x[k];
}

/* out += share * layer k, as layer norm has it where that is asked for. Layer 0 is [x ; x]. */
static void mix_layer(float *out, const float *x, size_t k, size_t T, size_t P, bool layer_norm,
                      float share)
{
    double mean = 0, scale = (double)share;
    if (layer_norm) { /* of layer 0 as of x */
        mean_and_scale(x, T * (k ? 2 * P : P), &mean, &scale);
        scale *= (double)share;
    }
    for (size_t half = 0; half < 2 * T; half++) {
        const float *from = x + (k ? half : half / 2) * P;
        if (layer_norm)
            add_layer(out + half * P, from, P, mean, scale);
        else
            add_scaled(out + half * P, from, P, share);
    }
}

void mix_layers(float *out, const float *const *layers, size_t n_layers, size_t T, size_t P,
                const struct elmo_mix *mix, float *shares)
{
    memset(out, 0, T * 2 * P * sizeof *out);
    layer_shares(shares, mix, 1 + n_layers);
    for (size_t k = 0; k <= n_layers && T; k++)
        mix_layer(out, layers[k], k, T, P, mix && mix->layer_norm, shares[k]);
}

/* A few columns at a time, so that their sums and the lines that they are in stay in cache. */
static void pool_mean(float *out, const float *x, size_t T, size_t D)
{
    enum { COLUMNS = 64 };
    for (size_t first = 0; first < D; first += COLUMNS) {
        double sums[COLUMNS] = {0};
        size_t n = D - first < COLUMNS ? D - first : COLUMNS;
        for (size_t t = 0; t < T; t++)
            for (size_t k = 0; k < n; k++)
                sums[k] += (double)x[t * D + first + k];
        for (size_t k = 0; k < n; k++)
            out[first + k] = (float)(sums[k] / (double)T);
    }
}

static void pool_max(float *out, const float *x, size_t T, size_t D)
{
    memcpy(out, x, D * sizeof *out);
    for (size_t t = 1; t < T; t++)
        for (size_t d = 0; d < D; d++)
            out[d] = x[t * D + d] > out[d] ? x[t * D + d] : out[d];
}

void pool_tokens(float *out, const float *x, size_t T, size_t D, enum elmo_pooling pooling)
{
    if (!T) {
        memset(out, 0, (pooling == ELMO_POOL_MEAN_MAX ? 2 : 1) * D * sizeof *out);
        return;
    }
    if (pooling != ELMO_POOL_MAX) {
        pool_mean(out, x, T, D);
        out += D;
    }
    if (pooling != ELMO_POOL_MEAN)
        pool_max(out, x, T, D);
}

void l2_normalize(float *x, size_t n)
{
    double squares = 0;
    for (size_t k = 0; k < n; k++)
        squares += (double)x[k] * (double)x[k];
    if (!(squares > 0))
        return;
    double scale = 1 / sqrt(squares);
    for (size_t k = 0; k < n; k++)
        x[k] = (float)((double)x[k] * scale);
}

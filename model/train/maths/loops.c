#include "loops.h"

#include "kernels/isa.h"

/* Written so that a compiler turns every loop into vector code: no calls, no branches, pointers
 * that share no memory. A sum is kept in LANES parts: its order is then fixed and vectors can add
 * it. */
#define LANES 32

/* ---- LSTM cells ---- */

static inline real limit_of(real clip)
{
    return clip > 0 ? clip : (real)3e38;
}

static void cell_forward(real *gates, const real *restrict bias, const real *restrict c_before,
                         real *restrict c, real *restrict tanh_c, real *restrict m, size_t C,
                         real clip)
{
    real *restrict i = gates, *restrict j = gates + C, *restrict f = gates + 2 * C,
                   *restrict o = gates + 3 * C;
    const real *restrict bias_i = bias, *restrict bias_j = bias + C,
                         *restrict bias_f = bias + 2 * C, *restrict bias_o = bias + 3 * C;
    const real limit = limit_of(clip);
    for (size_t k = 0; k < C; k++) {
        real in = real_sigmoid(i[k] + bias_i[k]), value = real_tanh(j[k] + bias_j[k]),
             keep = real_sigmoid(f[k] + bias_f[k] + 1), out = real_sigmoid(o[k] + bias_o[k]);
        real cell = keep * c_before[k] + in * value;
        cell = cell > limit ? limit : cell;
        cell = cell < -limit ? -limit : cell;
        real squashed = real_tanh(cell);
        i[k] = in;
        j[k] = value;
        f[k] = keep;
        o[k] = out;
        c[k] = cell;
        tanh_c[k] = squashed;
        m[k] = out * squashed;
    }
}

/* A gradient stops where a clip has cut: a value on the rim was cut. */
static void cell_backward(real *gates, const real *restrict dm, const real *restrict c_before,
                          const real *restrict c, const real *restrict tanh_c, real *restrict dc,
                          size_t C, real clip)
{
    real *restrict i = gates, *restrict j = gates + C, *restrict f = gates + 2 * C,
                   *restrict o = gates + 3 * C;
    const real limit = limit_of(clip);
    for (size_t k = 0; k < C; k++) {
        real in = i[k], value = j[k], keep = f[k], out = o[k], t = tanh_c[k],
             magnitude = c[k] < 0 ? -c[k] : c[k];
        real d = dc[k] + dm[k] * out * (1 - t * t);
        d = magnitude >= limit ? 0 : d;
        dc[k] = d * keep;
        o[k] = dm[k] * t * out * (1 - out);
        f[k] = d * c_before[k] * keep * (1 - keep);
        j[k] = d * in * (1 - value * value);
        i[k] = d * value * in * (1 - in);
    }
}

/* ---- Dropout ---- */

/* The k-th of the key's random numbers: two rounds of MurmurHash3's finaliser (Appleby, public
 * domain), which needs 32-bit arithmetic only. */
static inline uint32_t mixed(uint32_t x)
{
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

static void drop(real *x, size_t n, real dropout, uint64_t key)
{
    const uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    const int32_t threshold = (int32_t)((double)dropout * 0x1p31);
    const real kept = 1 / (1 - dropout);
    for (size_t k = 0; k < n; k++) {
        int32_t random = (int32_t)(mixed(mixed((uint32_t)k ^ low) + high) >> 1); /* 31 bits */
        x[k] *= random < threshold ? 0 : kept;
    }
}

/* ---- Softmax ---- */

static real greatest_of(const real *x, size_t n, real greatest)
{
    real lanes[LANES];
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < LANES; i++)
        lanes[i] = greatest;
    for (size_t k = 0; k < whole; k += LANES)
        for (size_t i = 0; i < LANES; i++)
            lanes[i] = x[k + i] > lanes[i] ? x[k + i] : lanes[i];
    for (size_t k = whole; k < n; k++)
        greatest = x[k] > greatest ? x[k] : greatest;
    for (size_t i = 0; i < LANES; i++)
        greatest = lanes[i] > greatest ? lanes[i] : greatest;
    return greatest;
}

static real sum_of(const real *x, size_t n)
{
    real lanes[LANES] = {0}, sum = 0;
    size_t whole = n - n % LANES;
    for (size_t k = 0; k < whole; k += LANES)
        for (size_t i = 0; i < LANES; i++)
            lanes[i] += x[k + i];
    for (size_t k = whole; k < n; k++)
        sum += x[k];
    for (size_t i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

static real exponentials(real *restrict logits, real *target, real *ret_greatest,
                         const real *restrict offsets, size_t n, size_t hidden)
{
    for (size_t k = 0; k < n; k++)
        logits[k] += offsets[k];
    if (hidden < n)
        logits[hidden] = (real)-1e30;
    const real greatest = greatest_of(logits, n, *target);
    for (size_t k = 0; k < n; k++)
        logits[k] = real_exp(logits[k] - greatest);
    if (hidden < n)
        logits[hidden] = 0;
    *target = real_exp(*target - greatest);
    *ret_greatest = greatest;
    return sum_of(logits, n) + *target;
}

/* ---- Max over time ---- */

/* LANES columns at once, of rows [n_rows, n]; n_columns <= LANES of them are there. */
static void lane_maxima(real *restrict greatest, uint16_t *restrict argmax,
                        const real *restrict rows, size_t n_rows, size_t n, size_t n_columns)
{
    real best[LANES];
    int32_t best_row[LANES] = {0};
    for (size_t i = 0; i < n_columns; i++)
        best[i] = rows[i];
    for (size_t row = 1; row < n_rows; row++) {
        const real *restrict x = rows + row * n;
        for (size_t i = 0; i < n_columns; i++) {
            best_row[i] = x[i] > best[i] ? (int32_t)row : best_row[i];
            best[i] = x[i] > best[i] ? x[i] : best[i];
        }
    }
    for (size_t i = 0; i < n_columns; i++) {
        greatest[i] = best[i];
        argmax[i] = (uint16_t)best_row[i];
    }
}

static void column_maxima(real *greatest, uint16_t *argmax, const real *rows, size_t n_rows,
                          size_t n)
{
    size_t k = 0;
    for (; n - k >= LANES; k += LANES)
        lane_maxima(greatest + k, argmax + k, rows + k, n_rows, n, LANES);
    lane_maxima(greatest + k, argmax + k, rows + k, n_rows, n, n - k);
}

/* ---- Highways ---- */

static void highway_forward(real *restrict next, real *restrict gate, real *restrict transform,
                            const real *restrict y, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        real g = real_sigmoid(gate[k]), t = transform[k] > 0 ? transform[k] : 0;
        gate[k] = g;
        transform[k] = t;
        next[k] = g * t + (1 - g) * y[k];
    }
}

static void highway_backward(real *restrict dy, real *restrict dgate, real *restrict dtransform,
                             const real *restrict y, const real *restrict gate,
                             const real *restrict transform, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        real g = gate[k], t = transform[k], d = dy[k];
        dgate[k] = d * (t - y[k]) * g * (1 - g);
        dtransform[k] = t > 0 ? d * g : 0;
        dy[k] = d * (1 - g);
    }
}

/* ---- Sums and Adam ---- */

static real dot(const real *restrict a, const real *restrict b, size_t n)
{
    real lanes[LANES] = {0}, sum = 0;
    size_t whole = n - n % LANES;
    for (size_t k = 0; k < whole; k += LANES)
        for (size_t i = 0; i < LANES; i++)
            lanes[i] += a[k + i] * b[k + i];
    for (size_t k = whole; k < n; k++)
        sum += a[k] * b[k];
    for (size_t i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

static double sum_of_squares(const real *x, size_t n)
{
    double lanes[LANES] = {0}, sum = 0;
    size_t whole = n - n % LANES;
    for (size_t k = 0; k < whole; k += LANES)
        for (size_t i = 0; i < LANES; i++)
            lanes[i] += (double)x[k + i] * (double)x[k + i];
    for (size_t k = whole; k < n; k++)
        sum += (double)x[k] * (double)x[k];
    for (size_t i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

static void adam(real *restrict w, real *restrict first, real *restrict second,
                 const real *restrict gradients, size_t n, const struct adam_rates *step)
{
    const struct adam_rates s = *step;
    for (size_t k = 0; k < n; k++) {
        real g = gradients[k] * s.scale;
        real mean = s.beta_1 * first[k] + (1 - s.beta_1) * g,
             variance = s.beta_2 * second[k] + (1 - s.beta_2) * g * g;
        first[k] = mean;
        second[k] = variance;
        w[k] -= s.rate * mean / (real_sqrt(variance) + s.epsilon);
    }
}

/* 32 random bits of a number: one and a half rounds of mixed(). */
static inline uint32_t scattered(uint32_t x)
{
    x *= 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

#ifdef TRAIN_DOUBLE
static inline real moment_value(moment x)
{
    return x;
}

static inline moment moment_of(real value, uint32_t random)
{
    (void)random;
    return value;
}
#else
union bits {
    uint32_t whole;
    float value;
};

static inline real moment_value(moment x)
{
    return (union bits){.whole = (uint32_t)x << 16}.value;
}

/* Up or down with the probabilities that make the expectation the value (stochastic rounding: Gupta
 * et al. 2015, arXiv:1502.02551); random: 16 bits. */
static inline moment moment_of(real value, uint32_t random)
{
    return (moment)(((union bits){.value = value}.whole + random) >> 16);
}
#endif

static void adam_compact(real *restrict w, moment *restrict first, moment *restrict second,
                         const real *restrict gradients, size_t n, const struct adam_rates *step,
                         uint32_t random)
{
    const struct adam_rates s = *step;
    for (size_t k = 0; k < n; k++) {
        uint32_t bits = scattered(random + (uint32_t)k);
        real g = gradients[k] * s.scale;
        real mean = s.beta_1 * moment_value(first[k]) + (1 - s.beta_1) * g,
             variance = s.beta_2 * moment_value(second[k]) + (1 - s.beta_2) * g * g;
        first[k] = moment_of(mean, bits & 0xffff);
        second[k] = moment_of(variance, bits >> 16);
        w[k] -= s.rate * mean / (real_sqrt(variance) + s.epsilon);
    }
}

const struct loops ISA_NAME(loops) = {
    .cell_forward = cell_forward,
    .cell_backward = cell_backward,
    .drop = drop,
    .exponentials = exponentials,
    .column_maxima = column_maxima,
    .highway_forward = highway_forward,
    .highway_backward = highway_backward,
    .dot = dot,
    .sum_of_squares = sum_of_squares,
    .adam = adam,
    .adam_compact = adam_compact,
};

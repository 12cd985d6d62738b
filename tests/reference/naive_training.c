/* In order of the data: weights, characters, token encoder, LSTMs, sampled softmax, Adam. Names are
 * naive.c's. A vector is an array of indices on the tape. */
#include "naive_training.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/model_file.h"
#include "tensor_set.h"
#include "util/rng.h"

void naive_training_init(struct naive_training *t, const struct net *net, const float *values)
{
    size_t n = net_size(net);
    *t = (struct naive_training){
        .net = net,
        .values = must_calloc(n, sizeof *t->values),
        .first = must_calloc(n, sizeof *t->first),
        .second = must_calloc(n, sizeof *t->second),
        .is_touched = must_calloc(n, 1),
    };
    for (size_t k = 0; k < n; k++)
        t->values[k] = (double)values[k];
}

void naive_training_done(struct naive_training *t)
{
    free(t->values);
    free(t->first);
    free(t->second);
    free(t->is_touched);
    tape_done(&t->tape);
}

static size_t *vector(size_t n)
{
    return must_calloc(n, sizeof(size_t));
}

/* ---- Weights: the first net_size() numbers of the tape ---- */

/* Where the tensor of that name begins. */
__attribute__((format(printf, 2, 3))) static size_t tensor(const struct naive_training *t,
                                                           const char *format, ...)
{
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    for (size_t k = 0; k < t->net->specs.n_items; k++)
        if (!strcmp(t->net->specs.items[k].name, name))
            return t->net->offsets[k];
    fprintf(stderr, "no tensor '%s'\n", name);
    exit(1);
}

/* sum_i x[i] w[i * stride] */
static size_t dot(struct tape *tape, const size_t *x, size_t n, size_t w, size_t stride)
{
    size_t sum = tape_number(tape, 0);
    for (size_t i = 0; i < n; i++)
        sum = tape_add(tape, sum, tape_multiply(tape, x[i], w + i * stride));
    return sum;
}

/* y = x W + b, with W [n_in, n_out]. */
static void affine(struct tape *tape, size_t *y, const size_t *x, size_t n_in, size_t W, size_t b,
                   size_t n_out)
{
    for (size_t j = 0; j < n_out; j++)
        y[j] = tape_add(tape, dot(tape, x, n_in, W + j, n_out), b + j);
}

/* ---- Token encoder ---- */

static bool word_is(const struct elmo_token *word, const char *text)
{
    return word->n_bytes == strlen(text) && !memcmp(word->bytes, text, word->n_bytes);
}

/* <bow> bytes <eow> <pad> ...; the boundary words have a sign of their own. */
static void char_ids_of(size_t *ids, size_t max_chars, const struct elmo_token *word)
{
    size_t n = 0;
    ids[n++] = CHAR_BOW;
    if (word_is(word, "<S>"))
        ids[n++] = CHAR_BOS;
    else if (word_is(word, "</S>"))
        ids[n++] = CHAR_EOS;
    else
        for (size_t k = 0; k < word->n_bytes && n < max_chars - 1; k++)
            ids[n++] = (unsigned char)word->bytes[k];
    ids[n++] = CHAR_EOW;
    while (n < max_chars)
        ids[n++] = CHAR_PAD;
}

/* y[n] = relu(max_p sum_{k, d} x[p + k, d] W[k, d, n] + b[n]) */
static void convolve(struct naive_training *t, size_t *y, const size_t *ids, size_t filter)
{
    const struct options *o = &t->net->options;
    size_t D = o->char_dim, width = o->char_filters[filter].width,
           N = o->char_filters[filter].n_filters, chars = tensor(t, "char_embed"),
           W = tensor(t, "CNN/W_cnn_%zu", filter), b = tensor(t, "CNN/b_cnn_%zu", filter);
    size_t *window = vector(width * D);
    for (size_t n = 0; n < N; n++) {
        size_t best = SIZE_MAX;
        for (size_t p = 0; p + width <= o->max_chars; p++) {
            for (size_t k = 0; k < width * D; k++)
                window[k] = chars + ids[p + k / D] * D + k % D;
            size_t v = dot(&t->tape, window, width * D, W + n, N);
            if (best == SIZE_MAX || tape_value(&t->tape, v) > tape_value(&t->tape, best))
                best = v;
        }
        y[n] = tape_relu(&t->tape, tape_add(&t->tape, best, b + n));
    }
    free(window);
}

/* y = g t + (1 - g) y,  g = sigmoid(y W_carry + b_carry),  t = relu(y W_transform + b_transform) */
static void highway(struct naive_training *t, size_t *y, size_t k)
{
    struct tape *tape = &t->tape;
    size_t F = t->net->options.filter_dim, *g = vector(F), *transformed = vector(F),
           one = tape_number(tape, 1), minus_one = tape_number(tape, -1);
    affine(tape, g, y, F, tensor(t, "CNN_high_%zu/W_carry", k),
           tensor(t, "CNN_high_%zu/b_carry", k), F);
    affine(tape, transformed, y, F, tensor(t, "CNN_high_%zu/W_transform", k),
           tensor(t, "CNN_high_%zu/b_transform", k), F);
    for (size_t f = 0; f < F; f++) {
        size_t gate = tape_sigmoid(tape, g[f]),
               rest = tape_add(tape, one, tape_multiply(tape, minus_one, gate));
        y[f] = tape_add(tape, tape_multiply(tape, gate, tape_relu(tape, transformed[f])),
                        tape_multiply(tape, rest, y[f]));
    }
    free(g);
    free(transformed);
}

static void encode_word(struct naive_training *t, size_t *e, const struct elmo_token *word)
{
    const struct options *o = &t->net->options;
    size_t *ids = vector(o->max_chars), *y = vector(o->filter_dim), first = 0;
    char_ids_of(ids, o->max_chars, word);
    for (size_t filter = 0; filter < o->n_char_filters; filter++) {
        convolve(t, y + first, ids, filter);
        first += o->char_filters[filter].n_filters;
    }
    for (size_t k = 0; k < o->n_highway; k++)
        highway(t, y, k);
    affine(&t->tape, e, y, o->filter_dim, tensor(t, "CNN_proj/W_proj"),
           tensor(t, "CNN_proj/b_proj"), o->proj_dim);
    free(ids);
    free(y);
}

/* ---- LSTMs ---- */

static size_t clip(struct naive_training *t, size_t x, double limit)
{
    size_t y = limit > 0 ? tape_clip(&t->tape, x, limit) : x;
    t->n_clipped += y != x;
    return y;
}

/* One step of a layer, changing h [P] and c [C]:
 *   i, j, f, o = split([x ; h] W + B)
 *   c = clip(sigmoid(f + 1) c + sigmoid(i) tanh(j));   h = clip((sigmoid(o) tanh(c)) W_P) */
static void lstm_step(struct naive_training *t, size_t *h, size_t *c, const size_t *x,
                      unsigned direction, size_t layer)
{
    const struct options *o = &t->net->options;
    struct tape *tape = &t->tape;
    size_t P = o->proj_dim, C = o->cell_dim, one = tape_number(tape, 1);
    char cell[64];
    snprintf(cell, sizeof cell, "RNN_%u/RNN/MultiRNNCell/Cell%zu/LSTMCell", direction, layer);
    size_t *xh = vector(2 * P), *z = vector(4 * C), *m = vector(C),
           W_P = tensor(t, "%s/W_P_0", cell);
    memcpy(xh, x, P * sizeof *xh);
    memcpy(xh + P, h, P * sizeof *xh);
    affine(tape, z, xh, 2 * P, tensor(t, "%s/W_0", cell), tensor(t, "%s/B", cell), 4 * C);
    for (size_t k = 0; k < C; k++) {
        size_t i = tape_sigmoid(tape, z[k]), j = tape_tanh(tape, z[C + k]),
               f = tape_sigmoid(tape, tape_add(tape, z[2 * C + k], one)),
               out = tape_sigmoid(tape, z[3 * C + k]);
        size_t sum = tape_add(tape, tape_multiply(tape, f, c[k]), tape_multiply(tape, i, j));
        c[k] = clip(t, sum, (double)o->cell_clip);
        m[k] = tape_multiply(tape, out, tape_tanh(tape, c[k]));
    }
    for (size_t p = 0; p < P; p++)
        h[p] = clip(t, dot(tape, m, C, W_P + p, P), (double)o->proj_clip);
    free(xh);
    free(z);
    free(m);
}

/* Top outputs y [T, P] of inputs x [T, P], from the zero state; x is overwritten layer by layer. */
static void run_lstms(struct naive_training *t, size_t *x, size_t T, unsigned direction)
{
    const struct options *o = &t->net->options;
    size_t P = o->proj_dim, C = o->cell_dim, zero = tape_number(&t->tape, 0);
    size_t *h = vector(P), *c = vector(C);
    for (size_t layer = 0; layer < o->n_layers; layer++) {
        for (size_t p = 0; p < P; p++)
            h[p] = zero;
        for (size_t k = 0; k < C; k++)
            c[k] = zero;
        for (size_t step = 0; step < T; step++) {
            lstm_step(t, h, c, x + step * P, direction, layer);
            for (size_t p = 0; p < P; p++)
                x[step * P + p] =
                    layer && o->skip_connections ? tape_add(&t->tape, h[p], x[step * P + p]) : h[p];
        }
    }
    free(h);
    free(c);
}

/* ---- Sampled softmax ---- */

struct samples {
    size_t n;
    size_t *ids;         /* [n] different */
    double *probability; /* [n_vocab] of being among them */
};

/* Draws by P(id) = (log(id + 2) - log(id + 1)) / log(V + 1) until there are n different ids. With
 * that many draws, an id is among them with probability 1 - (1 - P)^draws. */
static void draw_samples(struct samples *s, size_t n, size_t V, uint64_t step_seed)
{
    struct rng rng = {~step_seed};
    size_t n_draws = 0;
    *s = (struct samples){.ids = vector(n), .probability = must_calloc(V, sizeof(double))};
    while (s->n < n) {
        double uniform = (double)(rng_next(&rng) >> 11) * 0x1p-53;
        size_t id = (size_t)fmin(pow((double)(V + 1), uniform) - 1, (double)(V - 1)), k = 0;
        n_draws++;
        while (k < s->n && s->ids[k] != id)
            k++;
        if (k == s->n)
            s->ids[s->n++] = id;
    }
    for (size_t id = 0; id < V; id++) {
        double p = log(((double)id + 2) / ((double)id + 1)) / log((double)(V + 1));
        s->probability[id] = 1 - pow(1 - p, (double)n_draws);
    }
}

/* exp(y w_id + b_id) / P(id is sampled) */
static size_t score(struct naive_training *t, const size_t *y, size_t id, const struct samples *s)
{
    size_t P = t->net->options.proj_dim, W = tensor(t, SOFTMAX_W), b = tensor(t, SOFTMAX_B);
    size_t logit = tape_add(&t->tape, dot(&t->tape, y, P, W + id * P, 1), b + id);
    return tape_divide(&t->tape, tape_exp(&t->tape, logit),
                       tape_number(&t->tape, s->probability[id]));
}

/* log p(target) among the target and the samples. */
static size_t log_p(struct naive_training *t, const size_t *y, size_t target,
                    const struct samples *s)
{
    size_t right = score(t, y, target, s), sum = right;
    for (size_t k = 0; k < s->n; k++)
        if (s->ids[k] != target)
            sum = tape_add(&t->tape, sum, score(t, y, s->ids[k], s));
    return tape_log(&t->tape, tape_divide(&t->tape, right, sum));
}

/* ---- A step ---- */

/* The mean of -log p over both directions and all predictions. vectors [n_words, P]. */
static size_t objective(struct naive_training *t, const size_t *vectors,
                        const struct bilm_batch *batch, const struct samples *s)
{
    size_t P = t->net->options.proj_dim, T = batch->n_steps, sum = tape_number(&t->tape, 0),
           *x = vector(T * P);
    for (size_t b = 0; b < batch->n_sentences; b++)
        for (unsigned direction = 0; direction < 2; direction++) {
            const uint32_t *words = batch->positions + b * (T + 1);
            for (size_t step = 0; step < T; step++)
                memcpy(x + step * P, vectors + words[direction ? T - step : step] * P,
                       P * sizeof *x);
            run_lstms(t, x, T, direction);
            for (size_t step = 0; step < T; step++) {
                size_t next = words[direction ? T - step - 1 : step + 1];
                sum = tape_add(&t->tape, sum, log_p(t, x + step * P, batch->vocab_ids[next], s));
            }
        }
    free(x);
    return tape_divide(&t->tape, sum,
                       tape_number(&t->tape, -2.0 * (double)(T * batch->n_sentences)));
}

/* The softmax is sparse: the rows of samples and targets are updated, the others are left alone. */
static void mark_touched(struct naive_training *t, const struct bilm_batch *batch,
                         const struct samples *s)
{
    size_t P = t->net->options.proj_dim, W = tensor(t, SOFTMAX_W), b = tensor(t, SOFTMAX_B);
    memset(t->is_touched, 0, net_size(t->net));
    memset(t->is_touched, 1, t->net->n_dense);
    for (size_t k = 0; k < s->n + batch->n_words; k++) {
        size_t id = k < s->n ? s->ids[k] : batch->vocab_ids[k - s->n];
        memset(t->is_touched + W + id * P, 1, P);
        t->is_touched[b + id] = 1;
    }
}

static void adam(struct naive_training *t, const struct naive_step *step)
{
    double squares = 0;
    for (size_t k = 0; k < net_size(t->net); k++)
        squares += pow(tape_gradient(&t->tape, k), 2);
    double scale = fmin(1, step->max_norm / sqrt(squares));
    t->n_steps++;
    for (size_t k = 0; k < net_size(t->net); k++) {
        if (!t->is_touched[k])
            continue;
        double g = scale * tape_gradient(&t->tape, k);
        t->first[k] = 0.9 * t->first[k] + 0.1 * g;
        t->second[k] = 0.999 * t->second[k] + 0.001 * g * g;
        double mean = t->first[k] / (1 - pow(0.9, (double)t->n_steps)),
               variance = t->second[k] / (1 - pow(0.999, (double)t->n_steps));
        t->values[k] -= step->learning_rate * mean / (sqrt(variance) + 1e-8);
    }
}

double naive_training_step(struct naive_training *t, const struct bilm_batch *batch,
                           const struct naive_step *step)
{
    size_t P = t->net->options.proj_dim, *vectors = vector(batch->n_words * P);
    struct samples s;
    tape_forget(&t->tape);
    for (size_t k = 0; k < net_size(t->net); k++)
        tape_number(&t->tape, t->values[k]);
    draw_samples(&s, step->n_samples, t->net->n_vocab, step->step_seed);
    for (size_t k = 0; k < batch->n_words; k++)
        encode_word(t, vectors + k * P, batch->words[k]);
    size_t loss = objective(t, vectors, batch, &s);
    tape_backward(&t->tape, loss);
    mark_touched(t, batch, &s);
    adam(t, step);
    free(vectors);
    free(s.ids);
    free(s.probability);
    return tape_value(&t->tape, loss);
}

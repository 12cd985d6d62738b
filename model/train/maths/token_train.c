#include "token_train.h"

#include <string.h>

#include "loops.h"
#include "products.h"
#include "text/char_ids.h"

/* Words whose convolution windows are worked on at once, so that the products stay in cache. */
#define CHUNK_WORDS 64

/* As in token_encoder.c: windows that see a character, and one of padding alone. */
static size_t n_windows(size_t n_chars, size_t width, size_t max_chars)
{
    size_t last = max_chars - width;
    return (n_chars < last ? n_chars : last) + 1;
}

struct conv_scratch {
    real *windows;  /* [rows, width * D] */
    real *products; /* [rows, n_filters] */
};

static bool conv_scratch_init(struct conv_scratch *s, const struct options *o, struct arena *arena)
{
    size_t widest = 0, most = 0, rows = CHUNK_WORDS * o->max_chars;
    for (size_t k = 0; k < o->n_char_filters; k++) {
        const struct char_filter *f = &o->char_filters[k];
        widest = f->width > widest ? f->width : widest;
        most = f->n_filters > most ? f->n_filters : most;
    }
    s->windows = ARENA_NEW(arena, real, rows * widest * o->char_dim);
    s->products = ARENA_NEW(arena, real, rows * most);
    return s->windows && s->products;
}

/* The windows of words [first, end) under one filter; returns their number. */
static size_t gather_windows(const struct conv_scratch *s, const struct token_tape *tape,
                             size_t first, size_t end, size_t width, const struct options *o,
                             const real *char_embed)
{
    size_t row = 0, D = o->char_dim;
    for (size_t word = first; word < end; word++) {
        const uint16_t *ids = tape->ids + word * o->max_chars;
        size_t n = n_windows(tape->n_chars[word], width, o->max_chars);
        for (size_t p = 0; p < n; p++, row++)
            for (size_t k = 0; k < width; k++)
                memcpy(s->windows + (row * width + k) * D, char_embed + ids[p + k] * D,
                       D * sizeof(real));
    }
    return row;
}

static real activate(real x, enum activation activation)
{
    return activation == ACT_TANH ? real_tanh(x) : x > 0 ? x : 0;
}

/* Derivative of the activation, from its value. */
static real activation_slope(real y, enum activation activation)
{
    return activation == ACT_TANH ? 1 - y * y : y > 0 ? 1 : 0;
}

/* y[n] = act(max over windows + bias), and which window it was. */
static void max_over_time(real *y, uint16_t *argmax, const real *products, size_t rows,
                          const real *bias, size_t n_filters, enum activation activation)
{
    loops_best()->column_maxima(y, argmax, products, rows, n_filters);
    for (size_t n = 0; n < n_filters; n++)
        y[n] = activate(y[n] + bias[n], activation);
}

static void conv_forward(const struct conv_scratch *s, const struct token_tape *tape, size_t first,
                         size_t end, size_t filter, size_t column, const struct options *o,
                         const struct net_tensors *w)
{
    const struct char_filter *f = &o->char_filters[filter];
    size_t row = 0, F = o->filter_dim;
    size_t rows = gather_windows(s, tape, first, end, f->width, o, w->char_embed);
    product_linear(s->products, s->windows, w->conv[filter].kernel, rows, f->width * o->char_dim,
                   f->n_filters, false);
    for (size_t word = first; word < end; word++) {
        size_t n = n_windows(tape->n_chars[word], f->width, o->max_chars);
        max_over_time(tape->features + word * F + column, tape->argmax + word * F + column,
                      s->products + row * f->n_filters, n, w->conv[filter].bias, f->n_filters,
                      o->activation);
        row += n;
    }
}

/* dy goes to the window that won and to the bias; everything else is a product. */
static void conv_backward(const struct conv_scratch *s, const struct token_tape *tape,
                          const real *dfeatures, size_t first, size_t end, size_t filter,
                          size_t column, const struct options *o, const struct net_tensors *w,
                          const struct net_tensors *g)
{
    const struct char_filter *f = &o->char_filters[filter];
    size_t row = 0, F = o->filter_dim, D = o->char_dim, K = f->width * D;
    size_t rows = gather_windows(s, tape, first, end, f->width, o, w->char_embed);
    memset(s->products, 0, rows * f->n_filters * sizeof(real));
    for (size_t word = first; word < end; word++) {
        for (size_t n = 0; n < f->n_filters; n++) {
            size_t at = word * F + column + n;
            real dy = dfeatures[at] * activation_slope(tape->features[at], o->activation);
            s->products[(row + tape->argmax[at]) * f->n_filters + n] = dy;
            g->conv[filter].bias[n] += dy;
        }
        row += n_windows(tape->n_chars[word], f->width, o->max_chars);
    }
    product_linear_dw(g->conv[filter].kernel, s->windows, s->products, rows, K, f->n_filters);
    product_linear_dx(s->windows, s->products, w->conv[filter].kernel, rows, K, f->n_filters,
                      false);
    row = 0;
    for (size_t word = first; word < end; word++) {
        const uint16_t *ids = tape->ids + word * o->max_chars;
        size_t n = n_windows(tape->n_chars[word], f->width, o->max_chars);
        for (size_t p = 0; p < n; p++, row++)
            for (size_t k = 0; k < f->width; k++)
                for (size_t d = 0; d < D; d++)
                    g->char_embed[ids[p + k] * D + d] += s->windows[(row * f->width + k) * D + d];
    }
}

static void add_bias(real *y, const real *bias, size_t rows, size_t n)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < n; k++)
            y[row * n + k] += bias[k];
}

static void add_bias_gradient(real *dbias, const real *dy, size_t rows, size_t n)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < n; k++)
            dbias[k] += dy[row * n + k];
}

/* y' = g t + (1 - g) y with g = sigmoid(y W_carry + b), t = relu(y W_transform + b). */
static void highway_forward(const struct token_tape *tape, size_t k, size_t F,
                            const struct net_highway *w)
{
    size_t n = tape->n_words, at = k * n * F;
    const real *y = tape->features + at;
    real *next = tape->features + at + n * F, *gate = tape->gates + at,
         *transform = tape->transforms + at;
    product_linear(gate, y, w->w_carry, n, F, F, false);
    add_bias(gate, w->b_carry, n, F);
    product_linear(transform, y, w->w_transform, n, F, F, false);
    add_bias(transform, w->b_transform, n, F);
    loops_best()->highway_forward(next, gate, transform, y, n * F);
}

/* dy [n_words, F] from the gradient of the highway's output to that of its input, in place. */
static void highway_backward(real *dy, real *dgate, real *dtransform, const struct token_tape *tape,
                             size_t k, size_t F, const struct net_highway *w,
                             const struct net_highway *g)
{
    size_t n = tape->n_words, at = k * n * F;
    const real *y = tape->features + at, *gate = tape->gates + at,
               *transform = tape->transforms + at;
    loops_best()->highway_backward(dy, dgate, dtransform, y, gate, transform, n * F);
    product_linear_dw(g->w_carry, y, dgate, n, F, F);
    product_linear_dw(g->w_transform, y, dtransform, n, F, F);
    add_bias_gradient(g->b_carry, dgate, n, F);
    add_bias_gradient(g->b_transform, dtransform, n, F);
    product_linear_dx(dy, dgate, w->w_carry, n, F, F, true);
    product_linear_dx(dy, dtransform, w->w_transform, n, F, F, true);
}

static bool tape_init(struct token_tape *tape, const struct elmo_token *const *words,
                      size_t n_words, const struct options *o, struct arena *arena)
{
    size_t layer = n_words * o->filter_dim;
    *tape = (struct token_tape){
        .n_words = n_words,
        .words = words,
        .ids = ARENA_NEW(arena, uint16_t, n_words * o->max_chars),
        .n_chars = ARENA_NEW(arena, uint16_t, n_words),
        .argmax = ARENA_NEW(arena, uint16_t, layer),
        .features = ARENA_NEW(arena, real, layer * (1 + o->n_highway)),
        .gates = ARENA_NEW(arena, real, layer * o->n_highway),
        .transforms = ARENA_NEW(arena, real, layer * o->n_highway),
    };
    if (!tape->ids || !tape->n_chars || !tape->argmax || !tape->features || !tape->gates ||
        !tape->transforms)
        return false;
    for (size_t k = 0; k < n_words; k++)
        tape->n_chars[k] = (uint16_t)char_ids(tape->ids + k * o->max_chars, o->max_chars, words[k]);
    return true;
}

bool token_forward(real *vectors, struct token_tape *tape, const struct elmo_token *const *words,
                   size_t n_words, const struct net *net, const struct net_tensors *w,
                   struct arena *arena)
{
    const struct options *o = &net->options;
    struct conv_scratch s;
    size_t F = o->filter_dim, P = o->proj_dim;
    if (!tape_init(tape, words, n_words, o, arena) || !conv_scratch_init(&s, o, arena))
        return false;
    for (size_t first = 0; first < n_words; first += CHUNK_WORDS) {
        size_t end = first + CHUNK_WORDS < n_words ? first + CHUNK_WORDS : n_words;
        for (size_t k = 0, column = 0; k < o->n_char_filters; k++) {
            conv_forward(&s, tape, first, end, k, column, o, w);
            column += o->char_filters[k].n_filters;
        }
    }
    for (size_t k = 0; k < o->n_highway; k++)
        highway_forward(tape, k, F, &w->highway[k]);
    product_linear(vectors, tape->features + o->n_highway * n_words * F, w->w_proj, n_words, F, P,
                   false);
    add_bias(vectors, w->b_proj, n_words, P);
    return true;
}

bool token_backward(const real *dvectors, const struct token_tape *tape, const struct net *net,
                    const struct net_tensors *w, const struct net_tensors *g, struct arena *arena)
{
    const struct options *o = &net->options;
    struct conv_scratch s;
    size_t F = o->filter_dim, P = o->proj_dim, n = tape->n_words;
    real *dy = ARENA_NEW(arena, real, n * F), *dgate = ARENA_NEW(arena, real, n * F),
         *dtransform = ARENA_NEW(arena, real, n * F);
    if (!dy || !dgate || !dtransform || !conv_scratch_init(&s, o, arena))
        return false;
    product_linear_dw(g->w_proj, tape->features + o->n_highway * n * F, dvectors, n, F, P);
    add_bias_gradient(g->b_proj, dvectors, n, P);
    product_linear_dx(dy, dvectors, w->w_proj, n, F, P, false);
    for (size_t k = o->n_highway; k-- > 0;)
        highway_backward(dy, dgate, dtransform, tape, k, F, &w->highway[k], &g->highway[k]);
    for (size_t first = 0; first < n; first += CHUNK_WORDS) {
        size_t end = first + CHUNK_WORDS < n ? first + CHUNK_WORDS : n;
        for (size_t k = 0, column = 0; k < o->n_char_filters; k++) {
            conv_backward(&s, tape, dy, first, end, k, column, o, w, g);
            column += o->char_filters[k].n_filters;
        }
    }
    return true;
}

#include "lstm_train.h"

#include <string.h>

/* ---- Dropout ---- */

/* x *= keep, where keep is 0 with probability `dropout` and 1 / (1 - dropout) else. */
static bool drop(real *x, real **ret_keep, size_t n, real dropout, struct rng *rng,
                 struct arena *arena)
{
    *ret_keep = NULL;
    if (!(dropout > 0))
        return true;
    real *keep = ARENA_NEW(arena, real, n);
    if (!keep)
        return false;
    for (size_t k = 0; k < n; k++) {
        keep[k] = rng_uniform(rng) < (double)dropout ? 0 : 1 / (1 - dropout);
        x[k] *= keep[k];
    }
    *ret_keep = keep;
    return true;
}

static void drop_backward(real *dx, const real *keep, size_t n)
{
    for (size_t k = 0; keep && k < n; k++)
        dx[k] *= keep[k];
}

/* ---- Forward ---- */

static real clipped(real x, real clip)
{
    if (!(clip > 0))
        return x;
    return x > clip ? clip : x < -clip ? -clip : x;
}

/* Gradients stop where a clip has cut: a value on the rim was cut. */
static bool was_clipped(real x, real clip)
{
    return clip > 0 && (x >= clip || x <= -clip);
}

static bool tape_init(struct lstm_layer_tape *tape, size_t T, size_t B, size_t P, size_t C,
                      struct arena *arena)
{
    size_t n = T * B;
    *tape = (struct lstm_layer_tape){
        .x = ARENA_NEW(arena, real, n * P),
        .gates = ARENA_NEW(arena, real, n * 4 * C),
        .c = ARENA_NEW(arena, real, (n + B) * C),
        .tanh_c = ARENA_NEW(arena, real, n * C),
        .m = ARENA_NEW(arena, real, n * C),
        .h = ARENA_NEW(arena, real, (n + B) * P),
    };
    if (!tape->x || !tape->gates || !tape->c || !tape->tanh_c || !tape->m || !tape->h)
        return false;
    memset(tape->c, 0, B * C * sizeof(real));
    memset(tape->h, 0, B * P * sizeof(real));
    return true;
}

/* gates [4C] from pre-activations to activations; the new c, its tanh, and m. */
static void cell_forward(real *restrict gates, const real *restrict c_before, real *restrict c,
                         real *restrict tanh_c, real *restrict m, size_t C, real clip)
{
    real *i = gates, *j = gates + C, *f = gates + 2 * C, *o = gates + 3 * C;
    for (size_t k = 0; k < C; k++) {
        i[k] = real_sigmoid(i[k]);
        j[k] = real_tanh(j[k]);
        f[k] = real_sigmoid(f[k] + 1);
        o[k] = real_sigmoid(o[k]);
        c[k] = clipped(f[k] * c_before[k] + i[k] * j[k], clip);
        tanh_c[k] = real_tanh(c[k]);
        m[k] = o[k] * tanh_c[k];
    }
}

static void layer_forward(const struct lstm_layer_tape *l, size_t T, size_t B,
                          const struct options *o, const struct net_lstm *w)
{
    size_t P = o->proj_dim, C = o->cell_dim;
    for (size_t row = 0; row < T * B; row++)
        memcpy(l->gates + row * 4 * C, w->b, 4 * C * sizeof(real));
    real_linear(l->gates, l->x, w->w, T * B, P, 4 * C, 1);
    for (size_t t = 0; t < T; t++) {
        real *gates = l->gates + t * B * 4 * C, *h = l->h + (t + 1) * B * P;
        real_linear(gates, l->h + t * B * P, w->w + P * 4 * C, B, P, 4 * C, 1);
        for (size_t b = 0; b < B; b++) {
            size_t before = (t * B + b) * C, after = before + B * C;
            cell_forward(gates + b * 4 * C, l->c + before, l->c + after, l->tanh_c + before,
                         l->m + before, C, (real)o->cell_clip);
        }
        real_linear(h, l->m + t * B * C, w->w_proj, B, C, P, 0);
        for (size_t k = 0; k < B * P; k++)
            h[k] = clipped(h[k], (real)o->proj_clip);
    }
}

static bool has_residual(const struct options *o, size_t layer)
{
    return layer > 0 && o->skip_connections;
}

bool lstm_forward(real *output, struct lstm_tape *tape, const real *input, size_t T, size_t B,
                  real dropout, struct rng *rng, const struct options *o, const struct net_lstm *w,
                  struct arena *arena)
{
    size_t P = o->proj_dim, n = T * B * P;
    tape->T = T;
    tape->B = B;
    memcpy(output, input, n * sizeof(real));
    for (size_t layer = 0; layer < o->n_layers; layer++) {
        struct lstm_layer_tape *l = &tape->layers[layer];
        if (!tape_init(l, T, B, P, o->cell_dim, arena))
            return false;
        memcpy(l->x, output, n * sizeof(real));
        if (!drop(l->x, &l->keep, n, dropout, rng, arena))
            return false;
        layer_forward(l, T, B, o, &w[layer]);
        memcpy(output, l->h + B * P, n * sizeof(real));
        for (size_t k = 0; k < n && has_residual(o, layer); k++)
            output[k] += l->x[k];
    }
    return drop(output, &tape->keep, n, dropout, rng, arena);
}

/* ---- Backward ---- */

/* gates [4C] become their pre-activations' gradients; dc is carried from step to step. */
static void cell_backward(real *restrict gates, const real *restrict dm,
                          const real *restrict c_before, const real *restrict c,
                          const real *restrict tanh_c, real *restrict dc, size_t C, real clip)
{
    real *i = gates, *j = gates + C, *f = gates + 2 * C, *o = gates + 3 * C;
    for (size_t k = 0; k < C; k++) {
        real d = dc[k] + dm[k] * o[k] * (1 - tanh_c[k] * tanh_c[k]);
        if (was_clipped(c[k], clip))
            d = 0;
        dc[k] = d * f[k];
        o[k] = dm[k] * tanh_c[k] * o[k] * (1 - o[k]);
        f[k] = d * c_before[k] * f[k] * (1 - f[k]);
        real di = d * j[k] * i[k] * (1 - i[k]);
        j[k] = d * i[k] * (1 - j[k] * j[k]);
        i[k] = di;
    }
}

struct backward_scratch {
    real *dh;       /* [T * B, P] of the projection's result, before its clip */
    real *dh_carry; /* [B, P] from the step behind */
    real *dm, *dc;  /* [B, C] */
};

/* dh [T * B, P] is the gradient of the layer's h; the gates become their gradients. */
static void layer_backward_through_time(const struct backward_scratch *s,
                                        const struct lstm_layer_tape *l, size_t T, size_t B,
                                        const struct options *o, const struct net_lstm *w)
{
    size_t P = o->proj_dim, C = o->cell_dim;
    memset(s->dh_carry, 0, B * P * sizeof(real));
    memset(s->dc, 0, B * C * sizeof(real));
    for (size_t t = T; t-- > 0;) {
        real *dh = s->dh + t * B * P, *gates = l->gates + t * B * 4 * C;
        const real *h = l->h + (t + 1) * B * P;
        for (size_t k = 0; k < B * P; k++)
            dh[k] = was_clipped(h[k], (real)o->proj_clip) ? 0 : dh[k] + s->dh_carry[k];
        real_linear_dx(s->dm, dh, w->w_proj, B, C, P, 0);
        for (size_t b = 0; b < B; b++) {
            size_t before = (t * B + b) * C, after = before + B * C;
            cell_backward(gates + b * 4 * C, s->dm + b * C, l->c + before, l->c + after,
                          l->tanh_c + before, s->dc + b * C, C, (real)o->cell_clip);
        }
        real_linear_dx(s->dh_carry, gates, w->w + P * 4 * C, B, P, 4 * C, 0);
    }
}

/* All products that do not depend on the step before, once over all steps. */
static void layer_weight_gradients(real *dx, const struct backward_scratch *s,
                                   const struct lstm_layer_tape *l, size_t rows, real keep_dx,
                                   const struct options *o, const struct net_lstm *w,
                                   const struct net_lstm *g)
{
    size_t P = o->proj_dim, C = o->cell_dim;
    real_linear_dw(g->w, l->x, l->gates, rows, P, 4 * C);
    real_linear_dw(g->w + P * 4 * C, l->h, l->gates, rows, P, 4 * C);
    real_linear_dw(g->w_proj, l->m, s->dh, rows, C, P);
    for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < 4 * C; k++)
            g->b[k] += l->gates[row * 4 * C + k];
    real_linear_dx(dx, l->gates, w->w, rows, P, 4 * C, keep_dx);
}

bool lstm_backward(real *doutput, const struct lstm_tape *tape, const struct options *o,
                   const struct net_lstm *w, const struct net_lstm *g, struct arena *arena)
{
    size_t T = tape->T, B = tape->B, P = o->proj_dim, C = o->cell_dim, n = T * B * P;
    struct backward_scratch s = {
        .dh = ARENA_NEW(arena, real, n),
        .dh_carry = ARENA_NEW(arena, real, B * P),
        .dm = ARENA_NEW(arena, real, B * C),
        .dc = ARENA_NEW(arena, real, B * C),
    };
    if (!s.dh || !s.dh_carry || !s.dm || !s.dc)
        return false;
    drop_backward(doutput, tape->keep, n);
    for (size_t layer = o->n_layers; layer-- > 0;) {
        const struct lstm_layer_tape *l = &tape->layers[layer];
        memcpy(s.dh, doutput, n * sizeof(real));
        layer_backward_through_time(&s, l, T, B, o, &w[layer]);
        layer_weight_gradients(doutput, &s, l, T * B, has_residual(o, layer), o, &w[layer],
                               &g[layer]);
        drop_backward(doutput, l->keep, n);
    }
    return true;
}

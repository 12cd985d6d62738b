/* One direction's LSTM layers for training: forward with a tape of what backward needs, then
 * backpropagation through time. Forward, per time step and layer (model/inference/README.md, 5.1 to
 * 5.5):
 *
 *     i, j, f, o = [x; h] W + B
 *     c = clip(sigmoid(f + 1) c + sigmoid(i) tanh(j), cell_clip)
 *     h = clip((sigmoid(o) tanh(c)) W_P, proj_clip)
 *     out = h in the lowest layer, h + x above
 *
 * Backward is the chain rule of these lines from the last step to the first; a clip passes a
 * gradient where it did not cut. */
#include "lstm_train.h"

#include <string.h>

#include "loops.h"
#include "products.h"

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

/* What a time step multiplies by, packed; [n_in, n_out] is what each of them is. */
struct step_weights {
    real *recurrent, *projection; /* forward [P, 4C], [C, P]; backward [4C, P], [P, C] */
};

/* The step weights of the pass forward, or of that back. False: out of memory. */
static bool pack_step_weights(struct step_weights *ret, const struct net_lstm *w, bool forward,
                              size_t P, size_t C, struct arena *arena)
{
    const real *recurrent = w->w + P * 4 * C;
    size_t n_recurrent = forward ? product_packed_size(P, 4 * C) : product_packed_size(4 * C, P),
           n_projection = forward ? product_packed_size(C, P) : product_packed_size(P, C);
    ret->recurrent = ARENA_NEW(arena, real, n_recurrent);
    ret->projection = ARENA_NEW(arena, real, n_projection);
    if (!ret->recurrent || !ret->projection)
        return false;
    if (forward) {
        product_pack(ret->recurrent, recurrent, P, 4 * C, false);
        product_pack(ret->projection, w->w_proj, C, P, false);
    } else {
        product_pack(ret->recurrent, recurrent, 4 * C, P, true);
        product_pack(ret->projection, w->w_proj, P, C, true);
    }
    return true;
}

static bool layer_forward(const struct lstm_layer_tape *l, size_t T, size_t B,
                          const struct options *o, const struct net_lstm *w, struct arena *arena)
{
    const struct loops *loops = loops_best();
    struct step_weights step;
    size_t P = o->proj_dim, C = o->cell_dim;
    if (!pack_step_weights(&step, w, true, P, C, arena))
        return false;
    product_linear(l->gates, l->x, w->w, T * B, P, 4 * C, false);
    for (size_t t = 0; t < T; t++) {
        real *gates = l->gates + t * B * 4 * C, *h = l->h + (t + 1) * B * P;
        product_packed_linear(gates, l->h + t * B * P, step.recurrent, B, P, 4 * C, true);
        for (size_t b = 0; b < B; b++) {
            size_t before = (t * B + b) * C, after = before + B * C;
            loops->cell_forward(gates + b * 4 * C, w->b, l->c + before, l->c + after,
                                l->tanh_c + before, l->m + before, C, (real)o->cell_clip);
        }
        product_packed_linear(h, l->m + t * B * C, step.projection, B, C, P, false);
        for (size_t k = 0; k < B * P; k++)
            h[k] = clipped(h[k], (real)o->proj_clip);
    }
    return true;
}

static bool has_residual(const struct options *o, size_t layer)
{
    return layer > 0 && o->skip_connections;
}

/* Dropout of n numbers of the tape, if there is any. */
static void drop(real *x, size_t n, const struct lstm_tape *tape, uint64_t key)
{
    if (tape->dropout > 0)
        loops_best()->drop(x, n, tape->dropout, key);
}

bool lstm_forward(real *output, struct lstm_tape *tape, const real *input, size_t T, size_t B,
                  real dropout, struct rng *rng, const struct options *o, const struct net_lstm *w,
                  struct arena *arena)
{
    size_t P = o->proj_dim, n = T * B * P;
    tape->T = T;
    tape->B = B;
    tape->dropout = dropout;
    memcpy(output, input, n * sizeof(real));
    for (size_t layer = 0; layer < o->n_layers; layer++) {
        struct lstm_layer_tape *l = &tape->layers[layer];
        if (!tape_init(l, T, B, P, o->cell_dim, arena))
            return false;
        memcpy(l->x, output, n * sizeof(real));
        l->drop_key = dropout > 0 ? rng_next(rng) : 0;
        drop(l->x, n, tape, l->drop_key);
        if (!layer_forward(l, T, B, o, &w[layer], arena))
            return false;
        memcpy(output, l->h + B * P, n * sizeof(real));
        for (size_t k = 0; k < n && has_residual(o, layer); k++)
            output[k] += l->x[k];
    }
    tape->drop_key = dropout > 0 ? rng_next(rng) : 0;
    drop(output, n, tape, tape->drop_key);
    return true;
}

/* ---- Backward ---- */

struct backward_scratch {
    real *dh;       /* [T * B, P] of the projection's result, before its clip */
    real *dh_carry; /* [B, P] from the step behind */
    real *dm, *dc;  /* [B, C] */
};

/* dh [T * B, P] is the gradient of the layer's h; the gates become their gradients. */
static void layer_backward_through_time(const struct backward_scratch *s,
                                        const struct lstm_layer_tape *l, size_t T, size_t B,
                                        const struct options *o, const struct step_weights *step)
{
    const struct loops *loops = loops_best();
    size_t P = o->proj_dim, C = o->cell_dim;
    memset(s->dh_carry, 0, B * P * sizeof(real));
    memset(s->dc, 0, B * C * sizeof(real));
    for (size_t t = T; t-- > 0;) {
        real *dh = s->dh + t * B * P, *gates = l->gates + t * B * 4 * C;
        const real *h = l->h + (t + 1) * B * P;
        for (size_t k = 0; k < B * P; k++)
            dh[k] = was_clipped(h[k], (real)o->proj_clip) ? 0 : dh[k] + s->dh_carry[k];
        product_packed_linear(s->dm, dh, step->projection, B, P, C, false);
        for (size_t b = 0; b < B; b++) {
            size_t before = (t * B + b) * C, after = before + B * C;
            loops->cell_backward(gates + b * 4 * C, s->dm + b * C, l->c + before, l->c + after,
                                 l->tanh_c + before, s->dc + b * C, C, (real)o->cell_clip);
        }
        product_packed_linear(s->dh_carry, gates, step->recurrent, B, 4 * C, P, false);
    }
}

/* All products that do not depend on the step before, once over all steps. */
static void layer_weight_gradients(real *dx, const struct backward_scratch *s,
                                   const struct lstm_layer_tape *l, size_t rows, bool add_dx,
                                   const struct options *o, const struct net_lstm *w,
                                   const struct net_lstm *g)
{
    size_t P = o->proj_dim, C = o->cell_dim;
    product_linear_dw(g->w, l->x, l->gates, rows, P, 4 * C);
    product_linear_dw(g->w + P * 4 * C, l->h, l->gates, rows, P, 4 * C);
    product_linear_dw(g->w_proj, l->m, s->dh, rows, C, P);
    for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < 4 * C; k++)
            g->b[k] += l->gates[row * 4 * C + k];
    product_linear_dx(dx, l->gates, w->w, rows, P, 4 * C, add_dx);
}

bool lstm_backward(real *doutput, const real *const *dlayers, const struct lstm_tape *tape,
                   const struct options *o, const struct net_lstm *w, const struct net_lstm *g,
                   struct arena *arena)
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
    drop(doutput, n, tape, tape->drop_key);
    for (size_t layer = o->n_layers; layer-- > 0;) {
        const struct lstm_layer_tape *l = &tape->layers[layer];
        struct step_weights step;
        if (!pack_step_weights(&step, &w[layer], false, P, C, arena))
            return false;
        memcpy(s.dh, doutput, n * sizeof(real));
        layer_backward_through_time(&s, l, T, B, o, &step);
        layer_weight_gradients(doutput, &s, l, T * B, has_residual(o, layer), o, &w[layer],
                               &g[layer]);
        for (size_t k = 0; k < n && dlayers && layer; k++)
            doutput[k] += dlayers[layer - 1][k];
        drop(doutput, n, tape, l->drop_key);
    }
    return true;
}

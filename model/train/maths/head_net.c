#include "head_net.h"

#include <string.h>

#include "cross_entropy.h"
#include "util/rng.h"

struct head_net head_net_make(const struct options *o, bool all_layers, bool max, size_t hidden_dim,
                              size_t output_dim)
{
    size_t all = head_pooled_dim(o, true);
    return (struct head_net){
        .shape = {.input_dim = all_layers ? all * (max ? 2 : 1) : 2 * o->proj_dim,
                  .hidden_dim = hidden_dim,
                  .output_dim = output_dim,
                  .all_layers = all_layers},
        .n_layers = o->n_layers,
        .proj_dim = o->proj_dim,
        .n_features = all * (all_layers && max ? 2 : 1),
    };
}

static size_t n_mix(const struct head_net *net)
{
    return net->shape.all_layers ? 0 : net->n_layers + 2;
}

size_t head_net_size(const struct head_net *net)
{
    const struct head_shape *s = &net->shape;
    return n_mix(net) + (s->input_dim + 1) * s->hidden_dim + (s->hidden_dim + 1) * s->output_dim;
}

void head_net_params(struct head_params *ret, const struct head_net *net, real *flat)
{
    const struct head_shape *s = &net->shape;
    real *w1 = flat + n_mix(net);
    *ret = (struct head_params){
        .mix_weights = s->all_layers ? NULL : flat,
        .mix_gamma = s->all_layers ? NULL : flat + net->n_layers + 1,
        .w1 = w1,
        .b1 = w1 + s->input_dim * s->hidden_dim,
        .w2 = w1 + (s->input_dim + 1) * s->hidden_dim,
        .b2 = w1 + (s->input_dim + 1) * s->hidden_dim + s->hidden_dim * s->output_dim,
    };
}

static void fill_glorot(real *w, size_t n_in, size_t n_out, struct rng *rng)
{
    double width = sqrt(6 / (double)(n_in + n_out));
    for (size_t k = 0; k < n_in * n_out; k++)
        w[k] = (real)(width * (2 * rng_uniform(rng) - 1));
}

void head_net_randomize(const struct head_net *net, real *flat, uint64_t seed)
{
    struct head_params p;
    struct rng rng = {seed};
    memset(flat, 0, head_net_size(net) * sizeof *flat);
    head_net_params(&p, net, flat);
    if (p.mix_gamma)
        *p.mix_gamma = 1;
    fill_glorot(p.w1, net->shape.input_dim, net->shape.hidden_dim, &rng);
    fill_glorot(p.w2, net->shape.hidden_dim, net->shape.output_dim, &rng);
}

/* ---- Scalar mix ---- */

static void mix_shares(real *shares, const struct head_net *net, const struct head_params *p)
{
    real greatest = p->mix_weights[0], sum = 0;
    for (size_t k = 1; k <= net->n_layers; k++)
        greatest = p->mix_weights[k] > greatest ? p->mix_weights[k] : greatest;
    for (size_t k = 0; k <= net->n_layers; k++)
        sum += shares[k] = (real)exp((double)(p->mix_weights[k] - greatest));
    for (size_t k = 0; k <= net->n_layers; k++)
        shares[k] /= sum;
}

/* Element d < 2P of representation k in a text's features: layer 0 is [x ; x]. */
static size_t feature_at(const struct head_net *net, size_t k, size_t d)
{
    size_t P = net->proj_dim;
    return k ? P + (k - 1) * 2 * P + d : d % P;
}

static void mix_forward(real *input, const struct head_net *net, const struct head_params *p,
                        const struct head_batch *batch)
{
    real shares[OPTIONS_MAX_LAYERS + 1];
    size_t D = net->shape.input_dim;
    mix_shares(shares, net, p);
    memset(input, 0, batch->n * D * sizeof *input);
    for (size_t b = 0; b < batch->n; b++)
        for (size_t k = 0; k <= net->n_layers; k++)
            for (size_t d = 0; d < D; d++)
                input[b * D + d] += *p->mix_gamma * shares[k] *
                                    batch->features[b * net->n_features + feature_at(net, k, d)];
}

/* d loss / d share_k = gamma * <dinput, layer_k>; through the softmax, and to the layers. */
static void mix_backward(real *dfeatures, const struct head_params *g, const struct head_net *net,
                         const struct head_params *p, const struct head_batch *batch,
                         const real *dinput)
{
    real shares[OPTIONS_MAX_LAYERS + 1], dot[OPTIONS_MAX_LAYERS + 1] = {0}, mean = 0;
    size_t D = net->shape.input_dim, F = net->n_features;
    mix_shares(shares, net, p);
    for (size_t b = 0; b < batch->n; b++)
        for (size_t k = 0; k <= net->n_layers; k++)
            for (size_t d = 0; d < D; d++) {
                size_t at = b * F + feature_at(net, k, d);
                dot[k] += dinput[b * D + d] * batch->features[at];
                if (dfeatures)
                    dfeatures[at] += *p->mix_gamma * shares[k] * dinput[b * D + d];
            }
    for (size_t k = 0; k <= net->n_layers; k++)
        mean += shares[k] * dot[k];
    *g->mix_gamma += mean;
    for (size_t k = 0; k <= net->n_layers; k++)
        g->mix_weights[k] += *p->mix_gamma * shares[k] * (dot[k] - mean);
}

/* ---- Loss ---- */

/* logits [n, K] become d mean loss / d logits; returns the mean loss. z [K] is scratch. */
static double loss_and_gradient(real *logits, size_t K, const uint32_t *labels, size_t n, double *z)
{
    double loss = 0;
    for (size_t b = 0; b < n; b++) {
        for (size_t k = 0; k < K; k++)
            z[k] = (double)logits[b * K + k];
        loss += cross_entropy(z, K, labels[b]);
        for (size_t k = 0; k < K; k++)
            logits[b * K + k] = (real)(z[k] / (double)n);
    }
    return loss / (double)n;
}

/* ---- The whole of it ---- */

struct head_tape {
    real *input;          /* [n, D] before whitening; of "layers" the features */
    real *z;              /* [n, D] whitened */
    real *hidden;         /* [n, H] after relu and dropout */
    real *keep;           /* [n, H] of dropout; NULL: none */
    real *logits;         /* [n, K] */
    double *loss_scratch; /* [K] */
    real *dz, *dinput, *dhidden;
};

static bool tape_init(struct head_tape *t, const struct head_net *net, size_t n, bool backward,
                      bool dropout, struct arena *arena)
{
    const struct head_shape *s = &net->shape;
    size_t D = s->input_dim, H = s->hidden_dim;
    *t = (struct head_tape){
        .input = ARENA_NEW(arena, real, n * D),
        .z = ARENA_NEW(arena, real, n * D),
        .hidden = ARENA_NEW(arena, real, n * H),
        .keep = dropout ? ARENA_NEW(arena, real, n * H) : NULL,
        .logits = ARENA_NEW(arena, real, n * s->output_dim),
        .loss_scratch = ARENA_NEW(arena, double, s->output_dim),
    };
    if (!t->input || !t->z || !t->hidden || (dropout && !t->keep) || !t->logits || !t->loss_scratch)
        return false;
    if (!backward)
        return true;
    t->dz = ARENA_NEW(arena, real, n * D);
    t->dinput = ARENA_NEW(arena, real, n * D);
    t->dhidden = ARENA_NEW(arena, real, n * H);
    return t->dz && t->dinput && t->dhidden;
}

static void whiten(struct head_tape *t, const struct head_net *net, size_t n)
{
    size_t D = net->shape.input_dim;
    for (size_t b = 0; b < n && net->centre; b++)
        for (size_t d = 0; d < D; d++)
            t->input[b * D + d] -= net->centre[d];
    for (size_t b = 0; b < n && net->scales; b++)
        for (size_t d = 0; d < D; d++)
            t->input[b * D + d] *= net->scales[d];
    if (net->whitener)
        real_linear(t->z, t->input, net->whitener, n, D, D, 0);
    else
        memcpy(t->z, t->input, n * D * sizeof *t->z);
}

/* y [n, n_out] = x @ w + b. */
static void dense(real *y, const real *x, const real *w, const real *b, size_t n, size_t n_in,
                  size_t n_out)
{
    for (size_t row = 0; row < n; row++)
        memcpy(y + row * n_out, b, n_out * sizeof *y);
    real_linear(y, x, w, n, n_in, n_out, 1);
}

static void forward(struct head_tape *t, const struct head_net *net, const struct head_params *p,
                    const struct head_batch *batch, double dropout, struct rng *rng)
{
    const struct head_shape *s = &net->shape;
    size_t n = batch->n, H = s->hidden_dim;
    if (s->all_layers)
        memcpy(t->input, batch->features, n * s->input_dim * sizeof *t->input);
    else
        mix_forward(t->input, net, p, batch);
    whiten(t, net, n);
    dense(t->hidden, t->z, p->w1, p->b1, n, s->input_dim, H);
    for (size_t k = 0; k < n * H; k++) {
        if (t->keep)
            t->keep[k] = rng_uniform(rng) < dropout ? 0 : (real)(1 / (1 - dropout));
        t->hidden[k] = t->hidden[k] > 0 ? t->hidden[k] * (t->keep ? t->keep[k] : 1) : 0;
    }
    dense(t->logits, t->hidden, p->w2, p->b2, n, H, s->output_dim);
}

static void add_rows(real *sum, const real *x, size_t n, size_t dim)
{
    for (size_t b = 0; b < n; b++)
        for (size_t d = 0; d < dim; d++)
            sum[d] += x[b * dim + d];
}

/* t->logits holds the loss's gradient. */
static void backward(struct head_tape *t, const struct head_params *g, real *dfeatures,
                     const struct head_net *net, const struct head_params *p,
                     const struct head_batch *batch)
{
    const struct head_shape *s = &net->shape;
    size_t n = batch->n, D = s->input_dim, H = s->hidden_dim, K = s->output_dim;
    real_linear_dw(g->w2, t->hidden, t->logits, n, H, K);
    add_rows(g->b2, t->logits, n, K);
    real_linear_dx(t->dhidden, t->logits, p->w2, n, H, K, 0);
    for (size_t k = 0; k < n * H; k++)
        t->dhidden[k] = t->hidden[k] > 0 ? t->dhidden[k] * (t->keep ? t->keep[k] : 1) : 0;
    real_linear_dw(g->w1, t->z, t->dhidden, n, D, H);
    add_rows(g->b1, t->dhidden, n, H);
    if (!dfeatures && s->all_layers)
        return;
    real_linear_dx(t->dz, t->dhidden, p->w1, n, D, H, 0);
    if (net->whitener)
        real_linear_dx(t->dinput, t->dz, net->whitener, n, D, D, 0);
    else
        memcpy(t->dinput, t->dz, n * D * sizeof *t->dz);
    for (size_t b = 0; b < n && net->scales; b++)
        for (size_t d = 0; d < D; d++)
            t->dinput[b * D + d] *= net->scales[d];
    if (dfeatures)
        memset(dfeatures, 0, n * net->n_features * sizeof *dfeatures);
    if (s->all_layers)
        memcpy(dfeatures, t->dinput, n * D * sizeof *dfeatures);
    else
        mix_backward(dfeatures, g, net, p, batch, t->dinput);
}

bool head_net_run(double *ret_loss, real *logits, real *gradients, real *dfeatures,
                  const struct head_net *net, real *values, const struct head_batch *batch,
                  double dropout, struct rng *rng, struct arena *arena)
{
    struct head_tape t;
    struct head_params p, g;
    size_t n_logits = batch->n * net->shape.output_dim;
    if (!tape_init(&t, net, batch->n, gradients, dropout > 0, arena))
        return false;
    head_net_params(&p, net, values);
    forward(&t, net, &p, batch, dropout, rng);
    if (logits)
        memcpy(logits, t.logits, n_logits * sizeof *logits);
    *ret_loss =
        loss_and_gradient(t.logits, net->shape.output_dim, batch->labels, batch->n, t.loss_scratch);
    if (!gradients)
        return true;
    head_net_params(&g, net, gradients);
    backward(&t, &g, dfeatures, net, &p, batch);
    return true;
}

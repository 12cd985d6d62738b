#include "tune_loss.h"

#include <string.h>

#include "adversary.h"
#include "bilm_input.h"
#include "error.h"
#include "lstm_train.h"
#include "util/rng.h"

struct tune_direction {
    struct arena arena;
    struct lstm_tape tape;
    real *x, *y;                                 /* [T * B, P] input, top output */
    uint32_t *winners[1 + OPTIONS_MAX_LAYERS];   /* [B, P] step of each maximum */
    const real *outputs[1 + OPTIONS_MAX_LAYERS]; /* [T * B, P] of each layer; [0] is x */
    const real *dx;                              /* [T * B, P] of the input */
    real *dvectors;                              /* [n_words, P] */
    bool out_of_memory;
};

struct tune_loss {
    const struct net *net;
    struct team *team;
    struct arena shared;
    struct tune_direction directions[2];
    /* Of the run at hand: */
    const struct bilm_batch *texts;
    const struct tune_settings *settings;
    const struct head_net *head;
    struct net_tensors weights, gradients;
    const real *vectors;        /* [n_words, P] */
    const real *shift;          /* [T * B, P] of the inputs; NULL: none */
    real *features, *dfeatures; /* [B, head->n_features] */
};

int tune_loss_new(struct tune_loss **ret_loss, const struct net *net, struct team *team,
                  struct elmo_error *err)
{
    struct tune_loss *l = calloc(1, sizeof *l);
    if (!l)
        return elmo_fail_nomem(err);
    l->net = net;
    l->team = team;
    *ret_loss = l;
    return 0;
}

void tune_loss_free(struct tune_loss *l)
{
    if (!l)
        return;
    arena_done(&l->directions[0].arena);
    arena_done(&l->directions[1].arena);
    arena_done(&l->shared);
    free(l);
}

/* ---- Pooling: layer 0 is read once, by the forward direction ---- */

static size_t n_kinds(const struct tune_loss *l)
{
    return l->head->n_features / head_pooled_dim(&l->net->options, true);
}

/* Where the mean of a layer's direction lies in a text's features; the maximum lies one half of the
 * features later. */
static size_t feature_at(const struct tune_loss *l, size_t layer, unsigned direction)
{
    size_t P = l->net->options.proj_dim;
    return layer ? P + (layer - 1) * 2 * P + direction * P : 0;
}

/* Of the steps 1.. of a text's y, rows of P that lie `stride` apart. */
static void maxima_over_time(real *max, uint32_t *winner, const real *y, size_t T, size_t stride,
                             size_t P)
{
    for (size_t p = 0; p < P; p++) {
        max[p] = T > 1 ? y[stride + p] : 0;
        winner[p] = 1;
    }
    for (size_t t = 2; t < T; t++)
        for (size_t p = 0; p < P; p++) {
            real value = y[t * stride + p];
            bool wins = value > max[p];
            max[p] = wins ? value : max[p];
            winner[p] = wins ? (uint32_t)t : winner[p];
        }
}

/* Steps 1.. of y [T * B, P] are the tokens; step 0 is <S> or, backward, </S>. */
static void pool_forward(struct tune_loss *l, struct tune_direction *d, size_t layer, size_t at)
{
    size_t P = l->net->options.proj_dim, T = l->texts->n_steps, B = l->texts->n_sentences;
    size_t F = l->head->n_features, half = F / 2;
    bool maxima = n_kinds(l) > 1;
    const real *y = d->outputs[layer];
    for (size_t b = 0; b < B; b++) {
        real *mean = l->features + b * F + at, *max = mean + half;
        memset(mean, 0, P * sizeof *mean);
        for (size_t t = 1; t < T; t++)
            for (size_t p = 0; p < P; p++)
                mean[p] += y[(t * B + b) * P + p];
        for (size_t p = 0; p < P && T > 1; p++)
            mean[p] /= (real)(T - 1);
        if (maxima)
            maxima_over_time(max, d->winners[layer] + b * P, y + b * P, T, B * P, P);
    }
}

/* dy [T * B, P] += the gradient of the layer's outputs. */
static void pool_backward(const struct tune_loss *l, real *dy, const struct tune_direction *d,
                          size_t layer, size_t at)
{
    size_t P = l->net->options.proj_dim, T = l->texts->n_steps, B = l->texts->n_sentences;
    size_t F = l->head->n_features, half = F / 2;
    bool maxima = n_kinds(l) > 1;
    for (size_t b = 0; b < B && T > 1; b++) {
        const real *dmean = l->dfeatures + b * F + at, *dmax = dmean + half;
        for (size_t t = 1; t < T; t++)
            for (size_t p = 0; p < P; p++)
                dy[(t * B + b) * P + p] += dmean[p] / (real)(T - 1);
        for (size_t p = 0; p < P && maxima; p++)
            dy[(d->winners[layer][b * P + p] * B + b) * P + p] += dmax[p];
    }
}

/* ---- The directions ---- */

static bool forward(struct tune_loss *l, unsigned direction)
{
    const struct options *o = &l->net->options;
    struct tune_direction *d = &l->directions[direction];
    struct rng rng = {l->settings->step_seed * 2 + direction};
    size_t P = o->proj_dim, T = l->texts->n_steps, B = l->texts->n_sentences, n = T * B * P;
    arena_reset(&d->arena);
    d->x = ARENA_NEW(&d->arena, real, n);
    d->y = ARENA_NEW(&d->arena, real, n);
    if (!d->x || !d->y)
        return false;
    bilm_gather_inputs(d->x, l->vectors, l->texts, direction, P);
    if (l->shift)
        adversary_add(d->x, l->shift, l->texts, direction, P);
    if (!lstm_forward(d->y, &d->tape, d->x, T, B, (real)l->settings->dropout, &rng, o,
                      l->weights.lstm[direction], &d->arena))
        return false;
    for (size_t layer = 0; layer <= o->n_layers; layer++) {
        d->outputs[layer] = layer == 0            ? d->x
                            : layer < o->n_layers ? d->tape.layers[layer].x
                                                  : d->y;
        d->winners[layer] = ARENA_NEW(&d->arena, uint32_t, B * P);
        if (!d->winners[layer])
            return false;
        if (layer || direction == 0)
            pool_forward(l, d, layer, feature_at(l, layer, direction));
    }
    return true;
}

static bool backward(struct tune_loss *l, unsigned direction)
{
    const struct options *o = &l->net->options;
    struct tune_direction *d = &l->directions[direction];
    size_t P = o->proj_dim, T = l->texts->n_steps, B = l->texts->n_sentences, n = T * B * P;
    real *douts[OPTIONS_MAX_LAYERS];
    d->dvectors = ARENA_NEW(&d->arena, real, l->texts->n_words * P);
    if (!d->dvectors)
        return false;
    memset(d->dvectors, 0, l->texts->n_words * P * sizeof(real));
    for (size_t layer = 0; layer < o->n_layers; layer++) {
        douts[layer] = ARENA_NEW(&d->arena, real, n);
        if (!douts[layer])
            return false;
        memset(douts[layer], 0, n * sizeof(real));
        pool_backward(l, douts[layer], d, layer + 1, feature_at(l, layer + 1, direction));
    }
    real *dx = douts[o->n_layers - 1];
    if (!lstm_backward(dx, (const real *const *)douts, &d->tape, o, l->weights.lstm[direction],
                       l->gradients.lstm[direction], &d->arena))
        return false;
    if (direction == 0)
        pool_backward(l, dx, d, 0, 0);
    bilm_scatter_gradients(d->dvectors, dx, l->texts, direction, P);
    d->dx = dx;
    return true;
}

static void forward_share(void *arg, size_t index, size_t size)
{
    struct tune_loss *l = arg;
    for (unsigned direction = 0; direction < 2; direction++)
        if (direction % size == index)
            l->directions[direction].out_of_memory = !forward(l, direction);
}

static void backward_share(void *arg, size_t index, size_t size)
{
    struct tune_loss *l = arg;
    for (unsigned direction = 0; direction < 2; direction++)
        if (direction % size == index)
            l->directions[direction].out_of_memory = !backward(l, direction);
}

/* Both directions by the team; false: out of memory. */
static bool run_directions(struct tune_loss *l, team_work *work)
{
    team_run(l->team, work, l);
    return !l->directions[0].out_of_memory && !l->directions[1].out_of_memory;
}

static void add_vector_gradients(const struct tune_loss *l, real *dvectors)
{
    size_t n = l->texts->n_words * l->net->options.proj_dim;
    for (size_t k = 0; k < n; k++)
        dvectors[k] += l->directions[0].dvectors[k] + l->directions[1].dvectors[k];
}

/* Adds to the gradients. */
static bool pass(struct tune_loss *l, double *ret_loss, real *logits,
                 const struct tune_gradients *gradients, real *head_values, const uint32_t *labels)
{
    struct rng rng = {~l->settings->step_seed};
    const struct head_batch batch = {l->features, labels, l->texts->n_sentences};
    if (!run_directions(l, forward_share))
        return false;
    if (!head_net_run(ret_loss, logits, gradients ? gradients->head : NULL, l->dfeatures, l->head,
                      head_values, &batch, gradients ? l->settings->head_dropout : 0, &rng,
                      &l->shared))
        return false;
    if (!gradients)
        return true;
    if (!run_directions(l, backward_share))
        return false;
    add_vector_gradients(l, gradients->vectors);
    return true;
}

/* A pass behind another one, at the adversary's inputs; dropout is the same. */
static bool adversarial_pass(struct tune_loss *l, const struct tune_gradients *gradients,
                             real *head_values, const uint32_t *labels)
{
    const struct tune_direction *d = l->directions;
    const real *const dx[2] = {d[0].dx, d[1].dx};
    size_t P = l->net->options.proj_dim;
    real *shift = ARENA_NEW(&l->shared, real, l->texts->n_steps * l->texts->n_sentences * P);
    double loss;
    if (!shift ||
        !adversary_find(shift, dx, d[0].x, l->texts, P, l->settings->adversary, &l->shared))
        return false;
    l->shift = shift;
    return pass(l, &loss, NULL, gradients, head_values, labels);
}

static bool run(struct tune_loss *l, double *ret_loss, real *logits,
                const struct tune_gradients *gradients, real *head_values, const uint32_t *labels)
{
    size_t n = l->texts->n_sentences * l->head->n_features;
    arena_reset(&l->shared);
    l->shift = NULL;
    l->features = ARENA_NEW(&l->shared, real, n);
    l->dfeatures = gradients ? ARENA_NEW(&l->shared, real, n) : NULL;
    if (!l->features || (gradients && !l->dfeatures) ||
        !pass(l, ret_loss, logits, gradients, head_values, labels))
        return false;
    return !gradients || !(l->settings->adversary > 0) ||
           adversarial_pass(l, gradients, head_values, labels);
}

int tune_loss_run(struct tune_loss *l, double *ret_loss, real *logits,
                  const struct tune_gradients *gradients, real *values, const struct head_net *head,
                  real *head_values, const struct tune_batch *batch,
                  const struct tune_settings *settings, struct elmo_error *err)
{
    l->texts = batch->texts;
    l->vectors = batch->vectors;
    l->settings = settings;
    l->head = head;
    net_tensors(&l->weights, l->net, values);
    if (gradients) {
        net_tensors(&l->gradients, l->net, gradients->bilm);
        memset(gradients->bilm, 0, l->net->n_dense * sizeof *gradients->bilm);
        memset(gradients->head, 0, head_net_size(head) * sizeof *gradients->head);
        memset(gradients->vectors, 0,
               batch->texts->n_words * l->net->options.proj_dim * sizeof *gradients->vectors);
    }
    return run(l, ret_loss, logits, gradients, head_values, batch->labels) ? 0
                                                                           : elmo_fail_nomem(err);
}

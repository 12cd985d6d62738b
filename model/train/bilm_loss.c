#include "bilm_loss.h"

#include <string.h>

#include "arena.h"
#include "bilm_input.h"
#include "error.h"
#include "lstm_train.h"
#include "sampled_softmax.h"
#include "token_train.h"

#define MAX_TEAM 64

/* What one member of the team keeps to itself. */
struct member_state {
    struct arena arena;
    struct token_tape tape; /* of its share of the words */
    struct net_tensors gradients;
    real *encoder_gradients; /* [n_encoder], owned; member 0 uses the caller's array */
    bool out_of_memory;
};

struct direction_state {
    real *dvectors; /* [n_words, P] */
    real *dw, *db;  /* of the candidates: [R, P], [R] */
    double loss;
    bool out_of_memory;
};

struct bilm_loss {
    const struct net *net;
    struct team *team;
    size_t n_encoder; /* elements of the token encoder: the first of the layout */
    struct arena shared;
    struct member_state members[MAX_TEAM];
    struct direction_state directions[2];
    struct arena direction_arenas[2];
    /* Of the run at hand: */
    const struct bilm_batch *batch;
    const struct bilm_settings *settings;
    struct net_tensors weights, gradients;
    struct candidates candidates;
    real *vectors; /* [n_words, P] */
};

int bilm_loss_new(struct bilm_loss **ret_loss, const struct net *net, struct team *team,
                  struct elmo_error *err)
{
    struct bilm_loss *l = calloc(1, sizeof *l);
    if (!l)
        return elmo_fail_nomem(err);
    l->net = net;
    l->team = team;
    while (strncmp(net->specs.items[l->n_encoder].name, "RNN_", 4))
        l->n_encoder++;
    l->n_encoder = net->offsets[l->n_encoder];
    for (size_t k = 1; k < team_size(team); k++) {
        struct member_state *m = &l->members[k];
        m->encoder_gradients = calloc(l->n_encoder, sizeof(real));
        if (!m->encoder_gradients) {
            bilm_loss_free(l);
            return elmo_fail_nomem(err);
        }
        net_tensors(&m->gradients, net, m->encoder_gradients);
    }
    *ret_loss = l;
    return 0;
}

void bilm_loss_free(struct bilm_loss *l)
{
    if (!l)
        return;
    for (size_t k = 0; k < MAX_TEAM; k++) {
        arena_done(&l->members[k].arena);
        free(l->members[k].encoder_gradients);
    }
    arena_done(&l->direction_arenas[0]);
    arena_done(&l->direction_arenas[1]);
    arena_done(&l->shared);
    free(l);
}

/* ---- The three phases; each is run by the whole team ---- */

static void encode_share(void *arg, size_t index, size_t size)
{
    struct bilm_loss *l = arg;
    struct member_state *m = &l->members[index];
    size_t begin, end;
    team_share(l->batch->n_words, index, size, &begin, &end);
    arena_reset(&m->arena);
    m->out_of_memory =
        !token_forward(l->vectors + begin * l->net->options.proj_dim, &m->tape,
                       l->batch->words + begin, end - begin, l->net, &l->weights, &m->arena);
}

static bool run_direction(struct bilm_loss *l, unsigned direction)
{
    const struct bilm_batch *batch = l->batch;
    const struct options *o = &l->net->options;
    struct direction_state *d = &l->directions[direction];
    struct arena *arena = &l->direction_arenas[direction];
    struct rng rng = {l->settings->step_seed * 2 + direction};
    size_t P = o->proj_dim, T = batch->n_steps, B = batch->n_sentences, n = T * B,
           R = l->candidates.n_rows;
    struct lstm_tape tape;
    arena_reset(arena);
    real *x = ARENA_NEW(arena, real, n * P), *y = ARENA_NEW(arena, real, n * P);
    uint32_t *targets = ARENA_NEW(arena, uint32_t, n);
    d->dvectors = ARENA_NEW(arena, real, batch->n_words * P);
    d->dw = ARENA_NEW(arena, real, R * P);
    d->db = ARENA_NEW(arena, real, R);
    if (!x || !y || !targets || !d->dvectors || !d->dw || !d->db)
        return false;
    memset(d->dvectors, 0, batch->n_words * P * sizeof(real));
    memset(d->dw, 0, R * P * sizeof(real));
    memset(d->db, 0, R * sizeof(real));
    bilm_gather(x, targets, l->vectors, batch, direction, P);
    if (!lstm_forward(y, &tape, x, T, B, (real)l->settings->dropout, &rng, o,
                      l->weights.lstm[direction], arena))
        return false;
    if (!sampled_softmax(&d->loss, x, d->dw, d->db, y, targets, n, (real)0.5 / (real)n,
                         &l->candidates, P, arena))
        return false;
    if (!lstm_backward(x, &tape, o, l->weights.lstm[direction], l->gradients.lstm[direction],
                       arena))
        return false;
    for (size_t t = 0; t < T; t++)
        for (size_t b = 0; b < B; b++) {
            real *to = d->dvectors + bilm_word_at(batch, direction, b, t) * P;
            for (size_t p = 0; p < P; p++)
                to[p] += x[(t * B + b) * P + p];
        }
    d->loss /= (double)n;
    return true;
}

static void run_directions(void *arg, size_t index, size_t size)
{
    struct bilm_loss *l = arg;
    for (unsigned direction = 0; direction < 2; direction++)
        if (direction % size == index)
            l->directions[direction].out_of_memory = !run_direction(l, direction);
}

static void backward_share(void *arg, size_t index, size_t size)
{
    struct bilm_loss *l = arg;
    struct member_state *m = &l->members[index];
    size_t begin, end, P = l->net->options.proj_dim;
    team_share(l->batch->n_words, index, size, &begin, &end);
    real *dvectors = l->directions[0].dvectors;
    for (size_t k = begin * P; k < end * P; k++)
        dvectors[k] += l->directions[1].dvectors[k];
    if (index)
        memset(m->encoder_gradients, 0, l->n_encoder * sizeof(real));
    m->out_of_memory = !token_backward(dvectors + begin * P, &m->tape, l->net, &l->weights,
                                       index ? &m->gradients : &l->gradients, &m->arena);
}

/* Sums what the members and the directions have. */
static void reduce_share(void *arg, size_t index, size_t size)
{
    struct bilm_loss *l = arg;
    struct direction_state *d = l->directions;
    size_t begin, end, R = l->candidates.n_rows, P = l->net->options.proj_dim;
    real *total = l->gradients.char_embed; /* the first of the layout */
    team_share(l->n_encoder, index, size, &begin, &end);
    for (size_t member = 1; member < size; member++)
        for (size_t k = begin; k < end; k++)
            total[k] += l->members[member].encoder_gradients[k];
    team_share(R * P, index, size, &begin, &end);
    for (size_t k = begin; k < end; k++)
        d[0].dw[k] += d[1].dw[k];
    team_share(R, index, size, &begin, &end);
    for (size_t k = begin; k < end; k++)
        d[0].db[k] += d[1].db[k];
}

/* ---- One batch ---- */

static bool any_out_of_memory(const struct bilm_loss *l)
{
    bool any = l->directions[0].out_of_memory || l->directions[1].out_of_memory;
    for (size_t k = 0; k < team_size(l->team); k++)
        any = any || l->members[k].out_of_memory;
    return any;
}

/* Negatives for this batch, and every word of it as a possible target. */
static bool prepare(struct bilm_loss *l)
{
    struct rng rng = {~l->settings->step_seed};
    arena_reset(&l->shared);
    l->directions[0].out_of_memory = l->directions[1].out_of_memory = false;
    l->vectors = ARENA_NEW(&l->shared, real, l->batch->n_words * l->net->options.proj_dim);
    return l->vectors &&
           candidates_init(&l->candidates, l->settings->n_samples, l->batch->vocab_ids,
                           l->batch->n_words, l->net, &l->weights, &rng, &l->shared);
}

int bilm_loss_run(struct bilm_loss *l, struct bilm_result *ret_result, real *dense_gradients,
                  real *values, const struct bilm_batch *batch,
                  const struct bilm_settings *settings, struct elmo_error *err)
{
    l->batch = batch;
    l->settings = settings;
    net_tensors(&l->weights, l->net, values);
    net_tensors(&l->gradients, l->net, dense_gradients);
    memset(dense_gradients, 0, l->net->n_dense * sizeof(real));
    if (!prepare(l))
        return elmo_fail_nomem(err);
    team_run(l->team, encode_share, l);
    if (!any_out_of_memory(l))
        team_run(l->team, run_directions, l);
    if (!any_out_of_memory(l))
        team_run(l->team, backward_share, l);
    if (any_out_of_memory(l))
        return elmo_fail_nomem(err);
    team_run(l->team, reduce_share, l);
    *ret_result = (struct bilm_result){
        .loss = {l->directions[0].loss, l->directions[1].loss},
        .softmax_ids = l->candidates.ids,
        .softmax_dw = l->directions[0].dw,
        .softmax_db = l->directions[0].db,
        .n_softmax_rows = l->candidates.n_rows,
    };
    return 0;
}

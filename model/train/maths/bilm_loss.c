#include "bilm_loss.h"

#include <string.h>

#include "bilm_input.h"
#include "error.h"
#include "lstm_train.h"
#include "sampled_softmax.h"
#include "util/arena.h"
#include "word_encoder.h"
#include "word_vector_loss.h"

struct direction_state {
    real *dvectors; /* [n_words, P] */
    real *dw, *db;  /* of the candidates: [R, P], [R] */
    double loss;
    bool out_of_memory;
};

struct bilm_loss {
    const struct net *net;
    struct team *team;
    struct word_encoder *encoder;
    struct arena shared;
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
    int r = word_encoder_new(&l->encoder, net, team, err);
    if (r) {
        bilm_loss_free(l);
        return r;
    }
    *ret_loss = l;
    return 0;
}

void bilm_loss_free(struct bilm_loss *l)
{
    if (!l)
        return;
    word_encoder_free(l->encoder);
    arena_done(&l->direction_arenas[0]);
    arena_done(&l->direction_arenas[1]);
    arena_done(&l->shared);
    free(l);
}

/* ---- The phases that the team shares ---- */

/* Ranks that share the samples must not share the dropout. Rank 0 has the seed of a single rank. */
static uint64_t dropout_seed(const struct bilm_settings *settings)
{
    struct rng rng = {settings->step_seed + settings->rank};
    return settings->rank ? rng_next(&rng) : settings->step_seed;
}

static bool run_direction(struct bilm_loss *l, unsigned direction)
{
    const struct bilm_batch *batch = l->batch;
    const struct options *o = &l->net->options;
    struct direction_state *d = &l->directions[direction];
    struct arena *arena = &l->direction_arenas[direction];
    struct rng rng = {dropout_seed(l->settings) * 2 + direction};
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
    bilm_gather_inputs(x, l->vectors, batch, direction, P);
    bilm_gather_targets(targets, batch, direction);
    if (!lstm_forward(y, &tape, x, T, B, (real)l->settings->dropout, &rng, o,
                      l->weights.lstm[direction], arena))
        return false;
    if (!sampled_softmax(&d->loss, x, d->dw, d->db, y, targets, n, (real)0.5 / (real)n,
                         &l->candidates, P, arena))
        return false;
    if (!lstm_backward(x, NULL, &tape, o, l->weights.lstm[direction], l->gradients.lstm[direction],
                       arena))
        return false;
    bilm_scatter_gradients(d->dvectors, x, batch, direction, P);
    d->loss /= (double)n;
    return true;
}

static void pack_candidates(void *arg, size_t index, size_t size)
{
    struct bilm_loss *l = arg;
    for (size_t part = index; part < CANDIDATES_PARTS; part += size)
        candidates_pack(&l->candidates, part, l->net->options.proj_dim);
}

static void run_directions(void *arg, size_t index, size_t size)
{
    struct bilm_loss *l = arg;
    for (unsigned direction = 0; direction < 2; direction++)
        if (direction % size == index)
            l->directions[direction].out_of_memory = !run_direction(l, direction);
}

/* Sums what the directions have of the softmax. */
static void reduce_share(void *arg, size_t index, size_t size)
{
    struct bilm_loss *l = arg;
    struct direction_state *d = l->directions;
    size_t begin, end, R = l->candidates.n_rows, P = l->net->options.proj_dim;
    team_share(R * P, index, size, &begin, &end);
    for (size_t k = begin; k < end; k++)
        d[0].dw[k] += d[1].dw[k];
    team_share(R, index, size, &begin, &end);
    for (size_t k = begin; k < end; k++)
        d[0].db[k] += d[1].db[k];
}

/* ---- Word vectors ---- */

static bool run_word_vectors(struct bilm_loss *l, double *ret_loss)
{
    const struct bilm_settings *s = l->settings;
    const struct bilm_batch *batch = l->batch;
    *ret_loss = 0;
    if (!s->word_vectors || s->word_vectors_weight <= 0)
        return true;
    const float **targets = ARENA_NEW(&l->shared, const float *, batch->n_words);
    if (!targets)
        return false;
    for (size_t w = 0; w < batch->n_words; w++)
        targets[w] =
            word_vectors_find(s->word_vectors, batch->words[w]->bytes, batch->words[w]->n_bytes);
    return word_vector_loss(ret_loss, l->directions[0].dvectors, l->gradients.word_vectors_w,
                            l->vectors, l->weights.word_vectors_w, targets, batch->n_words,
                            l->net->options.proj_dim, l->net->word_vectors_dim,
                            (real)s->word_vectors_weight, &l->shared);
}

/* ---- One batch ---- */

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
    if (!word_encoder_forward(l->encoder, l->vectors, batch->words, batch->n_words, &l->weights))
        return elmo_fail_nomem(err);
    team_run(l->team, pack_candidates, l);
    team_run(l->team, run_directions, l);
    const struct direction_state *d = l->directions;
    double word_vectors_loss;
    if (d[0].out_of_memory || d[1].out_of_memory || !run_word_vectors(l, &word_vectors_loss) ||
        !word_encoder_backward(l->encoder, &l->gradients, d[0].dvectors, d[1].dvectors))
        return elmo_fail_nomem(err);
    team_run(l->team, reduce_share, l);
    *ret_result = (struct bilm_result){
        .n_predictions = batch->n_sentences * batch->n_steps,
        .loss = {l->directions[0].loss, l->directions[1].loss},
        .word_vectors_loss = word_vectors_loss,
        .softmax_ids = l->candidates.ids,
        .softmax_dw = l->directions[0].dw,
        .softmax_db = l->directions[0].db,
        .n_softmax_rows = l->candidates.n_rows,
        .n_samples = l->candidates.n_samples,
    };
    return 0;
}

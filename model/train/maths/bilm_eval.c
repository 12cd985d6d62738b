#include "bilm_eval.h"

#include <string.h>

#include "bilm_input.h"
#include "error.h"
#include "lstm_train.h"
#include "token_train.h"
#include "util/arena.h"

struct bilm_eval {
    const struct net *net;
    struct team *team;
    struct arena shared, directions[2];
    const struct bilm_batch *batch;
    struct net_tensors weights;
    real *vectors; /* [n_words, P] */
    double nats[2];
    bool out_of_memory[2];
};

int bilm_eval_new(struct bilm_eval **ret_eval, const struct net *net, struct team *team,
                  struct elmo_error *err)
{
    struct bilm_eval *e = calloc(1, sizeof *e);
    if (!e)
        return elmo_fail_nomem(err);
    e->net = net;
    e->team = team;
    *ret_eval = e;
    return 0;
}

void bilm_eval_free(struct bilm_eval *e)
{
    if (!e)
        return;
    arena_done(&e->shared);
    arena_done(&e->directions[0]);
    arena_done(&e->directions[1]);
    free(e);
}

/* -log softmax(logits)[target] */
static double row_nats(const real *logits, uint32_t target, size_t V)
{
    real greatest = logits[0];
    double sum = 0;
    for (size_t v = 1; v < V; v++)
        greatest = logits[v] > greatest ? logits[v] : greatest;
    for (size_t v = 0; v < V; v++)
        sum += (double)real_exp(logits[v] - greatest);
    return log(sum) + (double)(greatest - logits[target]);
}

double bilm_full_softmax(const real *x, const uint32_t *targets, size_t n, real *logits,
                         const struct net *net, const struct net_tensors *w)
{
    size_t V = net->n_vocab, P = net->options.proj_dim;
    double nats = 0;
    for (size_t first = 0; first < n; first += BILM_SOFTMAX_ROWS) {
        size_t rows = n - first < BILM_SOFTMAX_ROWS ? n - first : BILM_SOFTMAX_ROWS;
        for (size_t row = 0; row < rows; row++)
            memcpy(logits + row * V, w->softmax_b, V * sizeof(real));
        real_linear_dx(logits, x + first * P, w->softmax_w, rows, V, P, 1); /* x @ W^T */
        for (size_t row = 0; row < rows; row++)
            nats += row_nats(logits + row * V, targets[first + row], V);
    }
    return nats;
}

static bool score_direction(struct bilm_eval *e, unsigned direction)
{
    const struct options *o = &e->net->options;
    struct arena *arena = &e->directions[direction];
    size_t P = o->proj_dim, T = e->batch->n_steps, B = e->batch->n_sentences, n = T * B;
    struct lstm_tape tape;
    arena_reset(arena);
    real *x = ARENA_NEW(arena, real, n * P), *y = ARENA_NEW(arena, real, n * P),
         *logits = ARENA_NEW(arena, real, BILM_SOFTMAX_ROWS * e->net->n_vocab);
    uint32_t *targets = ARENA_NEW(arena, uint32_t, n);
    if (!x || !y || !logits || !targets)
        return false;
    bilm_gather_inputs(x, e->vectors, e->batch, direction, P);
    bilm_gather_targets(targets, e->batch, direction);
    if (!lstm_forward(y, &tape, x, T, B, 0, NULL, o, e->weights.lstm[direction], arena))
        return false;
    e->nats[direction] = bilm_full_softmax(y, targets, n, logits, e->net, &e->weights);
    return true;
}

static void score_directions(void *arg, size_t index, size_t size)
{
    struct bilm_eval *e = arg;
    for (unsigned direction = 0; direction < 2; direction++)
        if (direction % size == index)
            e->out_of_memory[direction] = !score_direction(e, direction);
}

int bilm_eval_add(struct bilm_eval *e, struct bilm_score *score, real *values,
                  const struct bilm_batch *batch, struct elmo_error *err)
{
    struct token_tape tape;
    e->batch = batch;
    net_tensors(&e->weights, e->net, values);
    arena_reset(&e->shared);
    e->vectors = ARENA_NEW(&e->shared, real, batch->n_words * e->net->options.proj_dim);
    if (!e->vectors || !token_forward(e->vectors, &tape, batch->words, batch->n_words, e->net,
                                      &e->weights, &e->shared))
        return elmo_fail_nomem(err);
    team_run(e->team, score_directions, e);
    if (e->out_of_memory[0] || e->out_of_memory[1])
        return elmo_fail_nomem(err);
    score->nats[0] += e->nats[0];
    score->nats[1] += e->nats[1];
    score->n_predictions += batch->n_sentences * batch->n_steps;
    return 0;
}

double bilm_perplexity(const struct bilm_score *score, unsigned direction)
{
    return exp(score->nats[direction] / (double)score->n_predictions);
}

double bilm_joint_perplexity(const struct bilm_score *score)
{
    return exp((score->nats[0] + score->nats[1]) / (2 * (double)score->n_predictions));
}

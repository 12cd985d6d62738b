#include "bilm_served.h"

#include <string.h>

#include "error.h"
#include "inference/bilstm.h"
#include "inference/lexicon.h"
#include "inference/model.h"
#include "text/char_ids.h"
#include "train/maths/bilm_input.h"
#include "util/arena.h"

#ifdef TRAIN_DOUBLE
#error "elmod computes in float32 at best: this file is not part of the double build"
#endif

/* What a member of the team works with. */
struct share {
    struct elmo_session *session;
    struct arena arena;
    double nats[2];
    struct elmo_error err;
};

struct bilm_served {
    const struct elmo_model *model;
    const struct net *net;
    struct net_tensors weights; /* of which the softmax is read */
    struct team *team;
    const struct bilm_batch *batch;
    float *first; /* [2, P] what each direction's top layer says at its first position, owned */
    struct share shares[TEAM_MAX];
};

/* ---- The first position ----
 * A session gives no rows for <S> and </S>; but those that are read first, from the zero state, say
 * the same in every sentence. */

/* The top output [P] from the states that one position has left: outputs are sums of h where layers
 * have skip connections, else the last h. */
static void output_of_state(float *output, const float *state, unsigned direction,
                            const struct options *o)
{
    size_t P = o->proj_dim, stride = P + o->cell_dim;
    const float *h = state + direction * o->n_layers * stride;
    memcpy(output, h, P * sizeof *output);
    for (size_t layer = 1; layer < o->n_layers; layer++)
        for (size_t p = 0; p < P; p++)
            output[p] = h[layer * stride + p] + (o->skip_connections ? output[p] : 0);
}

static int find_first_outputs(struct bilm_served *e, struct arena *arena)
{
    const struct elmo_model *m = e->model;
    const struct elmo_token *marks[2] = {&token_bos, &token_eos};
    float *const no_layers[OPTIONS_MAX_LAYERS] = {NULL};
    size_t P = m->options.proj_dim;
    float *vectors = ARENA_NEW(arena, float, 2 * P);
    float *state = ARENA_NEW(arena, float, m->info.state_floats);
    if (!vectors || !state || lexicon_encode(vectors, marks, 2, m, &subteam_of_one, arena))
        return ELMO_E_NOMEM;
    for (unsigned direction = 0; direction < 2; direction++) {
        const float *input = vectors + direction * P;
        const struct lstm_sequence position = {
            .inputs = &input, .n_positions = 1, .final_state = state, .layers = no_layers};
        if (bilstm_run(&position, 1, m->options.n_layers, &m->options, &m->weights, &subteam_of_one,
                       arena))
            return ELMO_E_NOMEM;
        output_of_state(e->first + direction * P, state, direction, &m->options);
    }
    return 0;
}

/* ---- New and free ---- */

static int init(struct bilm_served *e, struct elmo_error *err)
{
    e->first = calloc(2 * e->net->options.proj_dim, sizeof *e->first);
    if (!e->first || find_first_outputs(e, &e->shares[0].arena))
        return elmo_fail_nomem(err);
    int r = 0;
    for (size_t k = 0; k < team_size(e->team) && !r; k++)
        r = elmo_session_new(&e->shares[k].session, e->model, err);
    return r;
}

int bilm_served_new(struct bilm_served **ret_served, const struct elmo_model *model,
                    const struct net *net, real *values, struct team *team, struct elmo_error *err)
{
    struct bilm_served *e = calloc(1, sizeof *e);
    if (!e)
        return elmo_fail_nomem(err);
    e->model = model;
    e->net = net;
    e->team = team;
    net_tensors(&e->weights, net, values);
    int r = init(e, err);
    if (r)
        bilm_served_free(e);
    else
        *ret_served = e;
    return r;
}

void bilm_served_free(struct bilm_served *e)
{
    if (!e)
        return;
    for (size_t k = 0; k < TEAM_MAX; k++) {
        elmo_session_free(e->shares[k].session);
        arena_done(&e->shares[k].arena);
    }
    free(e->first);
    free(e);
}

/* ---- A batch ---- */

/* Top layer of the sentences [begin, end): [end - begin, n_tokens, 2P] from the arena. */
static int run_sentences(float **ret_top, const struct bilm_served *e, struct share *share,
                         size_t begin, size_t end)
{
    const struct bilm_batch *batch = e->batch;
    size_t n = end - begin, n_tokens = batch->n_steps - 1, L = e->net->options.n_layers,
           top_floats = n_tokens * 2 * e->net->options.proj_dim;
    struct elmo_sentence *sentences = ARENA_NEW(&share->arena, struct elmo_sentence, n);
    struct elmo_token *tokens = ARENA_NEW(&share->arena, struct elmo_token, n * n_tokens);
    float **layers = ARENA_NEW(&share->arena, float *, n *(1 + L));
    float *top = ARENA_NEW(&share->arena, float, n *top_floats);
    if (!sentences || !tokens || !layers || !top)
        return elmo_fail_nomem(&share->err);
    memset(layers, 0, n * (1 + L) * sizeof(float *));
    for (size_t k = 0; k < n; k++) {
        for (size_t t = 0; t < n_tokens; t++)
            tokens[k * n_tokens + t] = *batch->words[bilm_word_at(batch, 0, begin + k, t + 1)];
        layers[k * (1 + L) + L] = top + k * top_floats;
        sentences[k] = (struct elmo_sentence){
            .tokens = tokens + k * n_tokens, .n_tokens = n_tokens, .layers = layers + k * (1 + L)};
    }
    *ret_top = top;
    return elmo_session_run(share->session, sentences, n, &share->err);
}

/* A direction's outputs x [n, n_steps, P] in the order that it reads, and what each predicts. */
static void gather(float *x, uint32_t *targets, const struct bilm_served *e, const float *top,
                   size_t begin, size_t n, unsigned direction)
{
    size_t P = e->net->options.proj_dim, T = e->batch->n_steps;
    for (size_t k = 0; k < n; k++)
        for (size_t t = 0; t < T; t++) {
            size_t token = direction ? T - 1 - t : t - 1; /* where t > 0 */
            const float *from = t ? top + (k * (T - 1) + token) * 2 * P : e->first;
            memcpy(x + (k * T + t) * P, from + direction * P, P * sizeof *x);
            targets[k * T + t] =
                e->batch->vocab_ids[bilm_word_at(e->batch, direction, begin + k, t + 1)];
        }
}

static int score_sentences(const struct bilm_served *e, struct share *share, size_t begin,
                           size_t end)
{
    size_t n = (end - begin) * e->batch->n_steps;
    float *top = NULL;
    arena_reset(&share->arena);
    float *x = ARENA_NEW(&share->arena, float, n * e->net->options.proj_dim);
    float *logits = ARENA_NEW(&share->arena, float, BILM_SOFTMAX_ROWS * e->net->n_vocab);
    uint32_t *targets = ARENA_NEW(&share->arena, uint32_t, n);
    if (!x || !logits || !targets)
        return elmo_fail_nomem(&share->err);
    int r = run_sentences(&top, e, share, begin, end);
    for (unsigned direction = 0; direction < 2 && !r; direction++) {
        gather(x, targets, e, top, begin, end - begin, direction);
        share->nats[direction] = bilm_full_softmax(x, targets, n, logits, e->net, &e->weights);
    }
    return r;
}

static void score_share(void *arg, size_t index, size_t size)
{
    struct bilm_served *e = arg;
    struct share *share = &e->shares[index];
    size_t begin, end;
    share->err = (struct elmo_error){0};
    share->nats[0] = share->nats[1] = 0;
    team_share(e->batch->n_sentences, index, size, &begin, &end);
    if (begin < end)
        share->err.status = score_sentences(e, share, begin, end);
}

int bilm_served_add(struct bilm_served *e, struct bilm_score *score, const struct bilm_batch *batch,
                    struct elmo_error *err)
{
    e->batch = batch;
    team_run(e->team, score_share, e);
    for (size_t k = 0; k < team_size(e->team); k++)
        if (e->shares[k].err.status)
            return elmo_fail(err, e->shares[k].err.status, "%s", e->shares[k].err.message);
    for (size_t k = 0; k < team_size(e->team); k++) {
        score->nats[0] += e->shares[k].nats[0];
        score->nats[1] += e->shares[k].nats[1];
    }
    score->n_predictions += batch->n_sentences * batch->n_steps;
    return 0;
}

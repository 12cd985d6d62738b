#include "word_encoder.h"

#include <string.h>

#include "error.h"
#include "token_train.h"
#include "util/big_alloc.h"

/* What one member of the team keeps to itself. */
struct member_state {
    struct arena arena;
    struct token_tape tape; /* of its share of the words */
    struct net_tensors tensors;
    real *gradients; /* [n_encoder], owned; member 0 uses the caller's array */
    bool out_of_memory;
};

struct word_encoder {
    const struct net *net;
    struct team *team;
    size_t n_encoder; /* elements of the token encoder: the first of the layout */
    struct member_state members[TEAM_MAX];
    /* Of the batch at hand: */
    const struct elmo_token *const *words;
    size_t n_words;
    const struct net_tensors *weights, *gradients;
    real *vectors, *dvectors_0;
    const real *dvectors_1;
};

int word_encoder_new(struct word_encoder **ret_encoder, const struct net *net, struct team *team,
                     struct elmo_error *err)
{
    struct word_encoder *e = calloc(1, sizeof *e);
    if (!e)
        return elmo_fail_nomem(err);
    e->net = net;
    e->team = team;
    while (strncmp(net->specs.items[e->n_encoder].name, "RNN_", 4))
        e->n_encoder++;
    e->n_encoder = net->offsets[e->n_encoder];
    for (size_t k = 1; k < team_size(team); k++) {
        struct member_state *m = &e->members[k];
        m->gradients = big_zeros(e->n_encoder, sizeof(real));
        if (!m->gradients) {
            word_encoder_free(e);
            return elmo_fail_nomem(err);
        }
        net_tensors(&m->tensors, net, m->gradients);
    }
    *ret_encoder = e;
    return 0;
}

void word_encoder_free(struct word_encoder *e)
{
    for (size_t k = 0; e && k < TEAM_MAX; k++) {
        arena_done(&e->members[k].arena);
        free(e->members[k].gradients);
    }
    free(e);
}

static bool any_out_of_memory(const struct word_encoder *e)
{
    bool any = false;
    for (size_t k = 0; k < team_size(e->team); k++)
        any = any || e->members[k].out_of_memory;
    return any;
}

/* ---- Forward ---- */

static void forward_share(void *arg, size_t index, size_t size)
{
    struct word_encoder *e = arg;
    struct member_state *m = &e->members[index];
    size_t begin, end;
    team_share(e->n_words, index, size, &begin, &end);
    arena_reset(&m->arena);
    m->out_of_memory = !token_forward(e->vectors + begin * e->net->options.proj_dim, &m->tape,
                                      e->words + begin, end - begin, e->net, e->weights, &m->arena);
}

bool word_encoder_forward(struct word_encoder *e, real *vectors,
                          const struct elmo_token *const *words, size_t n_words,
                          const struct net_tensors *w)
{
    e->vectors = vectors;
    e->words = words;
    e->n_words = n_words;
    e->weights = w;
    team_run(e->team, forward_share, e);
    return !any_out_of_memory(e);
}

/* ---- Backward ---- */

static void backward_share(void *arg, size_t index, size_t size)
{
    struct word_encoder *e = arg;
    struct member_state *m = &e->members[index];
    size_t begin, end, P = e->net->options.proj_dim;
    team_share(e->n_words, index, size, &begin, &end);
    for (size_t k = begin * P; k < end * P; k++)
        e->dvectors_0[k] += e->dvectors_1[k];
    if (index)
        memset(m->gradients, 0, e->n_encoder * sizeof(real));
    m->out_of_memory = !token_backward(e->dvectors_0 + begin * P, &m->tape, e->net, e->weights,
                                       index ? &m->tensors : e->gradients, &m->arena);
}

static void reduce_share(void *arg, size_t index, size_t size)
{
    struct word_encoder *e = arg;
    real *total = e->gradients->char_embed; /* the first of the layout */
    size_t begin, end;
    team_share(e->n_encoder, index, size, &begin, &end);
    for (size_t member = 1; member < size; member++)
        for (size_t k = begin; k < end; k++)
            total[k] += e->members[member].gradients[k];
}

bool word_encoder_backward(struct word_encoder *e, const struct net_tensors *g, real *dvectors_0,
                           const real *dvectors_1)
{
    e->gradients = g;
    e->dvectors_0 = dvectors_0;
    e->dvectors_1 = dvectors_1;
    team_run(e->team, backward_share, e);
    if (any_out_of_memory(e))
        return false;
    team_run(e->team, reduce_share, e);
    return true;
}

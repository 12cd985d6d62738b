#include "gradient_exchange.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "util/arena.h"
#include "util/fnv.h"

/* What the ranks must know of one another in each step. */
struct part {
    uint64_t n_predictions;
    uint64_t n_rows, n_samples, samples_hash;
    double loss[2];
};

struct gradient_exchange {
    const struct ranks *ranks;
    const struct net *net;
    struct arena arena;
    /* Of the current step: */
    struct part *parts; /* [ranks->size] */
    uint64_t n_predictions;
    const struct part *first; /* of the first rank that has a batch */
    uint32_t *ids, *row_of;   /* [n_rows], [V] */
    size_t n_rows;
};

#define NO_ROW UINT32_MAX
#define WANTED (UINT32_MAX - 1)

size_t gradient_exchange_merge(uint32_t *ret_ids, uint32_t *ret_row_of, size_t n_vocab,
                               const uint32_t *samples, size_t n_samples, const uint32_t *others,
                               size_t n_others)
{
    size_t n_rows = 0;
    memset(ret_row_of, 0xff, n_vocab * sizeof *ret_row_of);
    for (size_t k = 0; k < n_samples; k++) {
        ret_row_of[samples[k]] = (uint32_t)n_rows;
        ret_ids[n_rows++] = samples[k];
    }
    for (size_t k = 0; k < n_others; k++)
        if (ret_row_of[others[k]] == NO_ROW)
            ret_row_of[others[k]] = WANTED;
    for (uint32_t id = 0; id < n_vocab; id++) {
        if (ret_row_of[id] != WANTED)
            continue;
        ret_row_of[id] = (uint32_t)n_rows;
        ret_ids[n_rows++] = id;
    }
    return n_rows;
}

int gradient_exchange_new(struct gradient_exchange **ret_exchange, const struct ranks *ranks,
                          const struct net *net, struct elmo_error *err)
{
    const uint64_t shape[] = {net->n_dense, net->n_vocab, net->options.proj_dim, sizeof(real)};
    int r = ranks_agree(ranks, "network", shape, sizeof shape, err);
    if (r)
        return r;
    struct gradient_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return elmo_fail_nomem(err);
    x->ranks = ranks;
    x->net = net;
    *ret_exchange = x;
    return 0;
}

void gradient_exchange_free(struct gradient_exchange *x)
{
    if (!x)
        return;
    arena_done(&x->arena);
    free(x);
}

/* ---- What the ranks have ---- */

static uint64_t hash_of(const uint32_t *ids, size_t n)
{
    uint64_t hash = FNV_BASIS;
    for (size_t k = 0; k < n; k++)
        hash = fnv_step(hash, ids[k]);
    return hash;
}

static int check_parts(struct gradient_exchange *x, struct elmo_error *err)
{
    x->first = NULL;
    x->n_predictions = 0;
    for (size_t k = 0; k < x->ranks->size; k++) {
        const struct part *part = &x->parts[k];
        if (!part->n_predictions)
            continue;
        if (!x->first)
            x->first = part;
        if (part->samples_hash != x->first->samples_hash)
            return elmo_fail(err, ELMO_E_INVALID,
                             "rank %zu has other samples than rank %zu: all ranks need the same "
                             "options and the same step",
                             k, (size_t)(x->first - x->parts));
        x->n_predictions += part->n_predictions;
    }
    return x->first ? 0 : elmo_fail(err, ELMO_E_INVALID, "no rank has a batch");
}

static int gather_parts(struct gradient_exchange *x, const struct bilm_result *mine,
                        size_t n_predictions, struct elmo_error *err)
{
    const struct part part = {
        .n_predictions = n_predictions,
        .n_rows = mine->n_softmax_rows,
        .n_samples = mine->n_samples,
        .samples_hash = hash_of(mine->softmax_ids, mine->n_samples),
        .loss = {mine->loss[0], mine->loss[1]},
    };
    x->parts = ARENA_NEW(&x->arena, struct part, x->ranks->size);
    if (!x->parts)
        return elmo_fail_nomem(err);
    int r = ranks_gather(x->ranks, x->parts, &part, sizeof part, err);
    return r ? r : check_parts(x, err);
}

/* The samples, which a rank without a batch has not drawn. */
static int share_samples(struct gradient_exchange *x, uint32_t *samples,
                         const struct bilm_result *mine, struct elmo_error *err)
{
    if (mine->n_samples)
        memcpy(samples, mine->softmax_ids, mine->n_samples * sizeof *samples);
    return ranks_share_ids(x->ranks, samples, x->first->n_samples, (size_t)(x->first - x->parts),
                           err);
}

/* The distinct rows of all ranks. */
static int gather_rows(struct gradient_exchange *x, const struct bilm_result *mine,
                       struct elmo_error *err)
{
    size_t n_ranks = x->ranks->size, V = x->net->n_vocab, S = x->first->n_samples, n_others = 0;
    size_t *n_of = ARENA_NEW(&x->arena, size_t, n_ranks);
    if (!n_of)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_ranks; k++) {
        n_of[k] = x->parts[k].n_rows - x->parts[k].n_samples;
        n_others += n_of[k];
    }
    uint32_t *samples = ARENA_NEW(&x->arena, uint32_t, S);
    uint32_t *others = ARENA_NEW(&x->arena, uint32_t, n_others);
    x->ids = ARENA_NEW(&x->arena, uint32_t, min_size(S + n_others, V));
    x->row_of = ARENA_NEW(&x->arena, uint32_t, V);
    if (!samples || !others || !x->ids || !x->row_of)
        return elmo_fail_nomem(err);
    int r = share_samples(x, samples, mine, err);
    const uint32_t *my_others = mine->n_softmax_rows ? mine->softmax_ids + mine->n_samples : NULL;
    if (!r)
        r = ranks_gather_ids(x->ranks, others, my_others, n_of, err);
    if (!r)
        x->n_rows = gradient_exchange_merge(x->ids, x->row_of, V, samples, S, others, n_others);
    return r;
}

/* ---- The sums ---- */

static int sum(const struct gradient_exchange *x, real *values, size_t n, struct elmo_error *err)
{
    return _Generic(values, float *: ranks_sum_floats, double *: ranks_sum_doubles)(x->ranks, values,
                                                                                   n, err);
}

static int sum_dense(const struct gradient_exchange *x, real *gradients, real share,
                     struct elmo_error *err)
{
    size_t n = x->net->n_dense;
    if (share == 0) /* whatever was in it */
        memset(gradients, 0, n * sizeof *gradients);
    for (size_t k = 0; k < n; k++)
        gradients[k] *= share;
    return sum(x, gradients, n, err);
}

/* This rank's rows among those of all, [n_rows, P] and then [n_rows]. */
static void place_rows(const struct gradient_exchange *x, real *rows,
                       const struct bilm_result *mine, real share)
{
    size_t P = x->net->options.proj_dim;
    real *biases = rows + x->n_rows * P;
    memset(rows, 0, x->n_rows * (P + 1) * sizeof *rows);
    for (size_t k = 0; k < mine->n_softmax_rows; k++) {
        size_t row = x->row_of[mine->softmax_ids[k]];
        for (size_t p = 0; p < P; p++)
            rows[row * P + p] = share * mine->softmax_dw[k * P + p];
        biases[row] = share * mine->softmax_db[k];
    }
}

static int sum_rows(struct gradient_exchange *x, struct bilm_result *result,
                    const struct bilm_result *mine, real share, struct elmo_error *err)
{
    size_t P = x->net->options.proj_dim, n = x->n_rows * (P + 1);
    real *rows = ARENA_NEW(&x->arena, real, n);
    if (!rows)
        return elmo_fail_nomem(err);
    place_rows(x, rows, mine, share);
    int r = sum(x, rows, n, err);
    if (r)
        return r;
    *result = (struct bilm_result){
        .softmax_ids = x->ids,
        .softmax_dw = rows,
        .softmax_db = rows + x->n_rows * P,
        .n_softmax_rows = x->n_rows,
        .n_samples = x->first->n_samples,
    };
    for (size_t k = 0; k < x->ranks->size; k++)
        for (unsigned d = 0; d < 2; d++)
            result->loss[d] +=
                x->parts[k].loss[d] * (double)x->parts[k].n_predictions / (double)x->n_predictions;
    return 0;
}

int gradient_exchange_run(struct gradient_exchange *x, struct bilm_result *result,
                          real *dense_gradients, size_t n_predictions, struct elmo_error *err)
{
    const struct bilm_result mine = n_predictions ? *result : (struct bilm_result){0};
    if (x->ranks->size == 1)
        return n_predictions ? 0 : elmo_fail(err, ELMO_E_INVALID, "no rank has a batch");
    arena_reset(&x->arena);
    int r = gather_parts(x, &mine, n_predictions, err);
    if (r)
        return r;
    real share = (real)((double)n_predictions / (double)x->n_predictions);
    r = gather_rows(x, &mine, err);
    if (!r)
        r = sum_dense(x, dense_gradients, share, err);
    if (!r)
        r = sum_rows(x, result, &mine, share, err);
    result->n_predictions = x->n_predictions;
    return r;
}

#pragma once
/* Sampled softmax (Jean et al. 2015, arXiv:1412.2007) over a vocabulary sorted by frequency: each
 * prediction is scored against its target and S negatives that the whole batch shares. Negatives
 * are drawn without repetition from the log-uniform (Zipf) distribution, and every logit is lowered
 * by the log of its expected count, so that the gradient's expectation is that of the full softmax.
 * A negative that is the target is left out for that row. */
#include <stdint.h>

#include "net.h"
#include "util/arena.h"
#include "util/rng.h"

/* The rows of the softmax that a batch touches: first the samples, then the targets that are no
 * sample. */
struct candidates {
    size_t n_samples;                /* S */
    size_t n_rows;                   /* R >= S */
    uint32_t *ids;                   /* [R] vocabulary ids, distinct */
    real *w;                         /* [R, P] copied out of the softmax */
    real *packed_logits, *packed_dx; /* the samples' rows for x @ w^T and for dlogits @ w */
    real *offsets;                   /* [R] bias less the log of the expected count in the sample */
    uint32_t *row_of;                /* [V] id -> row, valid for ids above */
};

/* Draws the samples and adds the targets [n_targets]. n_samples < V. False: out of memory. */
bool candidates_init(struct candidates *ret_candidates, size_t n_samples, const uint32_t *targets,
                     size_t n_targets, const struct net *net, const struct net_tensors *w,
                     struct rng *rng, struct arena *arena);

/* Puts the samples' rows in order for the products of all later calls, as products_use() says now:
 * part 0 or 1, which two threads may do at the same time. Both parts are needed. */
#define CANDIDATES_PARTS 2u
void candidates_pack(const struct candidates *candidates, size_t part, size_t P);

/* Sum over the n predictions of -log p(target), with x [n, P]. Where dx is not NULL: dx [n, P] =
 * scale * gradient of x, and the gradients of the candidates' rows are added to dw [R, P] and db
 * [R]. *ret_loss in nats. False: out of memory. Only reads the candidates: threads share them. */
bool sampled_softmax(double *ret_loss, real *dx, real *dw, real *db, const real *x,
                     const uint32_t *targets, size_t n, real scale, const struct candidates *c,
                     size_t P, struct arena *arena);

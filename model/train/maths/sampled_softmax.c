#include "sampled_softmax.h"

#include <string.h>

#include "loops.h"
#include "products.h"

/* Rows of logits worked on at once: [CHUNK_ROWS, S] stays in the outer cache. */
#define CHUNK_ROWS 256

/* P(id) of the log-uniform distribution over V ids: as word counts fall, by Zipf's law. */
static double log_uniform_probability(uint32_t id, size_t V)
{
    return (log((double)id + 2) - log((double)id + 1)) / log((double)V + 1);
}

static uint32_t draw_log_uniform(struct rng *rng, size_t V)
{
    double id = exp(rng_uniform(rng) * log((double)V + 1)) - 1;
    return id < (double)(V - 1) ? (uint32_t)id : (uint32_t)(V - 1);
}

#define NO_ROW UINT32_MAX

/* Draws until S different ids have come up; returns the number of draws. */
static double draw_samples(struct candidates *c, size_t S, size_t V, struct rng *rng)
{
    double n_draws = 0;
    while (c->n_rows < S) {
        uint32_t id = draw_log_uniform(rng, V);
        n_draws++;
        if (c->row_of[id] != NO_ROW)
            continue;
        c->row_of[id] = (uint32_t)c->n_rows;
        c->ids[c->n_rows++] = id;
    }
    return n_draws;
}

static void add_targets(struct candidates *c, const uint32_t *targets, size_t n_targets)
{
    for (size_t k = 0; k < n_targets; k++) {
        if (c->row_of[targets[k]] != NO_ROW)
            continue;
        c->row_of[targets[k]] = (uint32_t)c->n_rows;
        c->ids[c->n_rows++] = targets[k];
    }
}

bool candidates_init(struct candidates *ret_candidates, size_t n_samples, const uint32_t *targets,
                     size_t n_targets, const struct net *net, const struct net_tensors *w,
                     struct rng *rng, struct arena *arena)
{
    size_t V = net->n_vocab, P = net->options.proj_dim, most = n_samples + n_targets;
    struct candidates c = {
        .n_samples = n_samples,
        .ids = ARENA_NEW(arena, uint32_t, most),
        .row_of = ARENA_NEW(arena, uint32_t, V),
    };
    if (!c.ids || !c.row_of)
        return false;
    memset(c.row_of, 0xff, V * sizeof *c.row_of);
    double n_draws = draw_samples(&c, n_samples, V, rng);
    add_targets(&c, targets, n_targets);
    c.w = ARENA_NEW(arena, real, c.n_rows * P);
    c.offsets = ARENA_NEW(arena, real, c.n_rows);
    c.packed_logits = ARENA_NEW(arena, real, product_packed_size(P, n_samples));
    c.packed_dx = ARENA_NEW(arena, real, product_packed_size(n_samples, P));
    if (!c.w || !c.offsets || !c.packed_logits || !c.packed_dx)
        return false;
    for (size_t r = 0; r < c.n_rows; r++) {
        /* P(id is among the samples) = 1 - (1 - p)^draws */
        double p = log_uniform_probability(c.ids[r], V);
        double log_count = log(-expm1(n_draws * log1p(-p)));
        memcpy(c.w + r * P, w->softmax_w + c.ids[r] * P, P * sizeof(real));
        c.offsets[r] = w->softmax_b[c.ids[r]] - (real)log_count;
    }
    *ret_candidates = c;
    return true;
}

void candidates_pack(const struct candidates *c, size_t part, size_t P)
{
    if (part == 0)
        product_pack(c->packed_logits, c->w, P, c->n_samples, true);
    else
        product_pack(c->packed_dx, c->w, c->n_samples, P, false);
}

/* logits [S] of one row become d loss / d logits; *ret_dtarget that of the target's. Returns the
 * loss. */
static double softmax_row(real *logits, real target_logit, uint32_t target_row, real scale,
                          const struct candidates *c, real *ret_dtarget)
{
    real greatest, target = target_logit;
    real sum = loops_best()->exponentials(logits, &target, &greatest, c->offsets, c->n_samples,
                                          target_row);
    for (size_t s = 0; s < c->n_samples; s++)
        logits[s] *= scale / sum;
    *ret_dtarget = scale * (target / sum - 1);
    return (double)(greatest - target_logit) + log((double)sum);
}

struct chunk_scratch {
    real *logits; /* [CHUNK_ROWS, S] */
    real dtarget[CHUNK_ROWS];
};

static double chunk_loss(struct chunk_scratch *s, const real *x, const uint32_t *targets, size_t n,
                         real scale, const struct candidates *c, size_t P)
{
    const struct loops *loops = loops_best();
    double loss = 0;
    product_packed_linear(s->logits, x, c->packed_logits, n, P, c->n_samples, false);
    for (size_t k = 0; k < n; k++) {
        uint32_t row = c->row_of[targets[k]];
        real logit = loops->dot(x + k * P, c->w + row * P, P) + c->offsets[row];
        loss += softmax_row(s->logits + k * c->n_samples, logit, row, scale, c, &s->dtarget[k]);
    }
    return loss;
}

static void chunk_gradients(real *dx, real *dw, real *db, const struct chunk_scratch *s,
                            const real *x, const uint32_t *targets, size_t n,
                            const struct candidates *c, size_t P)
{
    size_t S = c->n_samples;
    product_packed_linear(dx, s->logits, c->packed_dx, n, S, P, false);
    product_linear_dw(dw, s->logits, x, n, S, P);
    for (size_t k = 0; k < n; k++) {
        uint32_t row = c->row_of[targets[k]];
        for (size_t i = 0; i < S; i++)
            db[i] += s->logits[k * S + i];
        db[row] += s->dtarget[k];
        for (size_t p = 0; p < P; p++) {
            dx[k * P + p] += s->dtarget[k] * c->w[row * P + p];
            dw[row * P + p] += s->dtarget[k] * x[k * P + p];
        }
    }
}

bool sampled_softmax(double *ret_loss, real *dx, real *dw, real *db, const real *x,
                     const uint32_t *targets, size_t n, real scale, const struct candidates *c,
                     size_t P, struct arena *arena)
{
    struct chunk_scratch s = {.logits = ARENA_NEW(arena, real, CHUNK_ROWS * c->n_samples)};
    double loss = 0;
    if (!s.logits)
        return false;
    for (size_t first = 0; first < n; first += CHUNK_ROWS) {
        size_t rows = n - first < CHUNK_ROWS ? n - first : CHUNK_ROWS;
        loss += chunk_loss(&s, x + first * P, targets + first, rows, scale, c, P);
        if (dx)
            chunk_gradients(dx + first * P, dw, db, &s, x + first * P, targets + first, rows, c, P);
    }
    *ret_loss = loss;
    return true;
}

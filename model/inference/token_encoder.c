#include "token_encoder.h"

#include <string.h>

#include "kernels/kernels.h"
#include "text/char_ids.h"

/* Tokens are encoded in chunks of so many, so that what is between the layers stays in cache. */
#define CHUNK_TOKENS 128u

/* What the threads share. */
struct encoder_shared {
    const struct options *options;
    const struct weights *weights;
    const struct elmo_token *const *tokens;
    size_t n_tokens;
    float *vectors; /* [n_tokens, P] */
    /* Of the current chunk: */
    uint16_t *ids;             /* [CHUNK_TOKENS, max_chars] */
    size_t *n_chars;           /* [CHUNK_TOKENS] that are not padding */
    float *features, *next;    /* [CHUNK_TOKENS, F] of a layer and of the one above */
    float *carry, *transform;  /* the same */
    uint32_t *units[TEAM_MAX]; /* a thread's: features as they are multiplied */
    float *scales[TEAM_MAX];   /* [CHUNK_TOKENS] of them */
    struct team_barrier barrier;
};

/* A thread's part of a chunk. */
struct part {
    struct encoder_shared *s;
    size_t index, size;
    size_t n_tokens;        /* of the chunk */
    float *features, *next; /* swapped from layer to layer */
};

static int shared_init(struct encoder_shared *s, const struct options *o, size_t n_threads,
                       struct arena *arena)
{
    size_t n = s->n_tokens < CHUNK_TOKENS ? s->n_tokens : CHUNK_TOKENS, F = o->filter_dim;
    size_t n_features = n * F;
    s->ids = ARENA_NEW(arena, uint16_t, n * o->max_chars);
    s->n_chars = ARENA_NEW(arena, size_t, n);
    s->features = ARENA_NEW(arena, float, n_features);
    s->next = ARENA_NEW(arena, float, n_features);
    s->carry = ARENA_NEW(arena, float, n_features);
    s->transform = ARENA_NEW(arena, float, n_features);
    bool ok = s->ids && s->n_chars && s->features && s->next && s->carry && s->transform;
    for (size_t k = 0; k < n_threads; k++) {
        s->units[k] = ARENA_NEW(arena, uint32_t, n_features);
        s->scales[k] = ARENA_NEW(arena, float, n);
        ok = ok && s->units[k] && s->scales[k];
    }
    team_barrier_init(&s->barrier, n_threads);
    return ok ? 0 : ELMO_E_NOMEM;
}

/* ---- Convolution ---- */

static void look_characters_up(struct part *p, const struct elmo_token *const *tokens)
{
    const struct encoder_shared *s = p->s;
    size_t max_chars = s->options->max_chars, begin, end;
    team_share(p->n_tokens, p->index, p->size, &begin, &end);
    for (size_t t = begin; t < end; t++)
        s->n_chars[t] = char_ids(s->ids + t * max_chars, max_chars, tokens[t]);
}

/* Windows of `width` that see a character of a token with n_chars (not padding), and one that does
 * not: all later ones see only padding and are equal to it. */
static size_t n_windows(size_t n_chars, size_t width, size_t max_chars)
{
    size_t last = max_chars - width;
    return (n_chars < last ? n_chars : last) + 1;
}

/* One panel of a filter for all tokens: its table stays in the nearest caches. */
static void convolve(const struct part *p, size_t filter, size_t panel, size_t column)
{
    const struct encoder_shared *s = p->s;
    const struct options *o = s->options;
    const struct conv_weights *w = &s->weights->conv[filter];
    const float *bias = w->bias + panel * w->table.tile->width;
    for (size_t t = 0; t < p->n_tokens; t++) {
        float *y = p->features + t * o->filter_dim + column + (bias - w->bias);
        size_t windows = n_windows(s->n_chars[t], w->table.width, o->max_chars);
        size_t n = char_table_convolve(y, &w->table, panel, s->ids + t * o->max_chars, windows);
        kernel_add(y, bias, n); /* the same for every window: it may be added after the maximum */
        if (o->activation == ACT_RELU)
            kernel_relu(y, n);
        else
            kernel_tanh(y, n);
    }
}

/* The threads take panels in turn. */
static void convolve_all(const struct part *p)
{
    const struct options *o = p->s->options;
    size_t column = 0, turn = 0;
    for (size_t k = 0; k < o->n_char_filters; k++) {
        for (size_t panel = 0; panel < p->s->weights->conv[k].table.n_panels; panel++)
            if (turn++ % p->size == p->index)
                convolve(p, k, panel, column);
        column += o->char_filters[k].n_filters;
    }
}

/* ---- Highways and projection: each thread has a share of the columns ---- */

static struct lane_rows rounded(const struct part *p, const struct packed_matrix *w)
{
    return packed_rows(w, p->features, w->n_in, p->n_tokens, p->s->units[p->index],
                       p->s->scales[p->index]);
}

static void highway(struct part *p, const struct highway_weights *w)
{
    const struct encoder_shared *s = p->s;
    size_t F = s->options->filter_dim, begin, end;
    const struct panel_range range = packed_share(&w->carry, p->index, p->size);
    const struct lane_rows x = rounded(p, &w->carry);
    packed_linear(s->carry, &x, p->n_tokens, &w->carry, range, w->b_carry);
    packed_linear(s->transform, &x, p->n_tokens, &w->transform, range, w->b_transform);
    packed_columns(&w->carry, range, &begin, &end);
    for (size_t t = 0; t < p->n_tokens; t++) {
        size_t at = t * F + begin;
        memcpy(p->next + at, p->features + at, (end - begin) * sizeof *p->next);
        w->carry.tile->highway(p->next + at, s->carry + at, s->transform + at, end - begin);
    }
    float *above = p->next;
    p->next = p->features;
    p->features = above;
}

static void project(const struct part *p, float *ret_vectors)
{
    const struct weights *w = p->s->weights;
    size_t P = p->s->options->proj_dim, begin, end;
    if (w->b_proj) {
        const struct lane_rows x = rounded(p, &w->projection);
        packed_linear(ret_vectors, &x, p->n_tokens, &w->projection,
                      packed_share(&w->projection, p->index, p->size), w->b_proj);
    } else { /* F == P */
        team_share(p->n_tokens * P, p->index, p->size, &begin, &end);
        memcpy(ret_vectors + begin, p->features + begin, (end - begin) * sizeof *ret_vectors);
    }
}

/* ---- All ---- */

static void encode_chunk(struct part *p, size_t first)
{
    struct encoder_shared *s = p->s;
    struct team_barrier *barrier = &s->barrier;
    look_characters_up(p, s->tokens + first);
    team_wait(barrier);
    convolve_all(p);
    team_wait(barrier);
    for (size_t k = 0; k < s->options->n_highway; k++) {
        highway(p, &s->weights->highway[k]);
        team_wait(barrier);
    }
    project(p, s->vectors + first * s->options->proj_dim);
    team_wait(barrier);
}

static void encode_part(void *arg, size_t index, size_t size)
{
    struct encoder_shared *s = arg;
    for (size_t first = 0; first < s->n_tokens; first += CHUNK_TOKENS) {
        size_t n_left = s->n_tokens - first;
        struct part part = {
            s, index, size, n_left < CHUNK_TOKENS ? n_left : CHUNK_TOKENS, s->features, s->next};
        encode_chunk(&part, first);
    }
}

int token_encoder_run(float *ret_vectors, const struct elmo_token *const *tokens, size_t n_tokens,
                      const struct options *options, const struct weights *weights,
                      const struct subteam *subteam, struct arena *arena)
{
    struct encoder_shared s = {.options = options,
                               .weights = weights,
                               .tokens = tokens,
                               .n_tokens = n_tokens,
                               .vectors = ret_vectors};
    if (shared_init(&s, options, subteam->size, arena))
        return ELMO_E_NOMEM;
    subteam_run(subteam, encode_part, &s);
    return 0;
}

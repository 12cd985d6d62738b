#include "token_encoder.h"

#include <string.h>

#include "char_ids.h"
#include "kernels/kernels.h"

/* Tokens are encoded in chunks of about this many convolution windows, so that the products stay in
 * cache. A token with more windows is a chunk of its own. */
#define CHUNK_WINDOWS 1024
#define MIN_WINDOWS   3 /* of a token: begin of word, end of word, padding */
#define CHUNK_TOKENS  (CHUNK_WINDOWS / MIN_WINDOWS + 1)

/* Scratch of one chunk. */
struct chunk {
    const struct options *options;
    const struct weights *weights;
    size_t max_windows;
    uint16_t *ids;    /* [max_chars] */
    float *windows;   /* [max_windows, width * D], of the filter at hand */
    float *products;  /* [max_windows, n_filters] */
    float *features;  /* y [CHUNK_TOKENS, F] */
    float *carry;     /* [CHUNK_TOKENS, F] */
    float *transform; /* the same */
};

/* Windows of `width` that see a character of a token with n_chars (not padding), and one that does
 * not: all later ones see padding alone and are equal to it. */
static size_t n_windows(size_t n_chars, size_t width, size_t max_chars)
{
    size_t last = max_chars - width;
    return (n_chars < last ? n_chars : last) + 1;
}

static size_t n_chars_of(const struct elmo_token *token, size_t max_chars)
{
    size_t n = token->n_bytes + 2; /* <S> and </S> have fewer: a bound is enough */
    return n < token->n_bytes || n > max_chars ? max_chars : n;
}

static int chunk_init(struct chunk *c, const struct options *o, const struct weights *weights,
                      struct arena *arena)
{
    size_t widest = 0, most = 0, window_floats, product_floats;
    for (size_t k = 0; k < o->n_char_filters; k++) {
        const struct char_filter *f = &o->char_filters[k];
        widest = f->width > widest ? f->width : widest;
        most = f->n_filters > most ? f->n_filters : most;
    }
    size_t max_windows = CHUNK_WINDOWS + o->max_chars;
    window_floats = max_windows * widest * o->char_dim; /* bounded by options.c */
    product_floats = max_windows * most;
    *c = (struct chunk){
        .options = o,
        .weights = weights,
        .max_windows = max_windows,
        .ids = ARENA_NEW(arena, uint16_t, o->max_chars),
        .windows = ARENA_NEW(arena, float, window_floats),
        .products = ARENA_NEW(arena, float, product_floats),
        .features = ARENA_NEW(arena, float, CHUNK_TOKENS * o->filter_dim),
        .carry = ARENA_NEW(arena, float, CHUNK_TOKENS * o->filter_dim),
        .transform = ARENA_NEW(arena, float, CHUNK_TOKENS * o->filter_dim),
    };
    bool ok = c->ids && c->windows && c->products && c->features && c->carry && c->transform;
    return ok ? 0 : ELMO_E_NOMEM;
}

/* Appends the token's windows of `width` characters at row `row`; returns their number. */
static size_t gather_windows(struct chunk *c, size_t row, const struct elmo_token *token,
                             size_t width)
{
    size_t D = c->options->char_dim, max_chars = c->options->max_chars;
    size_t n = n_windows(n_chars_of(token, max_chars), width, max_chars);
    char_ids(c->ids, max_chars, token);
    for (size_t p = 0; p < n; p++)
        for (size_t k = 0; k < width; k++)
            memcpy(c->windows + ((row + p) * width + k) * D,
                   c->weights->char_embed + c->ids[p + k] * D, D * sizeof(float));
    return n;
}

/* y[n] = max over the rows of products [rows, n_filters]. */
static void max_over_time(float *y, const float *products, size_t rows, size_t n_filters)
{
    memcpy(y, products, n_filters * sizeof *y);
    for (size_t row = 1; row < rows; row++)
        for (size_t n = 0; n < n_filters; n++) {
            float v = products[row * n_filters + n];
            y[n] = v > y[n] ? v : y[n];
        }
}

/* y = x @ matrix + bias, of B rows, in float32. */
static void linear(float *y, const float *x, size_t B, const struct packed_matrix *matrix,
                   const float *bias)
{
    const struct lane_rows rows = packed_rows(matrix, x, matrix->n_in, B, NULL, NULL);
    packed_linear(y, &rows, B, matrix, bias);
}

/* One filter over all tokens of the chunk: columns [column, column + n_filters) of features. The
 * bias, the same for every window, goes in with the product. */
static void convolve(struct chunk *c, const struct elmo_token *const *tokens, size_t n_tokens,
                     size_t filter, size_t column)
{
    const struct options *o = c->options;
    const struct char_filter *f = &o->char_filters[filter];
    const struct conv_weights *w = &c->weights->conv[filter];
    size_t rows = 0, row = 0;
    for (size_t t = 0; t < n_tokens; t++)
        rows += gather_windows(c, rows, tokens[t], f->width);
    linear(c->products, c->windows, rows, &w->kernel, w->bias);
    for (size_t t = 0; t < n_tokens; t++) {
        size_t n = n_windows(n_chars_of(tokens[t], o->max_chars), f->width, o->max_chars);
        max_over_time(c->features + t * o->filter_dim + column, c->products + row * f->n_filters, n,
                      f->n_filters);
        row += n;
    }
}

static void highway(struct chunk *c, size_t n_tokens, const struct highway_weights *w)
{
    size_t F = c->options->filter_dim;
    linear(c->carry, c->features, n_tokens, &w->carry, w->b_carry);
    linear(c->transform, c->features, n_tokens, &w->transform, w->b_transform);
    kernel_highway(c->features, c->carry, c->transform, n_tokens * F);
}

static void encode_chunk(struct chunk *c, float *ret_vectors,
                         const struct elmo_token *const *tokens, size_t n_tokens)
{
    const struct options *o = c->options;
    const struct weights *w = c->weights;
    size_t F = o->filter_dim, P = o->proj_dim;
    for (size_t k = 0, column = 0; k < o->n_char_filters; k++) {
        convolve(c, tokens, n_tokens, k, column);
        column += o->char_filters[k].n_filters;
    }
    if (o->activation == ACT_RELU)
        kernel_relu(c->features, n_tokens * F);
    else
        kernel_tanh(c->features, n_tokens * F);
    for (size_t k = 0; k < o->n_highway; k++)
        highway(c, n_tokens, &w->highway[k]);
    if (w->b_proj)
        linear(ret_vectors, c->features, n_tokens, &w->projection, w->b_proj);
    else
        memcpy(ret_vectors, c->features, n_tokens * P * sizeof *ret_vectors); /* F == P */
}

/* How many of the tokens make the next chunk: at least one, at most CHUNK_WINDOWS windows beyond
 * it. */
static size_t next_chunk(const struct elmo_token *const *tokens, size_t n_tokens, size_t max_chars)
{
    size_t windows = 0, n = 0;
    while (n < n_tokens && windows < CHUNK_WINDOWS)
        windows += n_windows(n_chars_of(tokens[n++], max_chars), 1, max_chars);
    return n;
}

int token_encoder_run(float *ret_vectors, const struct elmo_token *const *tokens, size_t n_tokens,
                      const struct options *options, const struct weights *weights,
                      struct arena *arena)
{
    struct chunk c;
    if (chunk_init(&c, options, weights, arena))
        return ELMO_E_NOMEM;
    while (n_tokens) {
        size_t n = next_chunk(tokens, n_tokens, options->max_chars);
        encode_chunk(&c, ret_vectors, tokens, n);
        ret_vectors += n * options->proj_dim;
        tokens += n;
        n_tokens -= n;
    }
    return 0;
}

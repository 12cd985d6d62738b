/* In order of the data: characters, token encoder, biLSTM, mix, pooling, head. Names are the
 * papers': D character dimension, F filters, P projection, C cells, n tokens, T = n + 2 positions.
 */
#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file/model_file.h"

enum direction { FORWARD, BACKWARD };

static double *zeros(size_t n)
{
    return must_calloc(n, sizeof(double));
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double relu(double x)
{
    return x > 0.0 ? x : 0.0;
}

/* limit 0 means no clip. */
static double clip(double x, double limit, size_t *n_clipped)
{
    if (limit == 0.0 || fabs(x) <= limit)
        return x;
    ++*n_clipped;
    return x > 0.0 ? limit : -limit;
}

/* y += x W with W [n_in, n_out]: rows are inputs. */
static void add_product(double *y, const double *x, size_t n_in, const float *W, size_t n_out)
{
    for (size_t i = 0; i < n_in; i++)
        for (size_t j = 0; j < n_out; j++)
            y[j] += x[i] * (double)W[i * n_out + j];
}

/* x W + b, newly allocated. */
static double *affine(const double *x, size_t n_in, const float *W, const float *b, size_t n_out)
{
    double *y = zeros(n_out);
    for (size_t j = 0; j < n_out; j++)
        y[j] = (double)b[j];
    add_product(y, x, n_in, W, n_out);
    return y;
}

/* ---- Characters: a token is <bow> its UTF-8 bytes <eow> <pad> ... ---- */

/* The ids of bytes (each 0..255) or of one boundary sign; ids[max_chars]. */
static void frame_word(size_t *ids, size_t max_chars, const size_t *chars, size_t n_chars)
{
    size_t n = 0;
    ids[n++] = CHAR_BOW;
    for (size_t k = 0; k < n_chars && k < max_chars - 2; k++)
        ids[n++] = chars[k];
    ids[n++] = CHAR_EOW;
    while (n < max_chars)
        ids[n++] = CHAR_PAD;
}

static bool token_is(const struct elmo_token *token, const char *text)
{
    return token->n_bytes == strlen(text) && !memcmp(token->bytes, text, token->n_bytes);
}

/* The two boundary words have signs of their own, also where a text spells them out. */
static void token_ids(size_t *ids, size_t max_chars, const struct elmo_token *token)
{
    AUTO(mem_free) size_t *chars = must_calloc(token->n_bytes, sizeof *chars);
    size_t n_chars = token->n_bytes;
    for (size_t k = 0; k < n_chars; k++)
        chars[k] = (unsigned char)token->bytes[k];
    if (token_is(token, "<S>") || token_is(token, "</S>")) {
        chars[0] = token_is(token, "<S>") ? CHAR_BOS : CHAR_EOS;
        n_chars = 1;
    }
    frame_word(ids, max_chars, chars, n_chars);
}

/* ---- Token encoder (Kim et al. 2016: character-level CNN, highway network) ---- */

/* v[p, n] = sum_{k < w, d < D} x[p + k, d] W[k, d, n]   for every p = 0 .. L - w
 * y[n]    = act(max_p v[p, n] + b[n]) */
static void convolve(double *y, const struct naive_model *model, const size_t *ids, size_t filter)
{
    const struct options *o = model->options;
    size_t D = o->char_dim, L = o->max_chars;
    size_t w = o->char_filters[filter].width, N = o->char_filters[filter].n_filters;
    const float *char_embed = tensor_set_values(model->weights, "char_embed");
    const float *W = tensor_set_values(model->weights, "CNN/W_cnn_%zu", filter);
    const float *b = tensor_set_values(model->weights, "CNN/b_cnn_%zu", filter);

    for (size_t n = 0; n < N; n++) {
        double best = -INFINITY;
        for (size_t p = 0; p + w <= L; p++) {
            double v = 0.0;
            for (size_t k = 0; k < w; k++)
                for (size_t d = 0; d < D; d++)
                    v += (double)char_embed[ids[p + k] * D + d] * (double)W[(k * D + d) * N + n];
            best = fmax(best, v);
        }
        best += (double)b[n];
        y[n] = o->activation == ACT_RELU ? relu(best) : tanh(best);
    }
}

/* Srivastava et al. 2015:  g = sigmoid(y W_carry + b_carry),  t = relu(y W_transform + b_transform)
 * y = g t + (1 - g) y.   bilm-tf calls "carry" what gates the transformed branch. */
static void highway(double *y, const struct naive_model *model, size_t k)
{
    size_t F = model->options->filter_dim;
    const struct tensor_set *w = model->weights;
    AUTO(mem_free)
    double *g = affine(y, F, tensor_set_values(w, "CNN_high_%zu/W_carry", k),
                       tensor_set_values(w, "CNN_high_%zu/b_carry", k), F);
    AUTO(mem_free)
    double *t = affine(y, F, tensor_set_values(w, "CNN_high_%zu/W_transform", k),
                       tensor_set_values(w, "CNN_high_%zu/b_transform", k), F);
    for (size_t f = 0; f < F; f++)
        y[f] = sigmoid(g[f]) * relu(t[f]) + (1.0 - sigmoid(g[f])) * y[f];
}

/* e = y W_proj + b_proj, no activation; e = y where the model has no projection (F == P). */
static void encode_token(double *e, const struct naive_model *model, const size_t *ids)
{
    const struct options *o = model->options;
    AUTO(mem_free) double *y = zeros(o->filter_dim);
    size_t first = 0;
    for (size_t filter = 0; filter < o->n_char_filters; filter++) {
        convolve(y + first, model, ids, filter);
        first += o->char_filters[filter].n_filters;
    }
    for (size_t k = 0; k < o->n_highway; k++)
        highway(y, model, k);

    const float *W_proj = tensor_set_values(model->weights, "CNN_proj/W_proj");
    const float *b_proj = tensor_set_values(model->weights, "CNN_proj/b_proj");
    AUTO(mem_free)
    double *projected = W_proj ? affine(y, o->filter_dim, W_proj, b_proj, o->proj_dim) : NULL;
    memcpy(e, W_proj ? projected : y, o->proj_dim * sizeof *e);
}

/* The token vectors of <S> tokens </S>: [T, P]. */
static double *encode_sentence(const struct naive_model *model, const struct elmo_token *tokens,
                               size_t n_tokens)
{
    static const struct elmo_token begin = {"<S>", 3}, end = {"</S>", 4};
    size_t P = model->options->proj_dim, L = model->options->max_chars, T = n_tokens + 2;
    AUTO(mem_free) size_t *ids = must_calloc(L, sizeof *ids);
    double *e = zeros(T * P);
    for (size_t t = 0; t < T; t++) {
        token_ids(ids, L, t == 0 ? &begin : t == T - 1 ? &end : &tokens[t - 1]);
        encode_token(e + t * P, model, ids);
    }
    return e;
}

/* ---- biLSTM with projection (Sak et al. 2014; Peters et al. 2018, section 3.1) ---- */

struct lstm { /* one layer of one direction */
    size_t P, C;
    const float *W;   /* [P + P, 4C]: rows of the input, then of the recurrent h */
    const float *B;   /* [4C] */
    const float *W_P; /* [C, P], or NULL: no projection (C == P) */
    double cell_clip, proj_clip;
};

static const float *cell_tensor(const struct naive_model *model, enum direction direction,
                                size_t layer, const char *name)
{
    return tensor_set_values(model->weights, "RNN_%u/RNN/MultiRNNCell/Cell%zu/LSTMCell/%s",
                             (unsigned)direction, layer, name);
}

static struct lstm lstm_of(const struct naive_model *model, enum direction direction, size_t layer)
{
    const struct options *o = model->options;
    return (struct lstm){
        .P = o->proj_dim,
        .C = o->cell_dim,
        .W = cell_tensor(model, direction, layer, "W_0"),
        .B = cell_tensor(model, direction, layer, "B"),
        .W_P = cell_tensor(model, direction, layer, "W_P_0"),
        .cell_clip = (double)o->cell_clip,
        .proj_clip = (double)o->proj_clip,
    };
}

/* One step, changing h [P] and c [C]:
 *   i, j, f, o = split([x ; h] W + B)
 *   c = clip(sigmoid(f + 1) c + sigmoid(i) tanh(j))         the forget bias 1 is not in B
 *   h = clip((sigmoid(o) tanh(c)) W_P)                      no bias
 * Without W_P the last line is h = sigmoid(o) tanh(c): TensorFlow's proj_clip is the projection's.
 */
static void lstm_step(const struct lstm *lstm, const double *x, double *h, double *c,
                      struct naive_sentence *counts)
{
    size_t P = lstm->P, C = lstm->C;
    AUTO(mem_free) double *z = affine(x, P, lstm->W, lstm->B, 4 * C);
    add_product(z, h, P, lstm->W + P * 4 * C, 4 * C);
    const double *i = z, *j = z + C, *f = z + 2 * C, *o = z + 3 * C;

    AUTO(mem_free) double *m = zeros(C);
    for (size_t k = 0; k < C; k++) {
        c[k] = sigmoid(f[k] + 1.0) * c[k] + sigmoid(i[k]) * tanh(j[k]);
        c[k] = clip(c[k], lstm->cell_clip, &counts->n_cells_clipped);
        m[k] = sigmoid(o[k]) * tanh(c[k]);
    }
    memset(h, 0, P * sizeof *h);
    if (!lstm->W_P) {
        memcpy(h, m, P * sizeof *h);
        return;
    }
    add_product(h, m, C, lstm->W_P, P);
    for (size_t k = 0; k < P; k++)
        h[k] = clip(h[k], lstm->proj_clip, &counts->n_outputs_clipped);
}

/* The outputs [T, P] of one layer in one direction, from the outputs `in` [T, P] of the layer below
 * in the same direction; `state` = [h P, c C] comes as the initial and leaves as the final one.
 * With skip connections every layer but the first adds its input to its output, outside the cell.
 */
static double *run_layer(const struct naive_model *model, enum direction direction, size_t layer,
                         const double *in, size_t T, double *state, struct naive_sentence *counts)
{
    const struct lstm lstm = lstm_of(model, direction, layer);
    size_t P = lstm.P;
    bool residual = model->options->skip_connections && layer > 0;
    double *out = zeros(T * P);
    for (size_t step = 0; step < T; step++) {
        size_t t = direction == FORWARD ? step : T - 1 - step;
        double *h = state, *c = state + P;
        lstm_step(&lstm, in + t * P, h, c, counts);
        for (size_t k = 0; k < P; k++)
            out[t * P + k] = h[k] + (residual ? in[t * P + k] : 0.0);
    }
    return out;
}

/* Writes one direction's half of layers 1..L, leaving out the positions of <S> and </S>. */
static void run_direction(struct naive_sentence *s, const struct naive_model *model,
                          enum direction direction, const double *token_vectors)
{
    const struct options *o = model->options;
    size_t P = o->proj_dim, T = s->n_tokens + 2, state_floats = P + o->cell_dim;
    double *in = zeros(T * P);
    memcpy(in, token_vectors, T * P * sizeof *in);
    for (size_t layer = 0; layer < o->n_layers; layer++) {
        double *state = s->final_state + (direction * o->n_layers + layer) * state_floats;
        double *out = run_layer(model, direction, layer, in, T, state, s);
        for (size_t n = 0; n < s->n_tokens; n++)
            memcpy(s->layers[1 + layer] + n * 2 * P + direction * P, out + (n + 1) * P,
                   P * sizeof *out);
        free(in);
        in = out;
    }
    s->predictors[direction] = zeros((T - 1) * P);
    for (size_t step = 0; step < T - 1; step++)
        memcpy(s->predictors[direction] + step * P,
               in + (direction == FORWARD ? step : T - 1 - step) * P, P * sizeof *in);
    free(in);
}

void naive_run(struct naive_sentence *ret_sentence, const struct naive_model *model,
               const struct elmo_token *tokens, size_t n_tokens, const double *initial_state)
{
    const struct options *o = model->options;
    size_t P = o->proj_dim, state_floats = 2 * o->n_layers * (P + o->cell_dim);
    struct naive_sentence s = {.n_tokens = n_tokens, .final_state = zeros(state_floats)};
    if (initial_state)
        memcpy(s.final_state, initial_state, state_floats * sizeof *s.final_state);

    AUTO(mem_free) double *e = encode_sentence(model, tokens, n_tokens);
    s.layers[0] = zeros(n_tokens * P);
    memcpy(s.layers[0], e + P, n_tokens * P * sizeof *e);
    for (size_t layer = 1; layer <= o->n_layers; layer++)
        s.layers[layer] = zeros(n_tokens * 2 * P);
    run_direction(&s, model, FORWARD, e);
    run_direction(&s, model, BACKWARD, e);
    *ret_sentence = s;
}

void naive_sentence_done(struct naive_sentence *sentence)
{
    for (size_t layer = 0; layer < ARRAY_LEN(sentence->layers); layer++)
        free(sentence->layers[layer]);
    free(sentence->final_state);
    free(sentence->predictors[FORWARD]);
    free(sentence->predictors[BACKWARD]);
    *sentence = (struct naive_sentence){0};
}

/* ---- Scalar mix (Peters et al. 2018, eq. 1): gamma sum_k s_k h_k ---- */

/* Layer k as [n, 2P]; layer 0 is [e ; e]. */
static double *layer_of_mix(const struct naive_model *model, const struct naive_sentence *s,
                            size_t layer)
{
    size_t P = model->options->proj_dim;
    double *h = zeros(s->n_tokens * 2 * P);
    for (size_t n = 0; n < s->n_tokens; n++)
        for (size_t k = 0; k < 2 * P; k++)
            h[n * 2 * P + k] =
                layer ? s->layers[layer][n * 2 * P + k] : s->layers[0][n * P + k % P];
    return h;
}

/* (x - mean) / sqrt(var + 1e-12): one mean and variance over the sentence's tokens and features. */
static void layer_norm(double *x, size_t n)
{
    double mean = 0.0, variance = 0.0;
    for (size_t k = 0; k < n; k++)
        mean += x[k] / (double)n;
    for (size_t k = 0; k < n; k++)
        variance += (x[k] - mean) * (x[k] - mean) / (double)n;
    for (size_t k = 0; k < n; k++)
        x[k] = (x[k] - mean) / sqrt(variance + 1e-12);
}

/* s = softmax(w), the weights as they are, or all alike. */
static double *mix_shares(const struct elmo_mix *mix, size_t n)
{
    double *s = zeros(n), sum = 0.0;
    for (size_t k = 0; k < n; k++) {
        double w = mix && mix->weights ? (double)mix->weights[k] : 0.0;
        s[k] = mix && mix->weights && mix->normalized ? w : exp(w);
        sum += s[k];
    }
    for (size_t k = 0; k < n && !(mix && mix->weights && mix->normalized); k++)
        s[k] /= sum;
    return s;
}

double *naive_mix(const struct naive_model *model, const struct naive_sentence *sentence,
                  const struct elmo_mix *mix)
{
    size_t n_layers = 1 + model->options->n_layers;
    size_t n_values = sentence->n_tokens * 2 * model->options->proj_dim;
    double gamma = mix ? (double)mix->gamma : 1.0;
    AUTO(mem_free) double *s = mix_shares(mix, n_layers);
    double *mixed = zeros(n_values);
    for (size_t layer = 0; layer < n_layers; layer++) {
        AUTO(mem_free) double *h = layer_of_mix(model, sentence, layer);
        if (mix && mix->layer_norm)
            layer_norm(h, n_values);
        for (size_t k = 0; k < n_values; k++)
            mixed[k] += gamma * s[layer] * h[k];
    }
    return mixed;
}

/* ---- Pooling ---- */

static void mean_over_tokens(double *pooled, const double *mixed, size_t n_tokens, size_t dim)
{
    for (size_t n = 0; n < n_tokens; n++)
        for (size_t k = 0; k < dim; k++)
            pooled[k] += mixed[n * dim + k] / (double)n_tokens;
}

static void max_over_tokens(double *pooled, const double *mixed, size_t n_tokens, size_t dim)
{
    for (size_t k = 0; k < dim && n_tokens; k++) {
        pooled[k] = -INFINITY;
        for (size_t n = 0; n < n_tokens; n++)
            pooled[k] = fmax(pooled[k], mixed[n * dim + k]);
    }
}

/* Of no tokens: the zero vector, which stays one when normalized. */
double *naive_pool(const struct naive_model *model, const double *mixed, size_t n_tokens,
                   enum elmo_pooling pooling, bool l2_normalize)
{
    size_t dim = 2 * model->options->proj_dim;
    size_t pooled_dim = pooling == ELMO_POOL_MEAN_MAX ? 2 * dim : dim;
    double *pooled = zeros(pooled_dim);
    if (pooling != ELMO_POOL_MAX)
        mean_over_tokens(pooled, mixed, n_tokens, dim);
    if (pooling != ELMO_POOL_MEAN)
        max_over_tokens(pooled + (pooled_dim - dim), mixed, n_tokens, dim);

    double norm = 0.0;
    for (size_t k = 0; k < pooled_dim; k++)
        norm += pooled[k] * pooled[k];
    for (size_t k = 0; k < pooled_dim && l2_normalize && norm > 0.0; k++)
        pooled[k] /= sqrt(norm);
    return pooled;
}

/* ---- Sentiment head: mix or all layers -> pool -> dense, relu -> dense, + n-grams -> sigmoid or
 * softmax ---- */

/* One logit z is P(second label) = sigmoid(z); several are a softmax. */
static double *probabilities_of(const double *logits, size_t n_logits, size_t *ret_n_labels)
{
    size_t n_labels = n_logits == 1 ? 2 : n_logits;
    double *probabilities = zeros(n_labels), sum = 0.0;
    *ret_n_labels = n_labels;
    if (n_logits == 1) {
        probabilities[0] = 1.0 - sigmoid(logits[0]);
        probabilities[1] = sigmoid(logits[0]);
        return probabilities;
    }
    for (size_t k = 0; k < n_labels; k++)
        sum += exp(logits[k]);
    for (size_t k = 0; k < n_labels; k++)
        probabilities[k] = exp(logits[k]) / sum;
    return probabilities;
}

/* All layers side by side, the means of all of them first. Caller frees. */
static double *pool_layers(const struct naive_model *model, const struct naive_sentence *sentence,
                           enum elmo_pooling pooling)
{
    size_t P = model->options->proj_dim, L = model->options->n_layers, n = sentence->n_tokens;
    double *pooled = zeros(2 * (1 + 2 * L) * P), *next = pooled;
    for (int half = 0; half < 2; half++) {
        bool max = half == 1;
        if (pooling == (max ? ELMO_POOL_MEAN : ELMO_POOL_MAX))
            continue;
        for (size_t layer = 0; layer <= L; layer++) {
            size_t dim = layer ? 2 * P : P;
            (max ? max_over_tokens : mean_over_tokens)(next, sentence->layers[layer], n, dim);
            next += dim;
        }
    }
    return pooled;
}

static double *pool_of_head(const struct naive_model *model, const struct naive_sentence *sentence,
                            const struct naive_head *head)
{
    if (head->all_layers)
        return pool_layers(model, sentence, head->pooling);
    const struct elmo_mix mix = {.weights = tensor_set_values(model->weights, HEAD_MIX_WEIGHTS),
                                 .gamma = *tensor_set_values(model->weights, HEAD_MIX_GAMMA)};
    AUTO(mem_free) double *mixed = naive_mix(model, sentence, &mix);
    return naive_pool(model, mixed, sentence->n_tokens, head->pooling, false);
}

/* ngrams.h: FNV-1a of each token without its case, splitmix64 over the n-gram. */
static uint64_t hash_ngram(const struct elmo_token *tokens, size_t order)
{
    uint64_t ngram = 0;
    for (size_t t = 0; t < order; t++) {
        uint64_t token = 14695981039346656037u;
        for (size_t k = 0; k < tokens[t].n_bytes; k++) {
            token ^=
                (uint64_t)(unsigned char)(tokens[t].bytes[k] >= 'A' && tokens[t].bytes[k] <= 'Z'
                                              ? tokens[t].bytes[k] + 32
                                              : tokens[t].bytes[k]);
            token *= 1099511628211u;
        }
        ngram = ngram * 1099511628211u + token;
        ngram = (ngram ^ ngram >> 30) * 0xbf58476d1ce4e5b9u;
        ngram = (ngram ^ ngram >> 27) * 0x94d049bb133111ebu;
        ngram = ngram ^ ngram >> 31;
    }
    return ngram;
}

size_t naive_ngram_row(const struct elmo_token *tokens, size_t order, size_t n_rows)
{
    return hash_ngram(tokens, order) % n_rows;
}

/* Each row of the table that any n-gram of the sentence has is added once. */
static void add_ngrams(double *logits, const struct named_tensor *table,
                       const struct elmo_token *tokens, size_t n_tokens, size_t max_order)
{
    size_t n_rows = table->dims[0], n_out = table->dims[1];
    AUTO(mem_free) bool *seen = must_calloc(n_rows, sizeof *seen);
    for (size_t first = 0; first < n_tokens; first++)
        for (size_t order = 1; order <= max_order && first + order <= n_tokens; order++)
            seen[naive_ngram_row(tokens + first, order, n_rows)] = true;
    for (size_t row = 0; row < n_rows; row++)
        for (size_t k = 0; k < n_out && seen[row]; k++)
            logits[k] += (double)table->values[row * n_out + k];
}

double *naive_logits(const struct naive_model *model, const struct naive_sentence *sentence,
                     const struct elmo_token *tokens, const struct naive_head *head,
                     size_t *ret_n_outputs)
{
    const struct tensor_set *w = model->weights;
    const struct named_tensor *kernel_1 = tensor_set_find(w, HEAD_DENSE_1_KERNEL);
    const struct named_tensor *kernel_2 = tensor_set_find(w, HEAD_DENSE_2_KERNEL);
    AUTO(mem_free) double *pooled = pool_of_head(model, sentence, head);
    AUTO(mem_free)
    double *hidden = affine(pooled, kernel_1->dims[0], kernel_1->values,
                            tensor_set_values(w, HEAD_DENSE_1_BIAS), kernel_1->dims[1]);
    for (size_t k = 0; k < kernel_1->dims[1]; k++)
        hidden[k] = relu(hidden[k]);
    double *logits = affine(hidden, kernel_2->dims[0], kernel_2->values,
                            tensor_set_values(w, HEAD_DENSE_2_BIAS), kernel_2->dims[1]);
    if (head->ngram_order && tokens)
        add_ngrams(logits, tensor_set_find(w, HEAD_NGRAMS), tokens, sentence->n_tokens,
                   head->ngram_order);
    *ret_n_outputs = kernel_2->dims[1];
    return logits;
}

double *naive_sentiment(const struct naive_model *model, const struct naive_sentence *sentence,
                        const struct elmo_token *tokens, const struct naive_head *head,
                        size_t *ret_n_labels)
{
    size_t n_outputs;
    AUTO(mem_free) double *logits = naive_logits(model, sentence, tokens, head, &n_outputs);
    return probabilities_of(logits, n_outputs, ret_n_labels);
}

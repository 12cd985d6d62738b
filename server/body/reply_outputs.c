/* The outputs of an input, for all forms: which are requested, their shapes and their values, with
 * word vectors inserted. */
#include "reply_internal.h"

#include <string.h>

#include "util/little_endian.h"

#define STEP_VALUES (REPLY_STEP_MAX / sizeof(float))

size_t reply_n_outputs(const struct reply *r)
{
    if (r->request->kind == REQUEST_SENTIMENT)
        return 1;
    return r->sentences ? elmo_model_info(r->model)->n_layers + 1 + N_OUTPUTS_AFTER_LAYERS : 0;
}

static bool is_asked(const struct reply *r)
{
    const struct request *request = r->request;
    size_t n_layers = elmo_model_info(r->model)->n_layers;
    if (request->kind == REQUEST_SENTIMENT)
        return true;
    if (r->output <= n_layers)
        return request->layers[r->output];
    switch (r->output - n_layers) {
    case OUTPUT_ELMO: return request->elmo;
    case OUTPUT_DEFAULT: return request->pooled;
    case OUTPUT_WORD_VEC: return request->word_vec;
    default: return request->word_vec_elmo;
    }
}

bool reply_is_vector(const struct reply *r)
{
    return r->request->kind == REQUEST_SENTIMENT ||
           r->output == elmo_model_info(r->model)->n_layers + OUTPUT_DEFAULT;
}

static struct reply_output vector_output(const float *values, size_t n_values)
{
    return (struct reply_output){
        .asked = true, .values = values, .n_rows = 1, .n_cols = n_values, .is_vector = true};
}

struct reply_output reply_output(const struct reply *r)
{
    const struct elmo_model_info *info = elmo_model_info(r->model);
    const struct elmo_sentence *s = &r->sentences[r->input];
    struct reply_output o = {.asked = true, .n_rows = s->n_tokens, .n_cols = info->layer_dim};
    if (!is_asked(r))
        return (struct reply_output){0};
    if (r->request->kind == REQUEST_SENTIMENT)
        return vector_output(s->probabilities, info->n_labels);
    if (r->output <= info->n_layers) {
        o.values = s->layers[r->output];
        o.n_cols = r->output == 0 ? info->token_dim : info->layer_dim;
        return o;
    }
    switch (r->output - info->n_layers) {
    case OUTPUT_ELMO: o.values = s->elmo; break;
    case OUTPUT_DEFAULT: return vector_output(s->pooled, elmo_pooled_dim(r->model, s->pooling));
    case OUTPUT_WORD_VEC:
        o.n_word_cols = o.n_cols = word_vectors_info(r->request->word_vectors)->dim;
        break;
    case OUTPUT_WORD_VEC_ELMO:
        o.values = s->elmo;
        o.n_word_cols = word_vectors_info(r->request->word_vectors)->dim;
        o.n_cols += o.n_word_cols;
        break;
    }
    return o;
}

const char *reply_output_name(const struct reply *r, char layer[static LAYER_NAME_MAX])
{
    return request_output_name(r->output, elmo_model_info(r->model)->n_layers, layer);
}

/* ---- Values ---- */

const float *reply_word_vector(const struct reply *r, size_t t)
{
    const struct elmo_token *token = &r->request->inputs[r->input].tokens[t];
    return word_vectors_find(r->request->word_vectors, token->bytes, token->n_bytes);
}

struct reply_words reply_count_words(const struct request *request)
{
    struct reply_words words = {0};
    struct reply r = {.request = request};
    if (!request->word_vec && !request->word_vec_elmo)
        return words;
    for (; r.input < request->n_inputs; r.input++) {
        for (size_t t = 0; t < request->inputs[r.input].n_tokens; t++) {
            bool known = reply_word_vector(&r, t) != NULL;
            words.n_known += known;
            words.n_unknown += !known;
        }
    }
    return words;
}

/* The contiguous values from `item` on; *ret_n is set to their number. */
static const float *find_piece(const struct reply *r, const struct reply_output *o, size_t item,
                               size_t *ret_n)
{
    static const float zeros[WORD_VECTORS_MAX_DIM];
    size_t row = item / o->n_cols, col = item % o->n_cols;
    if (o->n_word_cols == 0) {
        *ret_n = o->n_rows * o->n_cols - item;
        return o->values + item;
    }
    if (col < o->n_word_cols) {
        const float *vector = reply_word_vector(r, row);
        *ret_n = o->n_word_cols - col;
        return (vector ? vector : zeros) + col;
    }
    *ret_n = o->n_cols - col;
    return o->values + row * (o->n_cols - o->n_word_cols) + (col - o->n_word_cols);
}

const float *reply_values(const struct reply *r, const struct reply_output *output, size_t item,
                          size_t n, float *room)
{
    size_t n_piece;
    const float *piece = find_piece(r, output, item, &n_piece);
    if (n_piece >= n)
        return piece;
    for (size_t done = 0; done < n; done += n_piece) {
        piece = find_piece(r, output, item + done, &n_piece);
        n_piece = n_piece < n - done ? n_piece : n - done;
        memcpy(room + done, piece, n_piece * sizeof *room);
    }
    return room;
}

bool reply_find_output(struct reply *r)
{
    while (r->output < reply_n_outputs(r) && !is_asked(r))
        r->output++;
    return r->output < reply_n_outputs(r);
}

size_t reply_only_output(const struct elmo_model *model, const struct request *request)
{
    static const struct elmo_sentence some; /* the requested outputs do not depend on the input */
    struct reply r = {.model = model, .request = request, .sentences = &some};
    if (!reply_find_output(&r))
        return SIZE_MAX;
    size_t only = r.output++;
    return reply_find_output(&r) ? SIZE_MAX : only;
}

bool reply_step_values(struct reply *r, struct buffer *out)
{
    const struct reply_output output = reply_output(r);
    size_t n_values = output.n_rows * output.n_cols, n = n_values - r->item, n_piece;
    n = n < STEP_VALUES ? n : STEP_VALUES;
    char *dst = buffer_reserve(out, n * sizeof(float));
    if (!dst)
        return false;
    for (size_t done = 0; done < n; done += n_piece) {
        const float *piece = find_piece(r, &output, r->item + done, &n_piece);
        n_piece = n_piece < n - done ? n_piece : n - done;
        little_endian_store(dst + done * sizeof(float), piece, n_piece);
    }
    buffer_commit(out, n * sizeof(float));
    r->item += n;
    if (r->item < n_values)
        return false;
    r->item = 0;
    return true;
}

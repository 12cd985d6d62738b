#include "reply_internal.h"

#include "little_endian.h"

#define STEP_VALUES (REPLY_STEP_MAX / sizeof(float))

/* Behind the layers, of which there are 1 + L. */
enum { ELMO = 1, DEFAULT, N_OTHERS = DEFAULT };

size_t reply_n_outputs(const struct reply *r)
{
    if (r->request->kind == REQUEST_SENTIMENT)
        return 1;
    return r->sentences ? elmo_model_info(r->model)->n_layers + 1 + N_OTHERS : 0;
}

static bool is_asked(const struct reply *r)
{
    size_t n_layers = elmo_model_info(r->model)->n_layers;
    if (r->request->kind == REQUEST_SENTIMENT)
        return true;
    if (r->output <= n_layers)
        return r->request->layers[r->output];
    return r->output == n_layers + ELMO ? r->request->elmo : r->request->pooled;
}

bool reply_is_vector(const struct reply *r)
{
    return r->request->kind == REQUEST_SENTIMENT ||
           r->output == elmo_model_info(r->model)->n_layers + DEFAULT;
}

struct reply_output reply_output(const struct reply *r)
{
    const struct elmo_model_info *info = elmo_model_info(r->model);
    const struct elmo_sentence *s = &r->sentences[r->input];
    if (!is_asked(r))
        return (struct reply_output){0};
    struct reply_output o = {.asked = true, .n_rows = s->n_tokens, .n_cols = info->layer_dim};
    if (r->request->kind == REQUEST_SENTIMENT) {
        o = (struct reply_output){true, s->probabilities, 1, info->n_labels, true};
    } else if (r->output <= info->n_layers) {
        o.values = s->layers[r->output];
        o.n_cols = r->output == 0 ? info->token_dim : info->layer_dim;
    } else if (r->output == info->n_layers + ELMO) {
        o.values = s->elmo;
    } else {
        o = (struct reply_output){true, s->pooled, 1, elmo_pooled_dim(r->model, s->pooling), true};
    }
    return o;
}

const char *reply_output_name(const struct reply *r, char layer[static LAYER_NAME_MAX])
{
    size_t n_layers = elmo_model_info(r->model)->n_layers;
    if (r->output > n_layers)
        return r->output == n_layers + ELMO ? "elmo" : "default";
    request_layer_name(r->output, layer);
    return layer;
}

bool reply_find_output(struct reply *r)
{
    while (r->output < reply_n_outputs(r) && !is_asked(r))
        r->output++;
    return r->output < reply_n_outputs(r);
}

size_t reply_only_output(const struct elmo_model *model, const struct request *request)
{
    static const struct elmo_sentence some; /* outputs are there, of whatever input */
    struct reply r = {.model = model, .request = request, .sentences = &some};
    if (!reply_find_output(&r))
        return SIZE_MAX;
    size_t only = r.output++;
    return reply_find_output(&r) ? SIZE_MAX : only;
}

bool reply_step_values(struct reply *r, struct buffer *out)
{
    const struct reply_output output = reply_output(r);
    size_t n_values = output.n_rows * output.n_cols, n = n_values - r->item;
    n = n < STEP_VALUES ? n : STEP_VALUES;
    char *dst = buffer_reserve(out, n * sizeof(float));
    if (!dst)
        return false;
    if (n > 0)
        little_endian_store(dst, output.values + r->item, n);
    buffer_commit(out, n * sizeof(float));
    r->item += n;
    if (r->item < n_values)
        return false;
    r->item = 0;
    return true;
}

#include "reply_internal.h"

#include <limits.h>
#include <string.h>

/* ---- Outputs ---- */

size_t reply_n_outputs(const struct reply *r)
{
    return r->sentences ? elmo_model_info(r->model)->n_layers + 3 : 0;
}

struct reply_output reply_output(const struct reply *r)
{
    const struct elmo_model_info *info = elmo_model_info(r->model);
    const struct elmo_sentence *s = &r->sentences[r->input];
    struct reply_output output = {.n_rows = s->n_tokens, .n_cols = info->layer_dim};
    if (r->output <= info->n_layers) {
        output.values = s->layers ? s->layers[r->output] : NULL;
        output.n_cols = r->output == 0 ? info->token_dim : info->layer_dim;
    } else if (r->output == info->n_layers + 1) {
        output.values = s->elmo;
    } else {
        output = (struct reply_output){s->pooled, 1, elmo_pooled_dim(r->model, s->pooling), true};
    }
    return output;
}

const char *reply_output_name(const struct reply *r, char layer[static LAYER_NAME_MAX])
{
    size_t n_layers = elmo_model_info(r->model)->n_layers;
    if (r->output > n_layers)
        return r->output == n_layers + 1 ? "elmo" : "default";
    request_layer_name(r->output, layer);
    return layer;
}

/* ---- The whole, whatever its form ---- */

static const struct {
    const char *content_type;
    void (*step)(struct reply *r, struct buffer *out);
} forms[] = {
    [REPLY_JSON] = {"application/json", reply_step_json},
    [REPLY_OPENAI] = {"application/json", reply_step_openai},
    [REPLY_OIP] = {"application/json", reply_step_oip},
};

const char *reply_content_type(enum reply_form form)
{
    return forms[form].content_type;
}

static void step(struct reply *r, struct buffer *out)
{
    forms[r->form].step(r, out);
}

bool reply_begin(struct reply *r, enum reply_form form, const struct elmo_model *model,
                 const struct request *request, const struct elmo_sentence *sentences)
{
    size_t n_max = 1; /* not 0: then NULL would not mean a failure */
    *r = (struct reply){.form = form, .model = model, .request = request, .sentences = sentences};
    if (request->offsets == OFFSETS_NONE)
        return true;
    for (size_t i = 0; i < request->n_inputs; i++)
        n_max = request->inputs[i].n_tokens > n_max ? request->inputs[i].n_tokens : n_max;
    r->offsets = calloc(n_max, sizeof *r->offsets);
    return r->offsets != NULL;
}

void reply_done(struct reply *r)
{
    buffer_done(&r->ahead);
    free(r->offsets);
    *r = (struct reply){0};
}

bool reply_write_ahead(struct reply *r, size_t n_bytes)
{
    while (r->part != REPLY_END && r->ahead.n_bytes <= n_bytes && !r->ahead.failed)
        step(r, &r->ahead);
    return r->part == REPLY_END || r->ahead.failed;
}

static size_t take_ahead(struct reply *r, char *dst, size_t n_max)
{
    size_t n = r->ahead.n_bytes - r->n_read;
    n = n < n_max ? n : n_max;
    if (n > 0)
        memcpy(dst, r->ahead.bytes + r->n_read, n);
    r->n_read += n;
    if (r->n_read == r->ahead.n_bytes) {
        buffer_done(&r->ahead);
        r->n_read = 0;
    }
    return n;
}

/* One step straight into dst; false, and nothing is done, when it does not fit. */
static bool step_into(struct reply *r, char *dst, size_t n_max, size_t *ret_n)
{
    struct buffer view = {.bytes = dst, .capacity = n_max, .max_bytes = n_max};
    const struct reply before = *r;
    step(r, &view);
    if (view.failed) /* it never grows over max_bytes, so dst is still where it was */
        *r = before;
    else
        *ret_n = view.n_bytes;
    return !view.failed;
}

ssize_t reply_read(struct reply *r, char *dst, size_t n_max)
{
    size_t n_step, n = 0;
    n_max = n_max < SSIZE_MAX ? n_max : SSIZE_MAX;
    if (!r->ahead.failed)
        n = take_ahead(r, dst, n_max);
    while (r->part != REPLY_END && n_max - n >= REPLY_STEP_MAX &&
           step_into(r, dst + n, n_max - n, &n_step))
        n += n_step;
    if (n > 0 || r->part == REPLY_END)
        return (ssize_t)n;
    while (r->part != REPLY_END && r->ahead.n_bytes == 0 && !r->ahead.failed)
        step(r, &r->ahead);
    return r->ahead.failed ? -1 : (ssize_t)take_ahead(r, dst, n_max);
}

#include "reply_internal.h"

#include <limits.h>
#include <string.h>

static const struct {
    const char *content_type;
    bool (*begin)(struct reply *r); /* or NULL */
    void (*step)(struct reply *r, struct buffer *out);
} forms[] = {
    [REPLY_JSON] = {"application/json", NULL, reply_step_json},
    [REPLY_SAFETENSORS] = {"application/vnd.safetensors", reply_begin_safetensors,
                           reply_step_safetensors},
    [REPLY_NPY] = {"application/x-npy", reply_begin_npy, reply_step_npy},
    [REPLY_OPENAI] = {"application/json", NULL, reply_step_openai},
    [REPLY_OIP] = {"application/json", NULL, reply_step_oip},
};
_Static_assert(ARRAY_LEN(forms) == REPLY_N_FORMS, "");

const char *reply_content_type(enum reply_form form)
{
    return forms[form].content_type;
}

bool reply_holds(enum reply_form form, const struct elmo_model *model,
                 const struct request *request)
{
    switch (form) {
    case REPLY_SAFETENSORS: return request->kind == REQUEST_EMBED;
    case REPLY_NPY: return reply_npy_holds(model, request);
    default: return true;
    }
}

static void step(struct reply *r, struct buffer *out)
{
    forms[r->form].step(r, out);
}

/* Allocates the offsets of the longest input if they are requested. False: out of memory. */
static bool place_offsets(struct reply *r)
{
    size_t n_max = 1; /* at least 1, so that NULL means failure */
    if (r->request->offsets == OFFSETS_NONE)
        return true;
    for (size_t i = 0; i < r->request->n_inputs; i++)
        n_max = r->request->inputs[i].n_tokens > n_max ? r->request->inputs[i].n_tokens : n_max;
    r->offsets = calloc(n_max, sizeof *r->offsets);
    return r->offsets != NULL;
}

bool reply_begin(struct reply *r, enum reply_form form, const struct elmo_model *model,
                 const struct request *request, const struct elmo_sentence *sentences)
{
    *r = (struct reply){.form = form,
                        .model = model,
                        .request = request,
                        .sentences = sentences,
                        .n_bytes = REPLY_LENGTH_UNKNOWN};
    return place_offsets(r) && (!forms[form].begin || forms[form].begin(r));
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

/* Writes one step directly to dst. False: it does not fit, and nothing was done. */
static bool step_into(struct reply *r, char *dst, size_t n_max, size_t *ret_n)
{
    struct buffer view = {.bytes = dst, .capacity = n_max, .max_bytes = n_max};
    const struct reply before = *r;
    step(r, &view);
    if (view.failed) /* it never exceeds max_bytes, so dst was not moved */
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

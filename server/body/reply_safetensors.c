/* application/vnd.safetensors: every output of every input is a tensor, in the order of the inputs
 * (https://github.com/huggingface/safetensors):
 *
 *     u64 bytes of the header; the header; the data
 *     {"__metadata__": {"model": "elmo-small", "answer": "{\"model\": ...}"},
 *      "0.elmo": {"dtype": "F32", "shape": [7, 1024], "data_offsets": [0, 28672]}, ...}
 *
 * "answer" is the JSON answer to the same request without its vectors, so tokens, offsets and the
 * rest have the same names as in JSON. Spaces pad the header, so that the data begins at a multiple
 * of 8. The length precedes the header, so begin() writes the header once to count its bytes. */
#include "reply_internal.h"

#define PREFIX_BYTES    8
#define DATA_ALIGNMENT  8
#define TENSOR_TEXT_MAX (LAYER_NAME_MAX + 200) /* a name, five numbers, some text \ */

_Static_assert(REPLY_STEP_ENOUGH + TENSOR_TEXT_MAX <= REPLY_STEP_MAX, "");

/* Escapes the JSON from n_before on for use in a string: a backslash before each quote and
 * backslash. It has no control characters. */
static void quote_again(struct buffer *out, size_t n_before)
{
    size_t n = out->n_bytes - n_before, n_more = 0;
    for (size_t i = n_before; i < out->n_bytes; i++)
        n_more += out->bytes[i] == '"' || out->bytes[i] == '\\';
    if (!buffer_reserve(out, n_more))
        return;
    char *src = out->bytes + n_before + n, *dst = src + n_more;
    while (dst > src) { /* backwards, until no byte is left to move */
        char c = *--src;
        *--dst = c;
        if (c == '"' || c == '\\')
            *--dst = '\\';
    }
    buffer_commit(out, n_more);
}

static void step_prefix(struct reply *r, struct buffer *out)
{
    struct json_writer w = {.out = out};
    unsigned char prefix[PREFIX_BYTES];
    for (size_t k = 0; k < PREFIX_BYTES; k++)
        prefix[k] = (unsigned char)(r->header_bytes >> (8 * k));
    buffer_append(out, prefix, sizeof prefix);
    buffer_append_text(out, "{\"__metadata__\":{\"model\":");
    json_write_text(&w, elmo_model_info(r->model)->name);
    buffer_append_text(out, ",\"answer\":\"");
    r->section = REPLY_ANSWER;
}

static void step_answer(struct reply *r, struct buffer *out)
{
    size_t n_before = out->n_bytes;
    reply_step_json(r, out);
    if (!out->failed)
        quote_again(out, n_before);
    if (r->part != REPLY_END)
        return;
    buffer_append_text(out, "\"}");
    r->part = REPLY_HEAD;
    r->section = REPLY_TENSORS;
    r->input = r->output = r->item = 0;
}

/* Advances to the next output of this or a later input. False: there is none. */
static bool find_tensor(struct reply *r)
{
    while (r->input < r->request->n_inputs) {
        if (reply_find_output(r))
            return true;
        r->output = 0;
        r->input++;
    }
    return false;
}

static void write_tensor(struct reply *r, struct buffer *out)
{
    const struct reply_output output = reply_output(r);
    char layer[LAYER_NAME_MAX];
    uint64_t begin = r->data_bytes;
    r->data_bytes += (uint64_t)output.n_rows * output.n_cols * sizeof(float);
    buffer_printf(out, ",\"%zu.%s\":{\"dtype\":\"F32\",\"shape\":[", r->input,
                  reply_output_name(r, layer));
    if (!output.is_vector)
        buffer_printf(out, "%zu,", output.n_rows);
    buffer_printf(out, "%zu],\"data_offsets\":[%llu,%llu]}", output.n_cols,
                  (unsigned long long)begin, (unsigned long long)r->data_bytes);
    r->output++;
}

static void step_tensors(struct reply *r, struct buffer *out)
{
    static const char spaces[DATA_ALIGNMENT] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    const struct json_writer w = {.out = out};
    size_t n_before = out->n_bytes;
    bool found;
    while ((found = find_tensor(r)) && reply_has_room(&w, n_before))
        write_tensor(r, out);
    if (found)
        return;
    buffer_append_char(out, '}');
    buffer_append(out, spaces, r->n_padding);
    r->section = REPLY_DATA;
    r->input = r->output = 0;
}

static void step_data(struct reply *r, struct buffer *out)
{
    if (find_tensor(r) && reply_step_values(r, out))
        r->output++;
    if (!find_tensor(r))
        r->part = REPLY_END;
}

bool reply_begin_safetensors(struct reply *r)
{
    AUTO(buffer_done) struct buffer text = {0};
    struct reply dry = *r;
    uint64_t n_bytes = 0;
    while (dry.section != REPLY_DATA && !text.failed) {
        reply_step_safetensors(&dry, &text);
        n_bytes += text.n_bytes;
        text.n_bytes = 0;
    }
    r->n_padding = (size_t)(-n_bytes % DATA_ALIGNMENT);
    r->header_bytes = n_bytes + r->n_padding - PREFIX_BYTES;
    r->n_bytes = n_bytes + r->n_padding + dry.data_bytes;
    return !text.failed;
}

void reply_step_safetensors(struct reply *r, struct buffer *out)
{
    switch (r->section) {
    case REPLY_PREFIX: step_prefix(r, out); break;
    case REPLY_ANSWER: step_answer(r, out); break;
    case REPLY_TENSORS: step_tensors(r, out); break;
    case REPLY_DATA: step_data(r, out); break;
    }
}

/* The JSON of POST /v1/embeddings, step by step. */
#include "reply_internal.h"

static void step_head(struct reply *r)
{
    struct json_writer *w = &r->writer;
    json_write_object_begin(w);
    json_write_text_member(w, "object", "list");
    json_write_key(w, "data");
    json_write_array_begin(w);
    reply_find_output(r); /* "default" is the only output */
    r->part = REPLY_ITEM;
}

static void step_item(struct reply *r)
{
    struct json_writer *w = &r->writer;
    if (r->input == r->request->n_inputs) {
        json_write_array_end(w);
        r->part = REPLY_TAIL;
        return;
    }
    json_write_object_begin(w);
    json_write_text_member(w, "object", "embedding");
    json_write_uint_member(w, "index", r->input);
    json_write_key(w, "embedding");
    r->item = 0;
    r->part = REPLY_VALUES;
}

static void step_values(struct reply *r)
{
    const struct reply_output output = reply_output(r);
    if (reply_json_values(r, &output))
        reply_end_item(r);
}

static void step_tail(struct reply *r)
{
    struct json_writer *w = &r->writer;
    json_write_text_member(w, "model", elmo_model_info(r->model)->name);
    json_write_key(w, "usage");
    json_write_object_begin(w);
    json_write_uint_member(w, "prompt_tokens", r->request->n_tokens);
    json_write_uint_member(w, "total_tokens", r->request->n_tokens);
    json_write_object_end(w);
    json_write_object_end(w);
    r->part = REPLY_END;
}

void reply_step_openai(struct reply *r, struct buffer *out)
{
    r->writer.out = out;
    switch (r->part) {
    case REPLY_HEAD: step_head(r); break;
    case REPLY_ITEM: step_item(r); break;
    case REPLY_VALUES: step_values(r); break;
    case REPLY_TAIL: step_tail(r); break;
    default: r->part = REPLY_END; /* there are no others */
    }
}

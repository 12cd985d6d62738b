/* The JSON of POST /v2/models/{model}/infer, step by step: one flat tensor per output, with the
 * rows of all inputs. */
#include "reply_internal.h"

#include <string.h>

enum { DEFAULT, SENTIMENT, N_OUTPUTS }; /* values of reply->output in this form */

static bool is_wanted(const struct reply *r)
{
    return r->output == DEFAULT ? r->request->pooled : r->request->probabilities;
}

/* Number of floats of one input. */
static size_t row_floats(const struct reply *r)
{
    return r->output == DEFAULT ? elmo_pooled_dim(r->model, r->request->pooling)
                                : elmo_model_info(r->model)->n_labels;
}

static const float *row(const struct reply *r)
{
    const struct elmo_sentence *s = &r->sentences[r->input];
    return r->output == DEFAULT ? s->pooled : s->probabilities;
}

static void begin_outputs(struct reply *r)
{
    json_write_key(&r->writer, "outputs");
    json_write_array_begin(&r->writer);
    r->part = REPLY_OUTPUT;
}

static void step_head(struct reply *r)
{
    const struct elmo_model_info *info = elmo_model_info(r->model);
    json_write_object_begin(&r->writer);
    json_write_text_member(&r->writer, "model_name", info->name);
    json_write_text_member(&r->writer, "model_version", info->sha256);
    if (r->request->id) {
        json_write_key(&r->writer, "id");
        r->part = REPLY_ID;
    } else {
        begin_outputs(r);
    }
}

/* The id is text of the client and may be long. */
static void step_id(struct reply *r)
{
    if (reply_json_string(r, r->request->id, strlen(r->request->id)))
        begin_outputs(r);
}

static void step_output(struct reply *r)
{
    struct json_writer *w = &r->writer;
    while (r->output < N_OUTPUTS && !is_wanted(r))
        r->output++;
    if (r->output == N_OUTPUTS) {
        json_write_array_end(w);
        json_write_object_end(w);
        r->part = REPLY_END;
        return;
    }
    json_write_object_begin(w);
    json_write_text_member(w, "name", r->output == DEFAULT ? "default" : "sentiment");
    json_write_text_member(w, "datatype", "FP32");
    json_write_key(w, "shape");
    json_write_array_begin(w);
    json_write_uint(w, r->request->n_inputs);
    json_write_uint(w, row_floats(r));
    json_write_array_end(w);
    json_write_key(w, "data");
    json_write_array_begin(w);
    r->input = 0;
    r->item = 0;
    r->part = REPLY_VALUES;
}

static void step_values(struct reply *r)
{
    if (!reply_json_floats(r, row(r), row_floats(r)))
        return;
    r->item = 0;
    r->input++;
    if (r->input < r->request->n_inputs)
        return;
    json_write_array_end(&r->writer);
    json_write_object_end(&r->writer);
    r->output++;
    r->part = REPLY_OUTPUT;
}

void reply_step_oip(struct reply *r, struct buffer *out)
{
    r->writer.out = out;
    switch (r->part) {
    case REPLY_HEAD: step_head(r); break;
    case REPLY_ID: step_id(r); break;
    case REPLY_OUTPUT: step_output(r); break;
    case REPLY_VALUES: step_values(r); break;
    default: r->part = REPLY_END; /* there are no others */
    }
}

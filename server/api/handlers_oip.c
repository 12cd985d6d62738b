/* Paths of the Open Inference Protocol: /v2/... The model has one version, its file's SHA-256. */
#include <string.h>

#include "handlers.h"
#include "service.h"
#include "text/json_write.h"
#include "version.h"

#define JSON "application/json"

void handle_oip_server(struct exchange *x)
{
    struct json_writer w = {.out = &x->out};
    json_write_object_begin(&w);
    json_write_text_member(&w, "name", "elmod");
    json_write_text_member(&w, "version", elmod_version);
    json_write_key(&w, "extensions");
    json_write_array_begin(&w);
    json_write_array_end(&w);
    json_write_object_end(&w);
    exchange_answer_ok(x, JSON);
}

/* The schema has no body here. The prose has one, and in it "live" for the ready server too. */
void handle_oip_live(struct exchange *x)
{
    buffer_append_text(&x->out, "{\"live\":true}");
    exchange_answer_ok(x, JSON);
}

void handle_oip_ready(struct exchange *x)
{
    if (!exchange_is_ready(x))
        return;
    buffer_append_text(&x->out, "{\"live\":true,\"ready\":true}");
    exchange_answer_ok(x, JSON);
}

void handle_oip_model_ready(struct exchange *x)
{
    struct json_writer w = {.out = &x->out};
    if (!exchange_is_ready(x) || !exchange_has_model(x) || !exchange_names_model(x))
        return;
    json_write_object_begin(&w);
    json_write_text_member(&w, "name", elmo_model_info(x->live->model)->name);
    json_write_bool_member(&w, "ready", true);
    json_write_object_end(&w);
    exchange_answer_ok(x, JSON);
}

/* A tensor of [-1] or, with n_cols, [-1, n_cols]. */
static void write_tensor(struct json_writer *w, const char *name, const char *datatype,
                         size_t n_cols)
{
    json_write_object_begin(w);
    json_write_text_member(w, "name", name);
    json_write_text_member(w, "datatype", datatype);
    json_write_key(w, "shape");
    json_write_array_begin(w);
    json_write_raw(w, "-1");
    if (n_cols > 0)
        json_write_uint(w, n_cols);
    json_write_array_end(w);
    json_write_object_end(w);
}

static void write_tensors(struct json_writer *w, const struct elmo_model_info *info)
{
    json_write_key(w, "inputs");
    json_write_array_begin(w);
    write_tensor(w, "text", "BYTES", 0);
    json_write_array_end(w);
    json_write_key(w, "outputs");
    json_write_array_begin(w);
    write_tensor(w, "default", "FP32", info->layer_dim);
    if (info->n_labels > 0)
        write_tensor(w, "sentiment", "FP32", info->n_labels);
    json_write_array_end(w);
}

/* The schema allows nothing but texts among properties, so the labels are JSON in a text. */
static void write_properties(struct json_writer *w, const struct elmo_model_info *info)
{
    AUTO(buffer_done) struct buffer text = {0};
    struct json_writer labels = {.out = &text};
    json_write_array_begin(&labels);
    for (size_t k = 0; k < info->n_labels; k++)
        json_write_text(&labels, info->labels[k]);
    json_write_array_end(&labels);
    json_write_key(w, "properties");
    json_write_object_begin(w);
    json_write_key(w, "labels");
    json_write_string(w, text.bytes, text.failed ? 0 : text.n_bytes);
    json_write_object_end(w);
    w->out->failed |= text.failed;
}

void handle_oip_model(struct exchange *x)
{
    struct json_writer w = {.out = &x->out};
    if (!exchange_has_model(x) || !exchange_names_model(x))
        return;
    const struct elmo_model_info *info = elmo_model_info(x->live->model);
    json_write_object_begin(&w);
    json_write_text_member(&w, "name", info->name);
    json_write_key(&w, "versions");
    json_write_array_begin(&w);
    json_write_text(&w, info->sha256);
    json_write_array_end(&w);
    json_write_text_member(&w, "platform", "elmo_safetensors");
    write_tensors(&w, info);
    if (info->n_labels > 0)
        write_properties(&w, info);
    json_write_object_end(&w);
    exchange_answer_ok(x, JSON);
}

void handle_oip_infer(struct exchange *x)
{
    x->form = REPLY_OIP;
    if (!exchange_has_model(x) || !exchange_names_model(x))
        return;
    exchange_prepare_job(x, REQUEST_OIP);
    if (x->request && !x->request->id) /* the prose wants one in any case */
        x->request->id = x->request_id;
}

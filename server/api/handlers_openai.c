/* Paths of the OpenAI dialect: /v1/... */
#include <string.h>

#include "handlers.h"
#include "service.h"
#include "text/json_write.h"

#define JSON "application/json"

void handle_openai_embeddings(struct exchange *x)
{
    x->form = REPLY_OPENAI;
    if (exchange_has_model(x))
        exchange_prepare_job(x, REQUEST_OPENAI);
}

/* When the model was made is not in its file. */
static void write_model(struct json_writer *w, const char *name)
{
    json_write_object_begin(w);
    json_write_text_member(w, "id", name);
    json_write_text_member(w, "object", "model");
    json_write_uint_member(w, "created", 0);
    json_write_text_member(w, "owned_by", "elmod");
    json_write_object_end(w);
}

void handle_openai_models(struct exchange *x)
{
    struct json_writer w = {.out = &x->out};
    if (!exchange_has_model(x))
        return;
    json_write_object_begin(&w);
    json_write_text_member(&w, "object", "list");
    json_write_key(&w, "data");
    json_write_array_begin(&w);
    write_model(&w, elmo_model_info(x->live->model)->name);
    json_write_array_end(&w);
    json_write_object_end(&w);
    exchange_answer_ok(x, JSON);
}

void handle_openai_model(struct exchange *x)
{
    struct json_writer w = {.out = &x->out};
    if (!exchange_has_model(x) || !exchange_names_model(x))
        return;
    write_model(&w, elmo_model_info(x->live->model)->name);
    exchange_answer_ok(x, JSON);
}

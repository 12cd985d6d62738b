#include "reply.h"

#include "json_write.h"

static void write_tokens(struct json_writer *w, const struct request_input *input)
{
    json_write_key(w, "tokens");
    json_write_array_begin(w);
    for (size_t i = 0; i < input->n_tokens; i++)
        json_write_string(w, input->tokens[i].bytes, input->tokens[i].n_bytes);
    json_write_array_end(w);
}

static void write_offsets(struct json_writer *w, const struct request *request,
                          const struct request_input *input)
{
    enum elmo_offset_unit unit = ELMO_OFFSET_BYTES;
    if (request->offsets == OFFSETS_CODEPOINTS)
        unit = ELMO_OFFSET_CODEPOINTS;
    else if (request->offsets == OFFSETS_UTF16)
        unit = ELMO_OFFSET_UTF16;
    AUTO(mem_free) size_t(*offsets)[2] = calloc(input->n_tokens + 1, sizeof *offsets);
    if (!offsets) {
        w->out->failed = true;
        return;
    }
    elmo_token_offsets(input->text, input->tokens, input->n_tokens, unit, offsets);
    json_write_key(w, "offsets");
    json_write_array_begin(w);
    for (size_t i = 0; i < input->n_tokens; i++) {
        json_write_array_begin(w);
        json_write_uint(w, offsets[i][0]);
        json_write_uint(w, offsets[i][1]);
        json_write_array_end(w);
    }
    json_write_array_end(w);
}

static void write_truncated(struct json_writer *w, const struct request_input *input)
{
    json_write_key(w, "truncated");
    json_write_bool(w, input->truncated);
}

static void write_index(struct json_writer *w, size_t index)
{
    json_write_key(w, "index");
    json_write_uint(w, index);
}

/* index, tokens, offsets where asked for, truncated: how items of /embed and /tokenize begin. */
static void write_item_head(struct json_writer *w, const struct request *request, size_t index)
{
    const struct request_input *input = &request->inputs[index];
    write_index(w, index);
    write_tokens(w, input);
    if (request->offsets != OFFSETS_NONE)
        write_offsets(w, request, input);
    write_truncated(w, input);
}

static void write_model(struct json_writer *w, const struct elmo_model *model)
{
    json_write_key(w, "model");
    json_write_text(w, elmo_model_info(model)->name);
}

static void write_usage(struct json_writer *w, const struct request *request)
{
    json_write_key(w, "usage");
    json_write_object_begin(w);
    json_write_key(w, "inputs");
    json_write_uint(w, request->n_inputs);
    json_write_key(w, "tokens");
    json_write_uint(w, request->n_tokens);
    json_write_object_end(w);
}

static void write_matrix(struct json_writer *w, const struct request *request, const char *name,
                         const float *values, size_t n_rows, size_t n_cols)
{
    json_write_key(w, name);
    if (request->base64)
        json_write_float_base64(w, values, n_rows * n_cols);
    else
        json_write_float_matrix(w, values, n_rows, n_cols);
}

static void write_vectors(struct json_writer *w, const struct elmo_model *model,
                          const struct request *request, const struct elmo_sentence *s)
{
    const struct elmo_model_info *info = elmo_model_info(model);
    for (size_t k = 0; k <= info->n_layers; k++) {
        char name[LAYER_NAME_MAX];
        request_layer_name(k, name);
        if (s->layers && s->layers[k])
            write_matrix(w, request, name, s->layers[k], s->n_tokens,
                         k == 0 ? info->token_dim : info->layer_dim);
    }
    if (s->elmo)
        write_matrix(w, request, "elmo", s->elmo, s->n_tokens, info->layer_dim);
    if (!s->pooled)
        return;
    size_t n = elmo_pooled_dim(model, s->pooling);
    json_write_key(w, "default");
    if (request->base64)
        json_write_float_base64(w, s->pooled, n);
    else
        json_write_float_array(w, s->pooled, n);
}

void reply_embed(struct buffer *out, const struct elmo_model *model, const struct request *request,
                 const struct elmo_sentence *sentences)
{
    struct json_writer w = {.out = out};
    json_write_object_begin(&w);
    write_model(&w, model);
    json_write_key(&w, "data");
    json_write_array_begin(&w);
    for (size_t i = 0; i < request->n_inputs; i++) {
        json_write_object_begin(&w);
        write_item_head(&w, request, i);
        write_vectors(&w, model, request, &sentences[i]);
        json_write_object_end(&w);
    }
    json_write_array_end(&w);
    write_usage(&w, request);
    json_write_object_end(&w);
}

static void write_labels(struct json_writer *w, const struct elmo_model_info *info)
{
    json_write_key(w, "labels");
    json_write_array_begin(w);
    for (size_t k = 0; k < info->n_labels; k++)
        json_write_text(w, info->labels[k]);
    json_write_array_end(w);
}

static void write_sentiment(struct json_writer *w, const struct elmo_model_info *info,
                            const float *probabilities)
{
    size_t best = 0;
    for (size_t k = 1; k < info->n_labels; k++)
        best = probabilities[k] > probabilities[best] ? k : best;
    json_write_key(w, "label");
    json_write_text(w, info->labels[best]);
    json_write_key(w, "score");
    json_write_float(w, probabilities[best]);
    json_write_key(w, "probabilities");
    json_write_object_begin(w);
    for (size_t k = 0; k < info->n_labels; k++) {
        json_write_key(w, info->labels[k]);
        json_write_float(w, probabilities[k]);
    }
    json_write_object_end(w);
}

void reply_sentiment(struct buffer *out, const struct elmo_model *model,
                     const struct request *request, const struct elmo_sentence *sentences)
{
    struct json_writer w = {.out = out};
    json_write_object_begin(&w);
    write_model(&w, model);
    write_labels(&w, elmo_model_info(model));
    json_write_key(&w, "data");
    json_write_array_begin(&w);
    for (size_t i = 0; i < request->n_inputs; i++) {
        json_write_object_begin(&w);
        write_index(&w, i);
        write_sentiment(&w, elmo_model_info(model), sentences[i].probabilities);
        write_truncated(&w, &request->inputs[i]);
        json_write_object_end(&w);
    }
    json_write_array_end(&w);
    write_usage(&w, request);
    json_write_object_end(&w);
}

void reply_tokenize(struct buffer *out, const struct elmo_model *model,
                    const struct request *request)
{
    struct json_writer w = {.out = out};
    json_write_object_begin(&w);
    write_model(&w, model);
    json_write_key(&w, "data");
    json_write_array_begin(&w);
    for (size_t i = 0; i < request->n_inputs; i++) {
        json_write_object_begin(&w);
        write_item_head(&w, request, i);
        json_write_object_end(&w);
    }
    json_write_array_end(&w);
    write_usage(&w, request);
    json_write_object_end(&w);
}

/* ---- /info ---- */

static void write_text_member(struct json_writer *w, const char *key, const char *text)
{
    json_write_key(w, key);
    json_write_text(w, text);
}

static void write_uint_member(struct json_writer *w, const char *key, uint64_t value)
{
    json_write_key(w, key);
    json_write_uint(w, value);
}

static void write_output_names(struct json_writer *w, const struct elmo_model_info *info)
{
    json_write_key(w, "outputs");
    json_write_array_begin(w);
    for (size_t k = 0; k <= info->n_layers; k++) {
        char name[LAYER_NAME_MAX];
        request_layer_name(k, name);
        json_write_text(w, name);
    }
    json_write_text(w, "elmo");
    json_write_text(w, "default");
    json_write_array_end(w);
}

static void write_model_info(struct json_writer *w, const struct elmo_model_info *info)
{
    json_write_key(w, "model");
    json_write_object_begin(w);
    write_text_member(w, "name", info->name);
    write_text_member(w, "sha256", info->sha256);
    write_text_member(w, "tokenizer", info->tokenizer);
    write_text_member(w, "dtype", info->dtype);
    write_uint_member(w, "parameters", info->n_parameters);
    write_uint_member(w, "layers", info->n_layers);
    write_uint_member(w, "token_dim", info->token_dim);
    write_uint_member(w, "layer_dim", info->layer_dim);
    write_uint_member(w, "cell_dim", info->cell_dim);
    write_output_names(w, info);
    write_labels(w, info);
    json_write_key(w, "options");
    json_write_raw(w, info->options);
    json_write_key(w, "provenance");
    json_write_raw(w, info->provenance);
    json_write_object_end(w);
}

static void write_limits(struct json_writer *w, const struct reply_info *info)
{
    json_write_key(w, "limits");
    json_write_object_begin(w);
    write_uint_member(w, "max_body_bytes", info->max_body_bytes);
    write_uint_member(w, "max_inputs", info->limits.max_inputs);
    write_uint_member(w, "max_tokens", info->limits.max_tokens);
    write_uint_member(w, "max_request_tokens", info->limits.max_request_tokens);
    write_uint_member(w, "queue_tokens", info->queue_tokens);
    write_uint_member(w, "request_timeout_ms", info->request_timeout_ms);
    json_write_object_end(w);
}

void reply_info(struct buffer *out, const struct elmo_model *model, const struct reply_info *info)
{
    struct json_writer w = {.out = out};
    json_write_object_begin(&w);
    write_model_info(&w, elmo_model_info(model));
    json_write_key(&w, "compute");
    json_write_object_begin(&w);
    write_text_member(&w, "dtype", elmo_model_info(model)->compute_dtype);
    write_text_member(&w, "kernel", elmo_model_info(model)->kernel);
    write_uint_member(&w, "threads", info->n_workers);
    json_write_object_end(&w);
    write_limits(&w, info);
    json_write_key(&w, "build");
    json_write_object_begin(&w);
    write_text_member(&w, "version", info->version);
    write_text_member(&w, "commit", info->commit);
    json_write_object_end(&w);
    json_write_object_end(&w);
}

/* The JSON of GET /info. */
#include "reply.h"
#include "text/json_write.h"

static void write_output_names(struct json_writer *w, const struct elmo_model_info *info,
                               bool has_word_vectors)
{
    char layer[LAYER_NAME_MAX];
    size_t last = info->n_layers + (has_word_vectors ? OUTPUT_WORD_VEC_ELMO : OUTPUT_DEFAULT);
    json_write_key(w, "outputs");
    json_write_array_begin(w);
    for (size_t k = 0; k <= last; k++)
        json_write_text(w, request_output_name(k, info->n_layers, layer));
    json_write_array_end(w);
}

static void write_model_info(struct json_writer *w, const struct elmo_model_info *info,
                             bool has_word_vectors)
{
    json_write_key(w, "model");
    json_write_object_begin(w);
    json_write_text_member(w, "name", info->name);
    json_write_text_member(w, "sha256", info->sha256);
    json_write_text_member(w, "tokenizer", info->tokenizer);
    json_write_text_member(w, "dtype", info->dtype);
    json_write_uint_member(w, "parameters", info->n_parameters);
    json_write_uint_member(w, "layers", info->n_layers);
    json_write_uint_member(w, "token_dim", info->token_dim);
    json_write_uint_member(w, "layer_dim", info->layer_dim);
    json_write_uint_member(w, "cell_dim", info->cell_dim);
    write_output_names(w, info, has_word_vectors);
    reply_write_labels(w, info);
    json_write_bool_member(w, "language_model", info->n_words > 0);
    json_write_key(w, "options");
    json_write_raw(w, info->options);
    json_write_key(w, "provenance");
    json_write_raw(w, info->provenance);
    json_write_object_end(w);
}

static void write_word_vectors(struct json_writer *w, const struct word_vectors *vectors)
{
    json_write_key(w, "word_vectors");
    if (!vectors) {
        json_write_null(w);
        return;
    }
    json_write_object_begin(w);
    json_write_text_member(w, "name", word_vectors_info(vectors)->name);
    json_write_uint_member(w, "dim", word_vectors_info(vectors)->dim);
    json_write_uint_member(w, "words", word_vectors_info(vectors)->n_words);
    json_write_object_end(w);
}

static void write_limits(struct json_writer *w, const struct reply_info *info)
{
    json_write_key(w, "limits");
    json_write_object_begin(w);
    json_write_uint_member(w, "max_body_bytes", info->max_body_bytes);
    json_write_uint_member(w, "max_inputs", info->limits.max_inputs);
    json_write_uint_member(w, "max_tokens", info->limits.max_tokens);
    json_write_uint_member(w, "max_request_tokens", info->limits.max_request_tokens);
    json_write_uint_member(w, "queue_tokens", info->queue_tokens);
    json_write_uint_member(w, "request_timeout_ms", info->request_timeout_ms);
    json_write_object_end(w);
}

void reply_info(struct buffer *out, const struct elmo_model *model, const struct reply_info *info)
{
    struct json_writer w = {.out = out};
    json_write_object_begin(&w);
    write_model_info(&w, elmo_model_info(model), info->word_vectors != NULL);
    write_word_vectors(&w, info->word_vectors);
    json_write_key(&w, "compute");
    json_write_object_begin(&w);
    json_write_text_member(&w, "dtype", elmo_model_info(model)->compute_dtype);
    json_write_text_member(&w, "kernel", elmo_model_info(model)->kernel);
    json_write_uint_member(&w, "threads", info->plan.n_threads);
    json_write_uint_member(&w, "workers", info->plan.n_workers);
    json_write_uint_member(&w, "batch_threads", info->plan.n_each);
    json_write_object_end(&w);
    write_limits(&w, info);
    json_write_key(&w, "build");
    json_write_object_begin(&w);
    json_write_text_member(&w, "version", info->version);
    json_write_text_member(&w, "commit", info->commit);
    json_write_object_end(&w);
    json_write_object_end(&w);
}

/* The native paths. The other dialects have handlers_openai.c and handlers_oip.c. */
#include "handlers.h"

#include "body/reply.h"
#include "openapi.h"
#include "service.h"
#include "version.h"

#define JSON "application/json"

/* ---- Requests for the model ---- */

void handle_embed(struct exchange *x)
{
    if (exchange_has_model(x))
        exchange_prepare_job(x, REQUEST_EMBED);
}

void handle_sentiment(struct exchange *x)
{
    if (!exchange_has_model(x))
        return;
    if (elmo_model_info(x->live->model)->n_labels == 0)
        exchange_answer_code(x, PROBLEM_NOT_IN_MODEL, "The model file has no sentiment head.");
    else
        exchange_prepare_job(x, REQUEST_SENTIMENT);
}

void handle_score(struct exchange *x)
{
    if (!exchange_has_model(x))
        return;
    if (elmo_model_info(x->live->model)->n_words == 0)
        exchange_answer_code(x, PROBLEM_NOT_IN_MODEL,
                             "The server was started without the softmax of a language model.");
    else
        exchange_prepare_job(x, REQUEST_SCORE);
}

void handle_tokenize(struct exchange *x)
{
    if (exchange_has_model(x))
        exchange_answer_tokens(x);
}

/* ---- The others ---- */

void handle_info(struct exchange *x)
{
    const struct config *config = x->service->config;
    if (!exchange_has_model(x))
        return;
    const struct reply_info info = {
        .plan = x->live->plan,
        .max_body_bytes = config->max_body_bytes,
        .limits = {config->max_inputs, config->max_tokens, config->max_request_tokens},
        .queue_tokens = config->queue_tokens,
        .request_timeout_ms = config->request_timeout_ms,
        .word_vectors = x->service->word_vectors,
        .version = elmod_version,
        .commit = elmod_commit,
    };
    reply_info(&x->out, x->live->model, &info);
    exchange_answer_ok(x, JSON);
}

void handle_live(struct exchange *x)
{
    buffer_append_text(&x->out, "{\"status\":\"alive\"}");
    exchange_answer_ok(x, JSON);
}

void handle_ready(struct exchange *x)
{
    if (!exchange_is_ready(x))
        return;
    buffer_append_text(&x->out, "{\"status\":\"ready\"}");
    exchange_answer_ok(x, JSON);
}

void handle_metrics(struct exchange *x)
{
    const struct elmo_cache_stats words = live_models_cache_stats(x->service->models);
    struct metrics_now now = {
        .n_word_hits = words.n_hits,
        .n_word_misses = words.n_misses,
        .n_vectors_known = atomic_load_explicit(&x->service->n_words_known, memory_order_relaxed),
        .n_vectors_unknown =
            atomic_load_explicit(&x->service->n_words_unknown, memory_order_relaxed),
    };
    struct metrics_model model;
    if (x->live) {
        const struct elmo_model_info *info = elmo_model_info(x->live->model);
        model = (struct metrics_model){info->name, info->sha256, info->dtype, info->compute_dtype};
        now.model = &model;
    }
    metrics_write(x->service->metrics, &now, &x->out);
    exchange_answer_ok(x, "text/plain; version=0.0.4; charset=utf-8");
}

void handle_openapi(struct exchange *x)
{
    buffer_append(&x->out, openapi_begin, (size_t)(openapi_end - openapi_begin));
    exchange_answer_ok(x, "application/yaml");
}

#include "handlers.h"

#include <string.h>
#include <strings.h>

#include "access.h"
#include "body/reply.h"
#include "cors.h"
#include "negotiate.h"
#include "openapi.h"
#include "protocol/media.h"
#include "route.h"
#include "service.h"
#include "util/clock.h"
#include "version.h"

#define JSON "application/json"

/* ---- Before the body ---- */

static bool is_allowed(const struct route *route, enum method method)
{
    if (route_takes_post(route))
        return method == METHOD_POST;
    return method == METHOD_GET || method == METHOD_HEAD;
}

static void check_media(struct exchange *x)
{
    const struct head *head = &x->head;
    const char *coding = head->content_encoding.value;
    x->accepts = media_coding(&head->accept_encoding);
    x->is_gzip =
        route_takes_post(x->route) && head->content_encoding.count == 1 && media_is_gzip(coding);
    bool is_json = head->content_type.count == 1 && media_is_json(head->content_type.value);
    if (head->binary_json_bytes.count > 0 && route_takes_post(x->route) &&
        route_dialect(x->route) == DIALECT_OIP)
        exchange_answer_code(x, PROBLEM_BAD_HEADER,
                             "Binary tensor data is not supported: send all of it as JSON, without "
                             "Inference-Header-Content-Length.");
    else if (!negotiate_path(x))
        return;
    else if (route_takes_post(x->route) && !is_json)
        exchange_answer_code(x, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                             "Content-Type must be application/json, in UTF-8.");
    else if (route_takes_post(x->route) && coding && !x->is_gzip &&
             strcasecmp(coding, "identity") != 0)
        exchange_answer_code(x, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                             "Of content codings, gzip alone is taken.");
}

static bool is_too_large(const struct exchange *x, uint64_t n_bytes)
{
    return n_bytes != UINT64_MAX && n_bytes > x->service->config->max_body_bytes;
}

void exchange_check(struct exchange *x)
{
    uint64_t n_bytes = head_body_bytes(&x->head);
    x->must_close = is_too_large(x, n_bytes);
    if (cors_answer_preflight(x) || !access_check(x))
        return;
    if (!x->route->allow) {
        exchange_answer_code(x, PROBLEM_NOT_FOUND, "There is nothing at this path.");
    } else if (!is_allowed(x->route, x->method)) {
        x->allow = x->route->allow;
        exchange_answer_code(x, PROBLEM_METHOD_NOT_ALLOWED,
                             "This path takes other methods; Allow names them.");
    } else if (is_too_large(x, n_bytes)) {
        exchange_body_too_large(x, n_bytes);
    } else {
        check_media(x);
    }
}

void exchange_body_late(struct exchange *x)
{
    x->must_close = true;
    exchange_answer_code(x, PROBLEM_BODY_TIMEOUT, "The body did not arrive in time.");
}

void exchange_body_too_large(struct exchange *x, uint64_t n_bytes)
{
    struct problem problem = {0};
    uint64_t max = x->service->config->max_body_bytes;
    problem_set_limit(&problem, PROBLEM_BODY_TOO_LARGE, max, n_bytes,
                      "The body is larger than %llu bytes.", (unsigned long long)max);
    x->must_close = true;
    exchange_answer_problem(x, &problem);
}

/* From here on the request has one and the same model, whatever is loaded meanwhile. */
void exchange_dispatch(struct exchange *x)
{
    x->live = live_models_use(x->service->models);
    if (exchange_body_is_whole(x))
        x->route->handle(x);
}

/* ---- Requests for the model ---- */

static enum service_state state_of(const struct exchange *x)
{
    return atomic_load_explicit(&x->service->state, memory_order_acquire);
}

static void answer_loading(struct exchange *x)
{
    exchange_answer_code(x, PROBLEM_LOADING, "The model is being loaded; try again soon.");
}

bool exchange_has_model(struct exchange *x)
{
    if (!x->live)
        answer_loading(x);
    return x->live != NULL;
}

bool exchange_is_ready(struct exchange *x)
{
    enum service_state state = state_of(x);
    if (state == SERVICE_LOADING)
        answer_loading(x);
    else if (state == SERVICE_DRAINING)
        exchange_answer_code(x, PROBLEM_DRAINING, "The server is shutting down.");
    return state == SERVICE_READY;
}

static bool is_text(const struct route_param *param, const char *text)
{
    return strlen(text) == param->n_bytes && memcmp(text, param->bytes, param->n_bytes) == 0;
}

bool exchange_names_model(struct exchange *x)
{
    const struct elmo_model_info *info = elmo_model_info(x->live->model);
    const struct route_param *version = &x->params.version;
    if (!is_text(&x->params.model, info->name))
        exchange_answer_code(x, PROBLEM_MODEL_NOT_FOUND, "There is no model of this name here.");
    else if (version->bytes && !is_text(version, info->sha256))
        exchange_answer_code(x, PROBLEM_MODEL_NOT_FOUND, "The model has no such version.");
    return x->status == 0;
}

/* Parses the body into x->request; false: answered. */
static bool parse_request(struct exchange *x, enum request_kind kind)
{
    const struct config *config = x->service->config;
    const struct request_limits limits = {
        .max_inputs = config->max_inputs,
        .max_tokens = config->max_tokens,
        .max_request_tokens = config->max_request_tokens,
        .word_vectors = x->service->word_vectors,
    };
    struct problem problem;
    problem_init(&problem);
    uint64_t begun_ns = clock_now_ns();
    bool ok = request_parse(&x->request, kind, x->body.bytes, x->body.n_bytes, x->live->model,
                            &limits, &problem);
    x->parse_ns = clock_now_ns() - begun_ns;
    metrics_stage(x->service->metrics, STAGE_PARSE, (double)x->parse_ns / NS_PER_SEC);
    buffer_done(&x->body); /* the parsed tree has its own strings */
    if (!ok)
        exchange_answer_problem(x, &problem);
    return ok;
}

static bool fill_sentences(struct exchange *x)
{
    const struct request *r = x->request;
    x->sentences = calloc(r->n_inputs, sizeof *x->sentences);
    for (size_t i = 0; x->sentences && i < r->n_inputs; i++) {
        x->sentences[i] = (struct elmo_sentence){
            .tokens = r->inputs[i].tokens,
            .n_tokens = r->inputs[i].n_tokens,
            .mix = r->has_mix ? &r->mix : NULL,
            .pooling = r->pooling,
            .l2_normalize = r->normalize,
        };
    }
    return x->sentences != NULL;
}

static void count_words(struct exchange *x)
{
    const struct reply_words words = reply_count_words(x->request);
    atomic_fetch_add_explicit(&x->service->n_words_known, words.n_known, memory_order_relaxed);
    atomic_fetch_add_explicit(&x->service->n_words_unknown, words.n_unknown, memory_order_relaxed);
}

/* Starts the answer, and ends it at once where it is short. Then its floats are of no use any
 * more; else they stay until it is read. */
static void begin_reply(struct exchange *x)
{
    count_words(x);
    struct reply *reply = &x->reply;
    uint64_t begun_ns = clock_now_ns();
    bool begun = reply_begin(reply, x->form, x->live->model, x->request, x->sentences);
    bool ended = !begun || reply_write_ahead(reply, REPLY_WHOLE_MAX);
    x->write_ns = clock_now_ns() - begun_ns;
    x->streamed = !ended;
    if (begun && ended) {
        x->out = reply->ahead;
        reply->ahead = (struct buffer){0};
    }
    x->out.failed |= !begun;
    exchange_answer_ok(x, reply_content_type(x->form));
    if (ended) {
        reply_done(reply);
        job_release_outputs(&x->job);
    }
}

ssize_t exchange_read(struct exchange *x, char *dst, size_t n_max)
{
    uint64_t begun_ns = clock_now_ns();
    ssize_t n =
        x->encoder ? encoder_read(x->encoder, dst, n_max) : reply_read(&x->reply, dst, n_max);
    x->write_ns += clock_now_ns() - begun_ns;
    return n;
}

static void answer_not_finite(struct exchange *x)
{
    struct problem problem = {0};
    struct json_pointer at = json_pointer_root();
    if (x->request->has_mix) {
        json_pointer_add_key(&at, "mix", strlen("mix"));
        problem_add_error(&problem, PROBLEM_INVALID_VALUE, &at,
                          "With this mix a result is not a finite number.");
    } else {
        problem_set(&problem, PROBLEM_INTERNAL, "A result is not a finite number.");
    }
    exchange_answer_problem(x, &problem);
}

static void note_times(struct exchange *x)
{
    const struct job *job = &x->job;
    uint64_t left_ns = job->taken_ns ? job->taken_ns : job->finished_ns;
    x->queue_ns = left_ns - job->queued_ns;
    x->compute_ns = job->finished_ns - left_ns;
    metrics_stage(x->service->metrics, STAGE_QUEUE, (double)x->queue_ns / NS_PER_SEC);
    if (job->taken_ns)
        metrics_stage(x->service->metrics, STAGE_COMPUTE, (double)x->compute_ns / NS_PER_SEC);
}

/* The end of a job, in a worker, which has other work to do than writing answers. */
static void wake(struct job *job)
{
    struct exchange *x = (struct exchange *)((char *)job - offsetof(struct exchange, job));
    x->wake(x);
}

void exchange_finish(struct exchange *x)
{
    note_times(x);
    switch (x->job.outcome) {
    case JOB_DONE: begin_reply(x); break;
    case JOB_EXPIRED:
        exchange_answer_code(x, PROBLEM_DEADLINE_EXCEEDED,
                             "The deadline passed while the request waited in the queue.");
        break;
    case JOB_NUMERIC: answer_not_finite(x); break;
    case JOB_FAILED: exchange_answer_code(x, PROBLEM_INTERNAL, "Computing failed."); break;
    }
}

static struct job_wants wants_of(const struct request *r)
{
    return (struct job_wants){.layers = r->layers,
                              .elmo = r->elmo || r->word_vec_elmo,
                              .pooled = r->pooled,
                              .probabilities = r->probabilities,
                              .attributions = r->attributions,
                              .log_probs = r->log_probs};
}

void exchange_prepare_job(struct exchange *x, enum request_kind kind)
{
    struct problem problem;
    problem_init(&problem);
    uint64_t timeout_ms;
    if (!head_timeout_ms(&x->head, x->service->config->request_timeout_ms, &timeout_ms, &problem)) {
        exchange_answer_problem(x, &problem);
        return;
    }
    if (!parse_request(x, kind) || !negotiate_form(x))
        return;
    if (!fill_sentences(x)) {
        exchange_answer_code(x, PROBLEM_INTERNAL, "Out of memory.");
        return;
    }
    x->job = (struct job){
        .sentences = x->sentences,
        .n_sentences = x->request->n_inputs,
        .n_tokens = x->request->n_tokens,
        .wants = wants_of(x->request),
        .extra_cost = x->request->log_probs ? elmo_model_info(x->live->model)->score_cost : 0,
        .deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS,
        .done = wake,
    };
}

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
    if (exchange_has_model(x) && parse_request(x, REQUEST_TOKENIZE))
        begin_reply(x);
}

/* Memory for an answer until it is sent, at most: the outputs of the job, and what is written of
 * their text before a client reads it. The tokens come on top, but those the client has sent
 * itself, and no more than 64 KiB of them are written ahead. */
static uint64_t answer_bytes_of(const struct exchange *x)
{
    uint64_t n_floats = job_output_floats(&x->job, x->live->model);
    uint64_t each = x->request->base64 ? 6 : 16;                /* 16: and a comma */
    uint64_t text_max = 2 * (REPLY_WHOLE_MAX + REPLY_STEP_MAX); /* a buffer grows by doubling */
    if (n_floats > UINT64_MAX / 64)
        return UINT64_MAX / 2;
    bool has_more = x->request->word_vec || x->request->word_vec_elmo; /* not among the outputs */
    uint64_t text = !has_more && n_floats * each < text_max ? n_floats * each : text_max;
    return n_floats * sizeof(float) + text + coding_memory_bytes(x->accepts);
}

/* Takes a part of the memory for answers, until exchange_done. */
static bool reserve_answer(struct exchange *x)
{
    uint64_t n_bytes = answer_bytes_of(x);
    if (!budget_take(&x->service->answer_bytes, n_bytes))
        return false;
    x->answer_bytes = n_bytes;
    return true;
}

bool exchange_submit(struct exchange *x)
{
    if (!reserve_answer(x)) {
        exchange_answer_code(x, PROBLEM_QUEUE_FULL,
                             "Too many answers are not sent yet; try again soon.");
        return false;
    }
    switch (queue_submit(x->live->queue, &x->job)) {
    case QUEUE_ACCEPTED: return true;
    case QUEUE_FULL:
        exchange_answer_code(x, PROBLEM_QUEUE_FULL, "The queue is full; try again soon.");
        break;
    case QUEUE_CLOSED:
        exchange_answer_code(x, PROBLEM_DRAINING, "The server is shutting down.");
        break;
    }
    return false;
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
        model = (struct metrics_model){info->name, info->sha256, info->dtype};
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

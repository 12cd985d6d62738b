/* Requests that the model computes: the body becomes a job (exchange_prepare_job), the job goes
 * into the queue (exchange_submit), and its outputs become the answer (exchange_finish,
 * exchange_read). */
#include <string.h>

#include "exchange.h"
#include "negotiate.h"
#include "service.h"
#include "util/clock.h"

/* ---- From the body to a job ---- */

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

void exchange_answer_tokens(struct exchange *x)
{
    if (parse_request(x, REQUEST_TOKENIZE))
        begin_reply(x);
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

/* ---- Into the queue ---- */

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

#define _GNU_SOURCE /* getrandom */
#include "http_request.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "api/access.h"
#include "api/cors.h"
#include "api/exchange.h"
#include "api/negotiate.h"
#include "api/route.h"
#include "api/service.h"
#include "batch/live_models.h"
#include "http_head.h"
#include "ops/log.h"
#include "ops/metrics.h"
#include "tls.h"
#include "util/clock.h"
#include "util/ms_text.h"

#define SERVER_TIMING_MAX 160
#define BLOCK_BYTES       (32 * 1024) /* of an answer that is not sent in chunks */

/* ---- Begin ---- */

/* 64 random bits; the kernel is asked for many at a time. */
static uint64_t random_bits(void)
{
    static _Thread_local uint64_t bits[32];
    static _Thread_local size_t n_left;
    if (n_left == 0) {
        if (getrandom(bits, sizeof bits, 0) != sizeof bits) /* promised for 256 bytes */
            return clock_now_ns();
        n_left = ARRAY_LEN(bits);
    }
    return bits[--n_left];
}

/* 128 random bits in hexadecimal. */
static void make_request_id(char id[static HEAD_REQUEST_ID_MAX + 1])
{
    for (int word = 0; word < 2; word++) {
        uint64_t bits = random_bits();
        for (int k = 0; k < 16; k++, bits >>= 4)
            *id++ = "0123456789abcdef"[bits & 15];
    }
    *id = '\0';
}

/* From a worker, or from the library's own thread. */
static void wake(struct exchange *exchange)
{
    struct http_request *r = (struct http_request *)exchange;
    MHD_resume_connection(r->connection);
}

struct http_request *http_request_new(struct service *service, struct conns *conns,
                                      struct conn *conn, struct MHD_Connection *connection)
{
    struct http_request *r = malloc(sizeof *r); /* calloc of glibc 2.36 has no cache per thread */
    if (!r)
        return NULL;
    *r = (struct http_request){0};
    struct exchange *x = &r->exchange;
    r->conns = conns;
    r->conn = conn;
    r->connection = connection;
    x->service = service;
    x->route = route_find("", &x->params);
    x->method = METHOD_OTHER;
    x->started_ns = clock_now_ns();
    x->wake = wake;
    make_request_id(x->request_id);
    if (!conn_enter(conns, conn, CONN_HEAD, NULL)) {
        free(r);
        return NULL;
    }
    metrics_inflight_add(service->metrics, 1);
    return r;
}

/* ---- Answer ---- */

/* How long writing takes is not known yet when the answer is streamed. */
static void server_timing(const struct exchange *x, char text[static SERVER_TIMING_MAX])
{
    const struct {
        const char *name;
        uint64_t ns;
    } stages[] = {
        {"parse;dur=", x->parse_ns},
        {", queue;dur=", x->queue_ns},
        {", compute;dur=", x->compute_ns},
        {", write;dur=", x->write_ns},
    };
    for (size_t i = 0; i < ARRAY_LEN(stages) - x->streamed; i++) {
        size_t n_name = strlen(stages[i].name);
        memcpy(text, stages[i].name, n_name);
        text += n_name;
        text += ms_text_write(text, stages[i].ns, 3);
    }
}

static bool must_close(const struct exchange *x)
{
    return x->must_close ||
           atomic_load_explicit(&x->service->state, memory_order_acquire) == SERVICE_DRAINING;
}

/* The headers of the request that decide how the answer goes; or NULL. */
static const char *vary(const struct exchange *x)
{
    bool by_accept = negotiate_varies(x) && (x->status == 200 || x->status == 406);
    if (by_accept)
        return x->may_be_coded ? "Accept, Accept-Encoding" : "Accept";
    return x->may_be_coded ? "Accept-Encoding" : NULL;
}

static bool add_more_headers(const struct exchange *x,
                             bool (*add)(void *to, const char *name, const char *value), void *to)
{
    bool ok = true;
    for (const struct header *h = x->headers; ok && h && h->name; h++)
        ok = add(to, h->name, h->value);
    return ok;
}

/* Calls add(to, name, value) for every header of the answer. */
static bool for_each_header(const struct exchange *x,
                            bool (*add)(void *to, const char *name, const char *value), void *to)
{
    char timing[SERVER_TIMING_MAX], retry_after[32];
    server_timing(x, timing);
    if (x->retry_after_ms)
        snprintf(retry_after, sizeof retry_after, "%" PRIu64, (x->retry_after_ms + 999) / 1000);
    return add(to, "X-Request-Id", x->request_id) && add(to, "Server-Timing", timing) &&
           (!x->content_type || add(to, "Content-Type", x->content_type)) &&
           (!vary(x) || add(to, "Vary", vary(x))) &&
           (x->coding == CODING_IDENTITY || add(to, "Content-Encoding", coding_name(x->coding))) &&
           (!x->allow || x->status != 405 || add(to, "Allow", x->allow)) &&
           (!x->retry_after_ms || add(to, "Retry-After", retry_after)) &&
           (!x->etag || add(to, "ETag", x->etag)) && add_more_headers(x, add, to) &&
           (x->status != 401 || add(to, "WWW-Authenticate", "Bearer realm=\"elmod\"")) &&
           cors_add_headers(x, add, to) && (!must_close(x) || add(to, "Connection", "close"));
}

static bool add_to_response(void *to, const char *name, const char *value)
{
    return MHD_add_response_header(to, name, value) == MHD_YES;
}

static struct MHD_Response *whole_response(struct http_request *r)
{
    struct exchange *x = &r->exchange;
    size_t n_bytes;
    char *bytes = buffer_take(&x->out, &n_bytes);
    if (!bytes)
        return NULL;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(n_bytes, bytes, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(bytes);
    r->n_answer_bytes = x->method == METHOD_HEAD ? 0 : n_bytes;
    return response;
}

/* The library wants more to send: whenever the socket has taken what came before, so a client that
 * does not read makes no text. */
static ssize_t read_answer(void *request, uint64_t position, char *dst, size_t n_max)
{
    struct http_request *r = request;
    (void)position;
    ssize_t n = exchange_read(&r->exchange, dst, n_max);
    if (n > 0)
        r->n_answer_bytes += (size_t)n;
    else
        return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
    return n;
}

/* Where the length is not known: in chunks, straight into the library's memory for the connection.
 * HTTP/1.0 has none: there, as where the length is known, it goes through a block of its own. */
static struct MHD_Response *streamed_response(struct http_request *r)
{
    const struct exchange *x = &r->exchange;
    uint64_t n_bytes = x->encoder ? REPLY_LENGTH_UNKNOWN : x->reply.n_bytes;
    bool in_chunks = n_bytes == REPLY_LENGTH_UNKNOWN && !r->is_http_1_0;
    _Static_assert(REPLY_LENGTH_UNKNOWN == MHD_SIZE_UNKNOWN, "");
    return MHD_create_response_from_callback(n_bytes, in_chunks ? 1 : BLOCK_BYTES, read_answer, r,
                                             NULL);
}

/* Hands the answer to the library. */
static bool answer(struct http_request *r)
{
    struct exchange *x = &r->exchange;
    if (!conn_enter(r->conns, r->conn, CONN_ANSWER, NULL))
        return false;
    exchange_encode(x);
    if (!x->streamed) /* all of it is in x->out: who does not read it keeps no model in memory */
        live_model_release(STEAL(x->live));
    struct MHD_Response *response = x->streamed ? streamed_response(r) : whole_response(r);
    if (!response)
        return false;
    bool ok = for_each_header(x, add_to_response, response) &&
              MHD_queue_response(r->connection, x->status, response) == MHD_YES;
    MHD_destroy_response(response);
    if (ok)
        r->phase = HTTP_ANSWERED;
    return ok;
}

static bool add_to_buffer(void *to, const char *name, const char *value)
{
    buffer_printf(to, "%s: %s\r\n", name, value);
    return true;
}

/* A whole HTTP response, for the moments when the library takes none: while a body arrives. */
static void write_response(struct exchange *x, struct buffer *out)
{
    x->must_close = true;
    buffer_printf(out, "HTTP/1.1 %u %s\r\nContent-Length: %zu\r\n", x->status,
                  MHD_get_reason_phrase_for(x->status), x->out.n_bytes);
    for_each_header(x, add_to_buffer, out);
    buffer_append_text(out, "\r\n");
    buffer_append(out, x->out.bytes, x->out.n_bytes);
}

/* The thread that receives the body may be at work on the request at this moment, so only what
 * stays the same during the body is read, and nothing is written. A fault that was seen before the
 * body is what the client gets to know. */
void http_request_write_late_answer(void *request, struct buffer *out)
{
    const struct exchange *x = &((const struct http_request *)request)->exchange;
    struct exchange late = {
        .service = x->service,
        .path = x->path,
        .route = x->route,
        .method = x->method,
        .head = x->head,
    };
    snprintf(late.request_id, sizeof late.request_id, "%s", x->request_id);
    exchange_check(&late);
    if (late.status == 0)
        exchange_body_late(&late);
    write_response(&late, out);
    exchange_done(&late);
}

/* ---- Steps ---- */

static enum method method_of(const char *method)
{
    if (strcmp(method, "GET") == 0)
        return METHOD_GET;
    if (strcmp(method, "HEAD") == 0)
        return METHOD_HEAD;
    if (strcmp(method, "OPTIONS") == 0)
        return METHOD_OPTIONS;
    return strcmp(method, "POST") == 0 ? METHOD_POST : METHOD_OTHER;
}

/* A URI may also name the host: "http://host/path" (RFC 9112, section 3.2.2). */
static const char *path_of(const char *url)
{
    size_t n_scheme = strncasecmp(url, "http://", 7) == 0    ? 7
                      : strncasecmp(url, "https://", 8) == 0 ? 8
                                                             : 0;
    if (n_scheme == 0)
        return url;
    const char *path = strchr(url + n_scheme, '/');
    return path ? path : "/";
}

/* Fills in the request but for its body. */
static void read_request(struct http_request *r, const char *url, const char *method,
                         const char *version)
{
    struct exchange *x = &r->exchange;
    const struct http_line line = {method, r->uri_end, version};
    x->path = path_of(url);
    x->route = route_find(x->path, &x->params);
    x->method = method_of(method);
    r->is_http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    http_read_head(r->connection, &line, &x->head);
    head_traceparent(&x->head, x->traceparent);
    const char *id = head_request_id(&x->head);
    if (id)
        snprintf(x->request_id, sizeof x->request_id, "%s", id);
}

/* Answers it when it cannot go on. */
static void check_request(struct http_request *r)
{
    struct exchange *x = &r->exchange;
    struct problem problem;
    problem_init(&problem);
    const struct head_request request = {
        .is_http_1_0 = r->is_http_1_0,
        .may_have_body = x->method != METHOD_GET && x->method != METHOD_HEAD,
    };
    if (head_check_framing(&x->head, &request, &problem)) {
        exchange_check(x);
    } else {
        x->must_close = true;
        exchange_answer_problem(x, &problem);
    }
}

bool http_request_head(struct http_request *r, const char *url, const char *method,
                       const char *version)
{
    struct exchange *x = &r->exchange;
    r->phase = HTTP_BODY;
    read_request(r, url, method, version);
    check_request(r);
    /* An answer before the body makes the library close the connection. A client that waits for
     * "100 Continue" gets it nevertheless: it has not sent the body yet. */
    if (x->must_close || (x->status && x->head.expect.count > 0))
        return answer(r);
    x->body.max_bytes = x->service->config->max_body_bytes;
    bool has_body = head_body_bytes(&x->head) > 0;
    return conn_enter(r->conns, r->conn, has_body ? CONN_BODY : CONN_BUSY, r);
}

/* Sends the last answer of the connection while its body still comes, and cuts it. */
static void cut(struct http_request *r, const struct buffer *response)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info)
        tls_send_last(info->tls_session, response);
    conn_cut(r->conn, info ? NULL : response);
}

bool http_request_body(struct http_request *r, const char *bytes, size_t n_bytes)
{
    struct exchange *x = &r->exchange;
    uint64_t max = access_body_max(x);
    r->n_body_bytes += n_bytes;
    if (r->n_body_bytes > max) { /* only chunked ones: a Content-Length was checked */
        AUTO(buffer_done) struct buffer response = {0};
        if (x->status == 0)
            exchange_body_too_large(x, r->n_body_bytes);
        write_response(x, &response);
        r->n_answer_bytes = x->out.n_bytes;
        r->phase = HTTP_ANSWERED;
        cut(r, &response);
        return false;
    }
    if (x->status) /* answered already; the body is read for the next request's sake */
        return true;
    exchange_body(x, bytes, n_bytes);
    return true;
}

bool http_request_handle(struct http_request *r)
{
    struct exchange *x = &r->exchange;
    r->phase = HTTP_HANDLED;
    if (x->status) /* decided by the headers or the body */
        return answer(r);
    if (!conn_enter(r->conns, r->conn, CONN_BUSY, r))
        return false;
    exchange_dispatch(x);
    if (x->status)
        return answer(r);
    /* First suspend, then submit: a worker may resume it before this returns, and from then on the
     * exchange is not ours. */
    MHD_suspend_connection(r->connection);
    if (!exchange_submit(x))
        MHD_resume_connection(r->connection);
    return true;
}

bool http_request_finish(struct http_request *r)
{
    if (r->exchange.status == 0)
        exchange_finish(&r->exchange);
    return answer(r);
}

/* ---- End ---- */

static const char *method_name(enum method method)
{
    static const char *const names[] = {
        [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",   [METHOD_POST] = "POST",
        [METHOD_OPTIONS] = "OPTIONS", [METHOD_OTHER] = "other",
    };
    return names[method];
}

static void log_request(const struct http_request *r, unsigned status, uint64_t total_ns)
{
    const struct exchange *x = &r->exchange;
    const struct request *request = x->request;
    log_event(LOG_INFO, "request",
              LOG_FIELDS(LOG_TEXT("request_id", x->request_id),
                         LOG_TEXT("traceparent", x->traceparent[0] ? x->traceparent : NULL),
                         LOG_TEXT("method", method_name(x->method)),
                         LOG_TEXT("path", x->route->path), LOG_UINT("status", status),
                         LOG_UINT("bytes_in", r->n_body_bytes),
                         LOG_UINT("bytes_out", r->n_answer_bytes),
                         LOG_UINT("inputs", request ? request->n_inputs : 0),
                         LOG_UINT("tokens", request ? request->n_tokens : 0),
                         LOG_MS("parse_ms", x->parse_ns), LOG_MS("queue_ms", x->queue_ns),
                         LOG_MS("compute_ms", x->compute_ns), LOG_MS("write_ms", x->write_ns),
                         LOG_MS("total_ms", total_ns)));
}

void http_request_end(struct http_request *r, unsigned status)
{
    struct exchange *x = &r->exchange;
    struct metrics *metrics = x->service->metrics;
    bool cut = !conn_enter(r->conns, r->conn, CONN_KEPT, NULL);
    uint64_t total_ns = clock_now_ns() - x->started_ns;
    if (r->phase == HTTP_ANSWERED)
        status = x->status;
    else if (cut && r->phase > HTTP_REQUEST_LINE)
        status = x->status ? x->status : problem_status(PROBLEM_BODY_TIMEOUT);
    log_request(r, status, total_ns);
    if (x->write_ns > 0) /* of a streamed answer it is known only now */
        metrics_stage(metrics, STAGE_WRITE, (double)x->write_ns / NS_PER_SEC);
    metrics_request_done(metrics, route_index(x->route), status, (double)total_ns / NS_PER_SEC);
    exchange_done(x); /* what it held is free by the time that it no longer counts */
    metrics_inflight_add(metrics, -1);
    free(r);
}

#pragma once
/* One request and its answer, without a word of the HTTP library: http fills in the request, the
 * handlers decide on the answer, http sends it. One side owns it at a time, like its job. */
#include <stdint.h>

#include "batch/job.h"
#include "body/reply.h"
#include "protocol/encoder.h"
#include "protocol/http_fields.h"
#include "protocol/inflate.h"
#include "protocol/problem.h"
#include "util/buffer.h"

struct live_model;
struct route;
struct service;

struct route_param {   /* {NULL, 0}: the route has no such place */
    const char *bytes; /* borrowed, of the path */
    size_t n_bytes;
};
struct route_params {
    struct route_param model, version;
};

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_OPTIONS, METHOD_OTHER };

struct header {
    const char *name, *value; /* borrowed */
};

struct exchange {            /* all zero is a valid start */
    struct service *service; /* borrowed */
    struct live_model *live; /* used from exchange_dispatch until the answer is made; or NULL */

    /* The request. */
    const struct route *route; /* never NULL: unknown paths have routes too */
    struct route_params params;
    enum method method;
    const char *path; /* borrowed until the end; what a client sent, so only for the answer */
    struct head head; /* values borrowed until the end */
    char request_id[HEAD_REQUEST_ID_MAX + 1];
    char traceparent[HEAD_TRACEPARENT_SIZE];
    struct buffer body;
    bool is_gzip;            /* the body, as it comes */
    struct inflate *inflate; /* owned; NULL until its first byte */
    uint64_t started_ns;     /* the request line came */

    /* The answer. */
    unsigned status; /* 0: not decided yet */
    const char *content_type;
    const char *allow;            /* of a 405, or NULL */
    const char *etag;             /* or NULL */
    const struct header *headers; /* more of them, up to a NULL name; or NULL */
    struct buffer out;
    enum reply_form form;    /* of the answer of the model's work */
    enum coding accepts;     /* the best that the client takes */
    enum coding coding;      /* of the answer */
    bool may_be_coded;       /* another client might get this answer in another coding */
    struct encoder *encoder; /* owned; of a streamed answer that has a coding */
    bool streamed;           /* the body is not in `out` but made while it is sent: exchange_read */
    struct reply reply;
    uint64_t retry_after_ms; /* 0: none */
    bool must_close;         /* what follows on the connection cannot be trusted or waited for */

    /* The work for the model, where there is any. */
    struct request *request;         /* owned */
    struct elmo_sentence *sentences; /* [request->n_inputs], owned */
    struct job job;
    uint64_t answer_bytes; /* its part of the service's */
    uint64_t parse_ns, queue_ns, compute_ns;
    uint64_t write_ns; /* making the text, so far */
    /* A submitted job is over; called by a worker, and the last touch. */
    void (*wake)(struct exchange *exchange);
};

/* Frees what the exchange owns, not itself. */
void exchange_done(struct exchange *exchange);

/* Makes the problem the answer; its instance, request id and retry_after_ms are filled in here. */
void exchange_answer_problem(struct exchange *exchange, struct problem *problem);
/* problem_set and exchange_answer_problem in one. */
void exchange_answer_code(struct exchange *exchange, enum problem_code code, const char *detail);
/* out is written: makes it the answer, or a problem when memory ran out on the way. */
void exchange_answer_ok(struct exchange *exchange, const char *content_type);

/* What the service does with a request, step by step as http/ calls it:
 *
 *     exchange_check      the headers are here: may it go on?                     exchange_check.c
 *     exchange_body       a piece of the body is here                             coding.c
 *     exchange_dispatch   the body is complete: answered, or a job is ready (status still 0)
 *     exchange_submit     the connection is suspended: the job enters the queue   inference.c
 *     exchange_finish     the job is over: it becomes the answer                  inference.c
 *     exchange_encode     the answer is about to be sent: in which coding?        coding.c
 *     exchange_read       the next bytes of a streamed answer are wanted          inference.c
 *
 * Every step before the last may set the answer; then the later ones are left out. */

/* Preflight, API key, path, method, size of the body, Accept, Content-Type. */
void exchange_check(struct exchange *exchange);
void exchange_body(struct exchange *exchange, const char *bytes, size_t n_bytes);
void exchange_dispatch(struct exchange *exchange);
/* False: refused, and the answer is there. True: do not touch the exchange until wake(). */
bool exchange_submit(struct exchange *exchange);
void exchange_finish(struct exchange *exchange);
void exchange_encode(struct exchange *exchange);
/* Whether a 200 of that type and length has a coding, for clients that take one. */
bool exchange_would_be_coded(const struct exchange *exchange, const char *content_type,
                             size_t n_bytes);
/* See reply_read. */
ssize_t exchange_read(struct exchange *exchange, char *dst, size_t n_max);
/* The body did not arrive in time, or grew over the limit. */
void exchange_body_late(struct exchange *exchange);
void exchange_body_too_large(struct exchange *exchange, uint64_t n_bytes);

/* For exchange_dispatch. False: the gzip of the body ends too early, which is answered. */
bool exchange_body_is_whole(struct exchange *exchange);

/* ---- For handlers ---- */

/* Whether the model is loaded; and whether the service takes requests for it. False: answered. */
bool exchange_has_model(struct exchange *exchange);
bool exchange_is_ready(struct exchange *exchange);
/* Whether the path names the loaded model, and its version where it names one. False: answered. */
bool exchange_names_model(struct exchange *exchange);
/* Makes the job of a request for the model, or answers with what is wrong. The model is loaded. */
void exchange_prepare_job(struct exchange *exchange, enum request_kind kind);
/* Answers with the tokens of the request's inputs, without a job. The model is loaded. */
void exchange_answer_tokens(struct exchange *exchange);

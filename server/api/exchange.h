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

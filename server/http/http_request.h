#pragma once
/* One request as libmicrohttpd delivers it, step by step: request line, headers, pieces of the
 * body, end. Internal to http*.c. Every step runs in a thread of libmicrohttpd, the same one for a
 * connection's whole life. */
#include "api/exchange.h"
#include "conns.h"

struct MHD_Connection;

enum http_phase { /* in this order; a phase may be skipped, none comes twice */
                  HTTP_REQUEST_LINE,
                  HTTP_BODY,     /* the headers are read and checked */
                  HTTP_HANDLED,  /* the body is complete and the handler was called; a job may be
                                    computed */
                  HTTP_ANSWERED, /* the library has the response */
};

struct http_request {
    struct exchange exchange; /* first: wake() gets a pointer to it */
    struct conns *conns;      /* borrowed, as the two below */
    struct conn *conn;
    struct MHD_Connection *connection;
    uintptr_t uri_end; /* where the request line's URI ended as it was received */
    bool is_http_1_0;
    enum http_phase phase;
    uint64_t n_body_bytes;   /* received */
    uint64_t n_answer_bytes; /* of the body; a streamed one: handed to the library so far */
};

/* The request line came. NULL: out of memory, or the connection has been cut; close it. */
struct http_request *http_request_new(struct service *service, struct conns *conns,
                                      struct conn *conn, struct MHD_Connection *connection);

/* The steps; false: close the connection. */
bool http_request_head(struct http_request *r, const char *url, const char *method,
                       const char *version);
bool http_request_body(struct http_request *r, const char *bytes, size_t n_bytes);
/* The body is complete: answers, or suspends the connection until its job is over. */
bool http_request_handle(struct http_request *r);
/* The job is over and the connection resumed: answers. */
bool http_request_finish(struct http_request *r);

/* The answer was sent, or there will be none: logs, counts and frees. `status` is what the library
 * answered by itself, 0: nothing. */
void http_request_end(struct http_request *r, unsigned status);

/* For conns_options: the 408 of a request whose body is late. */
void http_request_write_late_answer(void *request, struct buffer *out);

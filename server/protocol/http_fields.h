#pragma once
/* The header fields of one request that mean something to us, collected as they come and then
 * checked as a whole. Pure: no library of HTTP here, so that tests can feed it anything.
 *
 * What proxies may read in two ways is refused, whatever it asks for: Transfer-Encoding together
 * with Content-Length, two of either, an encoding other than chunked, characters that no field may
 * have (RFC 9112, section 11.2: request smuggling). */
#include <stdint.h>

#include "defs.h"
#include "problem.h"

/* X(member, field name) */
#define HEAD_FIELDS(X)                                      \
    X(host, "Host")                                         \
    X(content_length, "Content-Length")                     \
    X(transfer_encoding, "Transfer-Encoding")               \
    X(expect, "Expect")                                     \
    X(content_type, "Content-Type")                         \
    X(content_encoding, "Content-Encoding")                 \
    X(accept_encoding, "Accept-Encoding")                   \
    X(if_none_match, "If-None-Match")                       \
    X(request_id, "X-Request-Id")                           \
    X(request_timeout, "X-Request-Timeout-Ms")              \
    X(traceparent, "traceparent")                           \
    X(binary_json_bytes, "Inference-Header-Content-Length") \
    X(authorization, "Authorization")                       \
    X(api_key, "X-API-Key")                                 \
    X(origin, "Origin")                                     \
    X(requested_method, "Access-Control-Request-Method")

#define HEAD_ACCEPT_MAX       8   /* fields of this name; more are refused */
#define HEAD_REQUEST_ID_MAX   128 /* characters */
#define HEAD_TRACEPARENT_SIZE 56  /* with NUL */

struct head_field {
    const char *value; /* of the last one, NULL when there is none */
    size_t count;
};

struct head { /* {0}: no fields yet; values are borrowed */
#define X(member, name) struct head_field member;
    HEAD_FIELDS(X)
#undef X
    const char *accept[HEAD_ACCEPT_MAX];
    size_t n_accept; /* all of them, so it may be larger */
    bool malformed; /* a name or value that HTTP does not allow, or something hidden between them */
};

/* Takes one field. */
void head_add(struct head *head, const char *name, const char *value);

struct head_request { /* what the fields come with */
    bool is_http_1_0;
    bool may_have_body; /* the method is not GET or HEAD */
};

/* Whether the message's end is clear. False: bad_framing or bad_header is set, and the connection
 * must be closed, since what follows may not be a request. */
bool head_check_framing(const struct head *head, const struct head_request *request,
                        struct problem *problem);

/* Bytes of the body, 0 when there is none; UINT64_MAX: chunked. The framing must be checked. */
uint64_t head_body_bytes(const struct head *head);

/* X-Request-Timeout-Ms, but no more than `max_ms`, which is also the value when there is none.
 * False: it is not a whole number from 1 up; bad_header is set. */
bool head_timeout_ms(const struct head *head, uint64_t max_ms, uint64_t *ret_ms,
                     struct problem *problem);

/* The client's X-Request-Id if it came once and is 1 to 128 of A-Z a-z 0-9 . _ : / + = @ ~ -, else
 * NULL. */
const char *head_request_id(const struct head *head);

/* The version-00 part of a valid W3C traceparent, copied with NUL; "" when there is none. */
void head_traceparent(const struct head *head, char ret_text[static HEAD_TRACEPARENT_SIZE]);

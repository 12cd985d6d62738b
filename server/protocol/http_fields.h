#pragma once
/* The header fields of a request that elmod uses, collected one by one and then checked together.
 * Pure: it does not use the HTTP library, so that tests can pass any fields.
 *
 * Requests that proxies may read differently are refused (RFC 9112, section 11.2: request
 * smuggling): Transfer-Encoding together with Content-Length, two of either, an encoding other than
 * chunked, characters that are not allowed in a field. */
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

#define HEAD_ACCEPT_MAX       8   /* most Accept fields of a request */
#define HEAD_REQUEST_ID_MAX   128 /* characters */
#define HEAD_TRACEPARENT_SIZE 56  /* with NUL */

struct head_field {
    const char *value; /* of the last field of this name, or NULL */
    size_t count;
};

struct head { /* {0}: no fields; values are borrowed */
#define X(member, name) struct head_field member;
    HEAD_FIELDS(X)
#undef X
    const char *accept[HEAD_ACCEPT_MAX];
    size_t n_accept; /* number of Accept fields, may exceed HEAD_ACCEPT_MAX */
    bool malformed;  /* an invalid name or value, or bytes hidden between them */
};

/* Adds one field. */
void head_add(struct head *head, const char *name, const char *value);

struct head_request { /* the request line, as far as it matters here */
    bool is_http_1_0;
    bool may_have_body; /* the method is not GET or HEAD */
};

/* Checks the framing of the message. False: bad_framing or bad_header is set, and the connection
 * must be closed, since the end of the message is unknown. */
bool head_check_framing(const struct head *head, const struct head_request *request,
                        struct problem *problem);

/* Length of the body in bytes, 0 without a body, UINT64_MAX if chunked. Valid after
 * head_check_framing. */
uint64_t head_body_bytes(const struct head *head);

/* X-Request-Timeout-Ms, at most `max_ms`, which is also the default. False: it is not an integer of
 * at least 1; bad_header is set. */
bool head_timeout_ms(const struct head *head, uint64_t max_ms, uint64_t *ret_ms,
                     struct problem *problem);

/* The client's X-Request-Id if there is exactly one, of 1 to 128 characters A-Z a-z 0-9 . _ : / + =
 * @ ~ -; otherwise NULL. */
const char *head_request_id(const struct head *head);

/* Copies the version-00 part of a valid W3C traceparent, with a NUL; "" if there is none. */
void head_traceparent(const struct head *head, char ret_text[static HEAD_TRACEPARENT_SIZE]);

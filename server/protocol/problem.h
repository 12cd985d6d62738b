#pragma once
/* The error of a request, and its application/problem+json body (RFC 9457). The table is the only
 * list of codes: openapi.yaml, the metrics and the tests follow it.
 *
 * The first problem wins: once a code is set, problem_set does nothing, so that later checks only
 * add places. Details never contain text from the client. */
#include <stdint.h>

#include "text/json_pointer.h"
#include "util/buffer.h"

/* X(enum suffix, code, HTTP status, title) */
#define PROBLEM_CODES(X)                                                                          \
    X(INVALID_JSON, "invalid_json", 400, "The body is not JSON")                                  \
    X(INVALID_UTF8, "invalid_utf8", 400, "The body is not valid UTF-8")                           \
    X(DUPLICATE_KEY, "duplicate_key", 400, "An object has the same key twice")                    \
    X(NUL_CHARACTER, "nul_character", 400, "A string holds a NUL character")                      \
    X(BAD_FRAMING, "bad_framing", 400, "The length of the body is ambiguous")                     \
    X(BAD_HEADER, "bad_header", 400, "A header has a value that is not allowed")                  \
    X(BAD_ENCODING, "bad_encoding", 400, "The body does not match Content-Encoding")              \
    X(UNAUTHORIZED, "unauthorized", 401, "The request has no known API key")                      \
    X(NOT_FOUND, "not_found", 404, "There is nothing at this path")                               \
    X(MODEL_NOT_FOUND, "model_not_found", 404, "There is no model of this name")                  \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "This path does not support this method")    \
    X(NOT_ACCEPTABLE, "not_acceptable", 406, "None of the accepted media types is available")     \
    X(BODY_TIMEOUT, "body_timeout", 408, "The body did not arrive in time")                       \
    X(BODY_TOO_LARGE, "body_too_large", 413, "The body is too large")                             \
    X(TOO_MANY_INPUTS, "too_many_inputs", 413, "The request has too many inputs")                 \
    X(TOO_MANY_TOKENS, "too_many_tokens", 413, "The request has too many tokens")                 \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "The body must be application/json") \
    X(MISSING_FIELD, "missing_field", 422, "A field is missing")                                  \
    X(UNKNOWN_FIELD, "unknown_field", 422, "A field is not known")                                \
    X(INVALID_TYPE, "invalid_type", 422, "A value has the wrong type")                            \
    X(INVALID_VALUE, "invalid_value", 422, "A value is not allowed")                              \
    X(INPUT_TOO_LONG, "input_too_long", 422, "An input has too many tokens")                      \
    X(QUEUE_FULL, "queue_full", 429, "The queue is full")                                         \
    X(INTERNAL, "internal", 500, "Internal server error")                                         \
    X(NOT_IN_MODEL, "not_in_model", 501, "The model does not have this part")                     \
    X(LOADING, "loading", 503, "The model is being loaded")                                       \
    X(DRAINING, "draining", 503, "The server is shutting down")                                   \
    X(DEADLINE_EXCEEDED, "deadline_exceeded", 504, "The deadline passed before the work began")

enum problem_code {
    PROBLEM_NONE = 0, /* no problem */
#define X(suffix, code, status, title) PROBLEM_##suffix,
    PROBLEM_CODES(X)
#undef X
        PROBLEM_N_CODES, /* one more than the last */
};

#define PROBLEM_DETAIL_MAX 192 /* with NUL; longer details are truncated */
#define PROBLEM_ERRORS_MAX 8   /* places reported; the rest are dropped */

struct problem_error {
    enum problem_code code;
    struct json_pointer pointer;
    char detail[PROBLEM_DETAIL_MAX];
};

struct problem { /* {0}: no problem; owns nothing, may be copied */
    enum problem_code code;
    char detail[PROBLEM_DETAIL_MAX];
    const char *instance;   /* borrowed request path, or NULL */
    const char *request_id; /* borrowed, or NULL */
    bool has_limit;         /* limit and actual are set */
    uint64_t limit;
    uint64_t actual;         /* the value over the limit; 0: unknown */
    uint64_t retry_after_ms; /* 0: a retry does not help */
    size_t n_errors;
    struct problem_error errors[PROBLEM_ERRORS_MAX]; /* last: see problem_init */
};

/* Resets to no problem, like {0}, but without clearing the 4 KiB of places. */
void problem_init(struct problem *problem);

/* Sets code and detail unless there is a code already. */
void problem_set(struct problem *problem, enum problem_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Like problem_set, and sets limit and actual. */
void problem_set_limit(struct problem *problem, enum problem_code code, uint64_t limit,
                       uint64_t actual, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Adds a place, and sets code and detail unless there is a code already. NULL: "#". */
void problem_add_error(struct problem *problem, enum problem_code code,
                       const struct json_pointer *pointer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Properties of any code except PROBLEM_NONE: "queue_full", 429, "The queue is full". */
const char *problem_code_text(enum problem_code code);
unsigned problem_status(enum problem_code code);
const char *problem_title(enum problem_code code);

/* Appends the body, one JSON object. The code must be set. */
void problem_write(struct buffer *out, const struct problem *problem);

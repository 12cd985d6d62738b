#pragma once
/* One line per event, JSON or text, each line one write(2): lines of threads never interleave.
 *
 *     log_event(LOG_INFO, "started", LOG_FIELDS(LOG_TEXT("listen", address),
 *                                               LOG_UINT("threads", n_threads)));
 *     {"ts":"2026-01-31T12:00:00.123Z","level":"info","event":"started","listen":...,"threads":2}
 *
 * By policy no field holds text that a client sent (request ids and traceparent are checked and
 * bounded before). Whatever comes in is escaped, so a line cannot be forged. */
#include <stdint.h>

#include "defs.h"

/* X(enum suffix, name): least to most talkative; config.h offers the same names. */
#define LOG_LEVELS(X) X(ERROR, "error") X(WARN, "warn") X(INFO, "info") X(DEBUG, "debug")

enum log_level {
#define X(suffix, name) LOG_##suffix,
    LOG_LEVELS(X)
#undef X
};

enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

#define LOG_LINE_MAX 4096 /* PIPE_BUF: a pipe takes such a line whole */

enum log_field_type { LOG_FIELD_TEXT, LOG_FIELD_UINT, LOG_FIELD_MS, LOG_FIELD_BOOL };

struct log_field { /* borrowed strings; name NULL ends a list */
    const char *name;
    enum log_field_type type;
    const char *text; /* NULL: null */
    uint64_t uint;    /* of a duration: nanoseconds */
};

#define LOG_TEXT(field, value)                                   \
    {                                                            \
        .name = (field), .type = LOG_FIELD_TEXT, .text = (value) \
    }
#define LOG_UINT(field, value)                                   \
    {                                                            \
        .name = (field), .type = LOG_FIELD_UINT, .uint = (value) \
    }
/* A duration that is given in nanoseconds and written in milliseconds. */
#define LOG_MS(field, ns)                                   \
    {                                                       \
        .name = (field), .type = LOG_FIELD_MS, .uint = (ns) \
    }
#define LOG_BOOL(field, value)                                   \
    {                                                            \
        .name = (field), .type = LOG_FIELD_BOOL, .uint = (value) \
    }
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.name = NULL}})

/* Where lines go from now on; before it, info and worse as JSON to stderr. Call it at start, before
 * other threads log. `fd` is borrowed. */
void log_init(int fd, enum log_format format, enum log_level max_level);

/* Writes the event unless its level is filtered; `fields` may be NULL. Any thread. A line over
 * LOG_LINE_MAX keeps ts, level and event and says "fields_lost"; a failed write is given up. errno
 * is preserved. */
void log_event(enum log_level level, const char *event, const struct log_field *fields);

/* An error whose one field is the reason. */
void log_failure(const char *event, const char *reason);

/* Whether a line of this level would be written: to skip costly fields. */
bool log_enabled(enum log_level level);

#pragma once
/* Writes one line per event, JSON or text, with one write(2), so that lines of threads do not
 * interleave.
 *
 *     log_event(LOG_INFO, "started", LOG_FIELDS(LOG_TEXT("listen", address),
 *                                               LOG_UINT("threads", n_threads)));
 *     {"ts":"2026-01-31T12:00:00.123Z","level":"info","event":"started","listen":...,"threads":2}
 *
 * No field may contain text from a client, except request ids and traceparents, which are checked
 * and bounded before. All text is escaped, so that a line cannot be forged. */
#include <stdint.h>

#include "defs.h"

/* X(enum suffix, name): from the fewest lines to the most; config.h has the same names. */
#define LOG_LEVELS(X) X(ERROR, "error") X(WARN, "warn") X(INFO, "info") X(DEBUG, "debug")

enum log_level {
#define X(suffix, name) LOG_##suffix,
    LOG_LEVELS(X)
#undef X
};

enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

#define LOG_LINE_MAX 4096 /* PIPE_BUF: writing such a line to a pipe is atomic */

enum log_field_type { LOG_FIELD_TEXT, LOG_FIELD_UINT, LOG_FIELD_MS, LOG_FIELD_BOOL };

struct log_field { /* borrowed strings; name NULL ends a list */
    const char *name;
    enum log_field_type type;
    const char *text; /* NULL: null */
    uint64_t uint;    /* nanoseconds if it is a duration */
};

#define LOG_TEXT(field, value)                                   \
    {                                                            \
        .name = (field), .type = LOG_FIELD_TEXT, .text = (value) \
    }
#define LOG_UINT(field, value)                                   \
    {                                                            \
        .name = (field), .type = LOG_FIELD_UINT, .uint = (value) \
    }
/* A duration, passed in nanoseconds and written in milliseconds. */
#define LOG_MS(field, ns)                                   \
    {                                                       \
        .name = (field), .type = LOG_FIELD_MS, .uint = (ns) \
    }
#define LOG_BOOL(field, value)                                   \
    {                                                            \
        .name = (field), .type = LOG_FIELD_BOOL, .uint = (value) \
    }
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.name = NULL}})

/* Sets where and how lines are written. Before this call, lines of level info and above go to
 * stderr as JSON. Call it before other threads start. `fd` is borrowed. */
void log_init(int fd, enum log_format format, enum log_level max_level);

/* Writes the event unless its level is filtered; `fields` may be NULL. A line over LOG_LINE_MAX has
 * only ts, level, event and "fields_lost". A failed write is ignored. errno is preserved. Any
 * thread. */
void log_event(enum log_level level, const char *event, const struct log_field *fields);

/* Writes an event of level error with the field `reason`. */
void log_failure(const char *event, const char *reason);

/* Whether a line of this level would be written. Use it to skip costly fields. */
bool log_enabled(enum log_level level);

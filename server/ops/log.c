#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "text/json_write.h"
#include "util/ms_text.h"

#define TIMESTAMP_MAX 32

/* Written only by log_init, before other threads start. */
static struct {
    int fd;
    enum log_format format;
    enum log_level max_level;
} sink = {STDERR_FILENO, LOG_FORMAT_JSON, LOG_INFO};

static const char *const level_names[] = {
#define X(suffix, name) [LOG_##suffix] = name,
    LOG_LEVELS(X)
#undef X
};

void log_init(int fd, enum log_format format, enum log_level max_level)
{
    sink.fd = fd;
    sink.format = format;
    sink.max_level = max_level;
}

bool log_enabled(enum log_level level)
{
    return level <= sink.max_level;
}

/* RFC 3339, UTC, with milliseconds. The text of the last second is cached, since most lines share
 * it. */
static void format_now(char text[static TIMESTAMP_MAX])
{
    static _Thread_local struct {
        time_t second;
        char text[TIMESTAMP_MAX];
        size_t n_bytes; /* 0: nothing is cached */
    } last;
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (last.n_bytes == 0 || last.second != now.tv_sec) {
        struct tm utc;
        gmtime_r(&now.tv_sec, &utc);
        last.n_bytes = strftime(last.text, TIMESTAMP_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
        last.second = now.tv_sec;
    }
    unsigned ms = (unsigned)(now.tv_nsec / 1000000);
    const char rest[] = {
        '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0'};
    memcpy(text, last.text, last.n_bytes);
    memcpy(text + last.n_bytes, rest, sizeof rest);
}

static void write_ms(struct json_writer *w, uint64_t ns)
{
    char text[MS_TEXT_MAX];
    ms_text_write(text, ns, 6);
    json_write_raw(w, text);
}

static void write_value(struct json_writer *w, const struct log_field *field)
{
    switch (field->type) {
    case LOG_FIELD_TEXT: json_write_text(w, field->text); break;
    case LOG_FIELD_UINT: json_write_uint(w, field->uint); break;
    case LOG_FIELD_MS: write_ms(w, field->uint); break;
    case LOG_FIELD_BOOL: json_write_bool(w, field->uint != 0); break;
    }
}

/* {"ts":"...","level":"info","event":"started","threads":2} */
static void write_json(struct buffer *line, const char *now, const char *level, const char *event,
                       const struct log_field *fields)
{
    struct json_writer w = {.out = line};
    json_write_object_begin(&w);
    json_write_text_member(&w, "ts", now);
    json_write_text_member(&w, "level", level);
    json_write_text_member(&w, "event", event);
    for (const struct log_field *field = fields; field && field->name; field++) {
        json_write_key(&w, field->name);
        write_value(&w, field);
    }
    json_write_object_end(&w);
    buffer_append_char(line, '\n');
}

/* 2026-01-31T12:00:00.123Z info started threads=2 listen="127.0.0.1:8080" */
static void write_plain(struct buffer *line, const char *now, const char *level, const char *event,
                        const struct log_field *fields)
{
    buffer_printf(line, "%s %s %s", now, level, event);
    for (const struct log_field *field = fields; field && field->name; field++) {
        struct json_writer w = {.out = line};
        buffer_printf(line, " %s=", field->name);
        write_value(&w, field);
    }
    buffer_append_char(line, '\n');
}

static void write_all(const char *bytes, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = write(sink.fd, bytes, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        bytes += n;
        n_bytes -= (size_t)n;
    }
}

/* The line without its fields. It needs no heap. */
static void write_bare(const char *now, const char *level, const char *event)
{
    char line[256];
    if (sink.format == LOG_FORMAT_JSON)
        snprintf(line, sizeof line,
                 "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%.99s\",\"fields_lost\":true}\n", now,
                 level, event);
    else
        snprintf(line, sizeof line, "%s %s %.99s fields_lost=true\n", now, level, event);
    write_all(line, strlen(line));
}

void log_event(enum log_level level, const char *event, const struct log_field *fields)
{
    if (!log_enabled(level))
        return;
    int saved_errno = errno;
    char now[TIMESTAMP_MAX];
    format_now(now);

    char memory[LOG_LINE_MAX]; /* the line has a limit, so it always fits */
    struct buffer line = {.bytes = memory, .capacity = LOG_LINE_MAX, .max_bytes = LOG_LINE_MAX};
    if (sink.format == LOG_FORMAT_JSON)
        write_json(&line, now, level_names[level], event, fields);
    else
        write_plain(&line, now, level_names[level], event, fields);

    if (line.failed)
        write_bare(now, level_names[level], event);
    else
        write_all(line.bytes, line.n_bytes);
    errno = saved_errno;
}

void log_failure(const char *event, const char *reason)
{
    log_event(LOG_ERROR, event, LOG_FIELDS(LOG_TEXT("reason", reason)));
}

#include "problem.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "text/json_write.h"

static const struct {
    const char *code;
    unsigned status;
    const char *title;
} table[] = {
#define X(suffix, code_text, http_status, title_text) \
    [PROBLEM_##suffix] = {.code = code_text, .status = http_status, .title = title_text},
    PROBLEM_CODES(X)
#undef X
};

void problem_init(struct problem *problem)
{
    memset(problem, 0, offsetof(struct problem, errors));
}

static void set_detail(char detail[static PROBLEM_DETAIL_MAX], const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void set_detail(char detail[static PROBLEM_DETAIL_MAX], const char *format, va_list args)
{
    if (vsnprintf(detail, PROBLEM_DETAIL_MAX, format, args) < 0)
        detail[0] = '\0';
}

/* Sets the code unless one is set. Returns whether it set it. */
static bool claim(struct problem *problem, enum problem_code code)
{
    if (problem->code != PROBLEM_NONE)
        return false;
    problem->code = code;
    return true;
}

void problem_set(struct problem *problem, enum problem_code code, const char *format, ...)
{
    if (!claim(problem, code))
        return;
    va_list args;
    va_start(args, format);
    set_detail(problem->detail, format, args);
    va_end(args);
}

void problem_set_limit(struct problem *problem, enum problem_code code, uint64_t limit,
                       uint64_t actual, const char *format, ...)
{
    if (!claim(problem, code))
        return;
    problem->has_limit = true;
    problem->limit = limit;
    problem->actual = actual;
    va_list args;
    va_start(args, format);
    set_detail(problem->detail, format, args);
    va_end(args);
}

void problem_add_error(struct problem *problem, enum problem_code code,
                       const struct json_pointer *pointer, const char *format, ...)
{
    char detail[PROBLEM_DETAIL_MAX];
    va_list args;
    va_start(args, format);
    set_detail(detail, format, args);
    va_end(args);

    problem_set(problem, code, "%s", detail);
    if (problem->n_errors == PROBLEM_ERRORS_MAX)
        return;
    struct problem_error *error = &problem->errors[problem->n_errors++];
    error->code = code;
    error->pointer = pointer ? *pointer : json_pointer_root();
    memcpy(error->detail, detail, sizeof detail);
}

const char *problem_code_text(enum problem_code code)
{
    assert(code > PROBLEM_NONE && code < PROBLEM_N_CODES);
    return table[code].code;
}

unsigned problem_status(enum problem_code code)
{
    assert(code > PROBLEM_NONE && code < PROBLEM_N_CODES);
    return table[code].status;
}

const char *problem_title(enum problem_code code)
{
    assert(code > PROBLEM_NONE && code < PROBLEM_N_CODES);
    return table[code].title;
}

static void write_errors(struct json_writer *w, const struct problem *problem)
{
    json_write_key(w, "errors");
    json_write_array_begin(w);
    for (size_t i = 0; i < problem->n_errors; i++) {
        const struct problem_error *error = &problem->errors[i];
        json_write_object_begin(w);
        json_write_text_member(w, "pointer", error->pointer.text);
        json_write_text_member(w, "code", problem_code_text(error->code));
        json_write_text_member(w, "detail", error->detail);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

void problem_write(struct buffer *out, const struct problem *problem)
{
    struct json_writer writer = {.out = out}, *w = &writer;
    const char *code = problem_code_text(problem->code);
    char type[64];
    snprintf(type, sizeof type, "urn:elmod:problem:%s", code);

    json_write_object_begin(w);
    json_write_text_member(w, "type", type);
    json_write_text_member(w, "title", problem_title(problem->code));
    json_write_uint_member(w, "status", problem_status(problem->code));
    json_write_text_member(w, "code", code);
    json_write_text_member(w, "detail", problem->detail);
    if (problem->instance)
        json_write_text_member(w, "instance", problem->instance);
    if (problem->request_id)
        json_write_text_member(w, "request_id", problem->request_id);
    if (problem->has_limit) {
        json_write_uint_member(w, "limit", problem->limit);
        if (problem->actual > 0)
            json_write_uint_member(w, "actual", problem->actual);
    }
    if (problem->retry_after_ms > 0)
        json_write_uint_member(w, "retry_after_ms", problem->retry_after_ms);
    if (problem->n_errors > 0)
        write_errors(w, problem);
    json_write_object_end(w);
}

#include "dialect.h"

#include <stdio.h>
#include <string.h>

#include "text/json_write.h"

static bool is_below(const char *path, const char *root)
{
    size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

enum dialect dialect_of_path(const char *path)
{
    if (is_below(path, "/v1"))
        return DIALECT_OPENAI;
    return is_below(path, "/v2") ? DIALECT_OIP : DIALECT_NATIVE;
}

unsigned dialect_status(enum dialect dialect, enum problem_code code)
{
    unsigned status = problem_status(code);
    bool is_within_body =
        status == 422 || code == PROBLEM_TOO_MANY_INPUTS || code == PROBLEM_TOO_MANY_TOKENS;
    return dialect != DIALECT_NATIVE && is_within_body ? 400 : status;
}

/* ---- OpenAI ---- */

/* Problems for which OpenAI's API has a code that its clients know. */
static const char *openai_code(enum problem_code code)
{
    switch (code) {
    case PROBLEM_INPUT_TOO_LONG: return "context_length_exceeded";
    case PROBLEM_QUEUE_FULL: return "rate_limit_exceeded";
    case PROBLEM_UNAUTHORIZED: return "invalid_api_key";
    default: return problem_code_text(code);
    }
}

static const char *openai_type(unsigned status)
{
    if (status == 429)
        return "rate_limit_error";
    return status < 500 ? "invalid_request_error" : "server_error";
}

static bool is_index(const char *segment, size_t n)
{
    size_t k = 0;
    while (k < n && segment[k] >= '0' && segment[k] <= '9')
        k++;
    return n > 0 && k == n;
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* The key that json_pointer_add_key escaped; returns its length, at most n. */
static size_t unescape(char *key, const char *segment, size_t n)
{
    size_t n_key = 0;
    for (size_t i = 0; i < n; i++) {
        char c = segment[i];
        if (c == '~' && i + 1 < n) {
            c = segment[++i] == '1' ? '/' : '~';
        } else if (c == '%' && i + 2 < n) {
            c = (char)(hex_value(segment[i + 1]) * 16 + hex_value(segment[i + 2]));
            i += 2;
        }
        key[n_key++] = c;
    }
    return n_key;
}

/* "#/input/3" as OpenAI writes it: input[3]; null for the whole body. */
static void write_param(struct json_writer *w, const struct json_pointer *pointer)
{
    char text[2 * JSON_POINTER_MAX]; /* an index grows by a bracket */
    size_t n_text = 0;
    const char *segment = pointer->text + 1;
    while (*segment == '/') {
        size_t n = strcspn(++segment, "/");
        bool in_brackets = is_index(segment, n);
        if (in_brackets || n_text > 0)
            text[n_text++] = in_brackets ? '[' : '.';
        n_text += unescape(text + n_text, segment, n);
        if (in_brackets)
            text[n_text++] = ']';
        segment += n;
    }
    if (n_text > 0)
        json_write_string(w, text, n_text);
    else
        json_write_null(w);
}

/* What is wrong: a place in the body, or the model that the path names. */
static struct json_pointer blamed(const struct problem *problem)
{
    struct json_pointer pointer = json_pointer_root();
    if (problem->n_errors > 0)
        return problem->errors[0].pointer;
    if (problem->code == PROBLEM_MODEL_NOT_FOUND)
        json_pointer_add_key(&pointer, "model", strlen("model"));
    return pointer;
}

static void write_openai(struct buffer *out, const struct problem *problem)
{
    const struct json_pointer pointer = blamed(problem);
    struct json_writer writer = {.out = out}, *w = &writer;
    json_write_object_begin(w);
    json_write_key(w, "error");
    json_write_object_begin(w);
    json_write_text_member(w, "message", problem->detail);
    json_write_text_member(w, "type", openai_type(dialect_status(DIALECT_OPENAI, problem->code)));
    json_write_key(w, "param");
    write_param(w, &pointer);
    json_write_text_member(w, "code", openai_code(problem->code));
    json_write_object_end(w);
    json_write_object_end(w);
}

/* ---- Open Inference Protocol ---- */

static void write_oip(struct buffer *out, const struct problem *problem)
{
    char text[JSON_POINTER_MAX + PROBLEM_DETAIL_MAX + 2];
    bool has_place = problem->n_errors > 0 && strcmp(problem->errors[0].pointer.text, "#") != 0;
    struct json_writer w = {.out = out};
    snprintf(text, sizeof text, "%s%s%s", has_place ? problem->errors[0].pointer.text : "",
             has_place ? ": " : "", problem->detail);
    json_write_object_begin(&w);
    json_write_text_member(&w, "error", text);
    json_write_object_end(&w);
}

/* ---- All ---- */

static const struct {
    const char *content_type;
    void (*write)(struct buffer *out, const struct problem *problem);
} dialects[] = {
    [DIALECT_NATIVE] = {"application/problem+json", problem_write},
    [DIALECT_OPENAI] = {"application/json", write_openai},
    [DIALECT_OIP] = {"application/json", write_oip},
};

const char *dialect_content_type(enum dialect dialect)
{
    return dialects[dialect].content_type;
}

void dialect_write_problem(enum dialect dialect, struct buffer *out, const struct problem *problem)
{
    dialects[dialect].write(out, problem);
}

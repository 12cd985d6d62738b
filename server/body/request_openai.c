/* The body of POST /v1/embeddings of OpenAI's API. Unknown fields and inputs that are too long are
 * refused, as in that API. */
#include "request_internal.h"

/* Vectors of different models cannot be compared, so only the name of this model is accepted. */
static void parse_model(struct request_parser *p, const json_t *value,
                        const struct json_pointer *at)
{
    if (!json_is_string(value))
        request_wrong_type(p, at, "a string");
    else if (strcmp(json_string_value(value), elmo_model_info(p->model)->name) != 0)
        problem_add_error(p->problem, PROBLEM_MODEL_NOT_FOUND, at,
                          "There is no such model; GET /v1/models names the available one.");
}

static void parse_encoding_format(struct request_parser *p, const json_t *value,
                                  const struct json_pointer *at)
{
    if (!json_is_null(value))
        request_parse_encoding_format(p, value, at);
}

static void parse_dimensions(struct request_parser *p, const json_t *value,
                             const struct json_pointer *at)
{
    size_t n = elmo_model_info(p->model)->layer_dim;
    if (json_is_null(value))
        return;
    if (!json_is_integer(value))
        request_wrong_type(p, at, "an integer");
    else if (json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) != n)
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, at,
                          "It must be %zu: vectors of this model cannot be shortened.", n);
}

/* "user" is for OpenAI's statistics; it is ignored. */
static void parse_user(struct request_parser *p, const json_t *value, const struct json_pointer *at)
{
    if (!json_is_string(value) && !json_is_null(value))
        request_wrong_type(p, at, "a string");
}

static void parse_input(struct request_parser *p, const json_t *value,
                        const struct json_pointer *at)
{
    const json_t *first = json_array_get(value, 0);
    if (json_is_number(first) || json_is_array(first))
        problem_add_error(p->problem, PROBLEM_INVALID_TYPE, at,
                          "Token ids are not supported: this model reads characters. Send texts.");
    else
        request_parse_inputs(p, value, at, REQUEST_TEXTS);
}

static const struct request_field fields[] = {
    {"model", REQUEST_OPENAI, parse_model, true},
    {"encoding_format", REQUEST_OPENAI, parse_encoding_format, false},
    {"dimensions", REQUEST_OPENAI, parse_dimensions, false},
    {"user", REQUEST_OPENAI, parse_user, false},
    {"input", REQUEST_OPENAI, parse_input, true},
};

void request_parse_openai(struct request_parser *p, const json_t *body)
{
    const struct json_pointer root = json_pointer_root();
    request_parse_object(p, body, &root, fields, ARRAY_LEN(fields));
}

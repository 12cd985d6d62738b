/* The body of POST /v2/models/{model}/infer, the inference request of the Open Inference Protocol.
 * Its schema allows unknown members and parameters, which are ignored. Parameters of extensions
 * that change the meaning of the body or the answer are refused. */
#include "request_internal.h"

#define INPUT_NAME "text"

/* ---- Parameters ---- */

/* Whether this value of a parameter requests the extension. */
static bool is_wish(const json_t *value)
{
    return value && !json_is_false(value) && !json_is_null(value);
}

static void refuse_extensions(struct request_parser *p, const json_t *parameters,
                              const struct json_pointer *at)
{
    static const struct {
        const char *name, *what;
    } refused[] = {
        {"binary_data", "Binary tensor data is not supported: ask for JSON (binary_data false)."},
        {"binary_data_output",
         "Binary tensor data is not supported: ask for JSON (binary_data_output false)."},
        {"binary_data_size", "Binary tensor data is not supported: send the data as JSON."},
        {"shared_memory_region", "Shared memory is not supported: send and receive data as JSON."},
        {"classification", "Classes are not supported: the output holds all probabilities."},
        {"sequence_id", "Sequences are not supported: requests are independent."},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct json_pointer member = *at;
        if (!is_wish(json_object_get(parameters, refused[i].name)))
            continue;
        json_pointer_add_key(&member, refused[i].name, strlen(refused[i].name));
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, &member, "%s", refused[i].what);
    }
}

static void parse_parameters(struct request_parser *p, const json_t *value,
                             const struct json_pointer *at)
{
    if (json_is_object(value))
        refuse_extensions(p, value, at);
    else if (!json_is_null(value))
        request_wrong_type(p, at, "an object");
}

static void parse_truncate(struct request_parser *p, const json_t *value,
                           const struct json_pointer *at)
{
    request_parse_bool(p, value, at, &p->request->truncate);
}

static void parse_request_parameters(struct request_parser *p, const json_t *value,
                                     const struct json_pointer *at)
{
    static const struct request_field parameters[] = {
        {"truncate", REQUEST_OIP, parse_truncate, false},
    };
    parse_parameters(p, value, at);
    request_parse_fields(p, value, at, parameters, ARRAY_LEN(parameters));
}

static void parse_id(struct request_parser *p, const json_t *value, const struct json_pointer *at)
{
    if (json_is_string(value))
        p->request->id = json_string_value(value);
    else if (!json_is_null(value))
        request_wrong_type(p, at, "a string");
}

/* ---- Outputs ---- */

/* The request's flag for an output; NULL if the model has none of this name. */
static bool *output_flag(struct request_parser *p, const char *name)
{
    bool has_head = elmo_model_info(p->model)->n_labels > 0;
    if (strcmp(name, "default") == 0)
        return &p->request->pooled;
    return has_head && strcmp(name, "sentiment") == 0 ? &p->request->probabilities : NULL;
}

static void parse_output_name(struct request_parser *p, const json_t *value,
                              const struct json_pointer *at)
{
    bool *flag = json_is_string(value) ? output_flag(p, json_string_value(value)) : NULL;
    if (!json_is_string(value))
        request_wrong_type(p, at, "a string");
    else if (!flag)
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, at,
                          "The model has no output of this name; its metadata lists them.");
    else if (*flag)
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, at, "This output is named twice.");
    else
        *flag = true;
}

static void parse_output(struct request_parser *p, const json_t *value,
                         const struct json_pointer *at)
{
    static const struct request_field members[] = {
        {"name", REQUEST_OIP, parse_output_name, true},
        {"parameters", REQUEST_OIP, parse_parameters, false},
    };
    if (json_is_object(value))
        request_parse_fields(p, value, at, members, ARRAY_LEN(members));
    else
        request_wrong_type(p, at, "an object");
}

/* No output is named: all outputs. */
static void parse_outputs(struct request_parser *p, const json_t *value,
                          const struct json_pointer *at)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value) && !json_is_null(value))
        request_wrong_type(p, at, "an array");
    for (size_t i = 0; i < n && !request_gives_up(p); i++) {
        const struct json_pointer item = pointer_to_item(at, i);
        parse_output(p, json_array_get(value, i), &item);
    }
}

/* ---- The input ---- */

static void parse_text(struct request_parser *p, const json_t *value, const struct json_pointer *at,
                       const char *text, const char *must_be)
{
    if (!json_is_string(value))
        request_wrong_type(p, at, "a string");
    else if (strcmp(json_string_value(value), text) != 0)
        request_wrong_value(p, at, must_be);
}

static void parse_name(struct request_parser *p, const json_t *value, const struct json_pointer *at)
{
    parse_text(p, value, at, INPUT_NAME, "\"" INPUT_NAME "\", the model's only input");
}

static void parse_datatype(struct request_parser *p, const json_t *value,
                           const struct json_pointer *at)
{
    parse_text(p, value, at, "BYTES", "\"BYTES\"");
}

/* The schema requires integers, its text allows any number, so 2.0 is accepted. SIZE_MAX if the
 * number is not a size. */
static size_t dimension(const json_t *value)
{
    double number = json_number_value(value);
    bool is_whole = number >= 0 && number < 0x1p53 && (double)(uint64_t)number == number;
    return json_is_number(value) && is_whole ? (size_t)number : SIZE_MAX;
}

static void parse_shape(struct request_parser *p, const json_t *value,
                        const struct json_pointer *at)
{
    size_t n = json_array_size(value);
    bool are_sizes = json_is_array(value);
    for (size_t i = 0; i < n && i < 2; i++)
        are_sizes = are_sizes && dimension(json_array_get(value, i)) != SIZE_MAX;
    if (!are_sizes)
        request_wrong_type(p, at, "an array of whole numbers");
    else if (n == 0 || n > 2 || (n == 2 && dimension(json_array_get(value, 1)) != 1))
        request_wrong_value(p, at, "[B] or [B, 1] for B texts");
}

static void parse_data(struct request_parser *p, const json_t *value, const struct json_pointer *at)
{
    if (!json_is_array(value))
        request_wrong_type(p, at, "an array");
}

/* For shape [B, 1]: ["a"] becomes "a". */
static void flatten(json_t *data)
{
    for (size_t i = 0; i < json_array_size(data); i++) {
        json_t *item = json_array_get(data, i);
        if (json_array_size(item) == 1) /* in place, without allocation */
            (void)json_array_set(data, i, json_array_get(item, 0));
    }
}

/* Name, shape and data are valid by themselves; this checks that they fit together. */
static void parse_texts(struct request_parser *p, const json_t *tensor,
                        const struct json_pointer *at)
{
    const json_t *shape = json_object_get(tensor, "shape");
    json_t *data = json_object_get(tensor, "data");
    struct json_pointer place = *at;
    if (dimension(json_array_get(shape, 0)) != json_array_size(data)) {
        json_pointer_add_key(&place, "shape", strlen("shape"));
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, &place,
                          "It does not match the %zu elements of data.", json_array_size(data));
        return;
    }
    if (json_array_size(shape) == 2)
        flatten(data);
    json_pointer_add_key(&place, "data", strlen("data"));
    request_parse_inputs(p, data, &place, REQUEST_TEXTS);
}

static void parse_tensor(struct request_parser *p, const json_t *tensor,
                         const struct json_pointer *at)
{
    static const struct request_field members[] = {
        {"name", REQUEST_OIP, parse_name, true},
        {"datatype", REQUEST_OIP, parse_datatype, true},
        {"parameters", REQUEST_OIP, parse_parameters, false},
        {"shape", REQUEST_OIP, parse_shape, true},
        {"data", REQUEST_OIP, parse_data, true},
    };
    size_t n_errors = p->problem->n_errors;
    request_parse_fields(p, tensor, at, members, ARRAY_LEN(members));
    if (p->problem->n_errors == n_errors && !request_gives_up(p))
        parse_texts(p, tensor, at);
}

static void parse_inputs(struct request_parser *p, const json_t *value,
                         const struct json_pointer *at)
{
    const struct json_pointer first = pointer_to_item(at, 0);
    if (!json_is_array(value))
        request_wrong_type(p, at, "an array");
    else if (json_array_size(value) != 1)
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, at,
                          "It must hold one tensor: \"" INPUT_NAME "\".");
    else if (!json_is_object(json_array_get(value, 0)))
        request_wrong_type(p, &first, "an object");
    else
        parse_tensor(p, json_array_get(value, 0), &first);
}

/* ---- The whole ---- */

void request_parse_oip(struct request_parser *p, const json_t *body)
{
    static const struct request_field members[] = {
        {"id", REQUEST_OIP, parse_id, false},
        {"parameters", REQUEST_OIP, parse_request_parameters, false},
        {"outputs", REQUEST_OIP, parse_outputs, false},
        {"inputs", REQUEST_OIP, parse_inputs, true}, /* last, because it needs truncate */
    };
    const struct json_pointer root = json_pointer_root();
    struct request *r = p->request;
    request_parse_fields(p, body, &root, members, ARRAY_LEN(members));
    if (!r->pooled && !r->probabilities) {
        r->pooled = true;
        r->probabilities = elmo_model_info(p->model)->n_labels > 0;
    }
}

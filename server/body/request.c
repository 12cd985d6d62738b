/* The body of /embed, /sentiment, /score and /tokenize: a parser for each field, with the outputs
 * and the mix of layers, and the table of fields; then the JSON itself, and the request as a whole.
 * The bodies of the other dialects are in request_openai.c and request_oip.c. */
#include "request.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "request_internal.h"

#define MIX_MAX 1e6 /* limit of |weight| and |gamma|: far above any use, and sums stay finite */

/* ---- Values ---- */

static void parse_number(struct request_parser *p, const json_t *value,
                         const struct json_pointer *at, float *ret)
{
    double number = json_number_value(value);
    if (!json_is_number(value))
        request_wrong_type(p, at, "a number");
    else if (!(fabs(number) <= MIX_MAX))
        request_wrong_value(p, at, "between -1e6 and 1e6");
    else
        *ret = (float)number;
}

/* ---- Fields ---- */

static void parse_truncate(struct request_parser *p, const json_t *value,
                           const struct json_pointer *at)
{
    request_parse_bool(p, value, at, &p->request->truncate);
}

static void parse_max_tokens(struct request_parser *p, const json_t *value,
                             const struct json_pointer *at)
{
    json_int_t n = json_integer_value(value);
    if (json_is_null(value))
        return;
    if (!json_is_integer(value))
        request_wrong_type(p, at, "an integer or null");
    else if (n < 1)
        request_wrong_value(p, at, "at least 1");
    else if ((unsigned long long)n < p->limits->max_tokens)
        p->request->max_tokens = (size_t)n;
}

static void parse_offsets(struct request_parser *p, const json_t *value,
                          const struct json_pointer *at)
{
    static const char *const choices[] = {"bytes", "codepoints", "utf16", NULL};
    unsigned choice = 0;
    if (json_is_null(value))
        return;
    p->request->offsets = OFFSETS_NONE;
    request_parse_choice(p, value, at, choices, "\"bytes\", \"codepoints\", \"utf16\" or null",
                         &choice);
    p->request->offsets = OFFSETS_BYTES + choice;
}

static void parse_pooling(struct request_parser *p, const json_t *value,
                          const struct json_pointer *at)
{
    static const char *const choices[] = {"mean", "max", "mean_max", NULL};
    unsigned choice = ELMO_POOL_MEAN;
    request_parse_choice(p, value, at, choices, "\"mean\", \"max\" or \"mean_max\"", &choice);
    p->request->pooling = choice;
}

static void parse_normalize(struct request_parser *p, const json_t *value,
                            const struct json_pointer *at)
{
    request_parse_bool(p, value, at, &p->request->normalize);
}

static void parse_explain(struct request_parser *p, const json_t *value,
                          const struct json_pointer *at)
{
    request_parse_bool(p, value, at, &p->request->attributions);
}

/* The request's flag for an output. */
static bool *output_flag(struct request *r, size_t output, size_t n_layers)
{
    if (output <= n_layers)
        return &r->layers[output];
    switch (output - n_layers) {
    case OUTPUT_ELMO: return &r->elmo;
    case OUTPUT_DEFAULT: return &r->pooled;
    case OUTPUT_WORD_VEC: return &r->word_vec;
    default: return &r->word_vec_elmo;
    }
}

/* The number of an output; n_layers + N_OUTPUTS_AFTER_LAYERS + 1 if there is none of this name. */
static size_t find_output(const char *name, size_t n_layers)
{
    char layer[LAYER_NAME_MAX];
    size_t output = 0;
    while (output <= n_layers + N_OUTPUTS_AFTER_LAYERS &&
           strcmp(name, request_output_name(output, n_layers, layer)) != 0)
        output++;
    return output;
}

static void parse_output_name(struct request_parser *p, const char *name,
                              const struct json_pointer *at)
{
    size_t n_layers = elmo_model_info(p->model)->n_layers, output = find_output(name, n_layers);
    const char *fault = NULL;
    if (output > n_layers + N_OUTPUTS_AFTER_LAYERS)
        fault = "The model has no output of this name; GET /info lists them.";
    else if (output >= n_layers + OUTPUT_WORD_VEC && !p->request->word_vectors)
        fault = "This server was started without --word-vectors.";
    else if (*output_flag(p->request, output, n_layers))
        fault = "This output is named twice.";
    else
        *output_flag(p->request, output, n_layers) = true;
    if (fault)
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, at, "%s", fault);
}

static void parse_output(struct request_parser *p, const json_t *value,
                         const struct json_pointer *outputs, size_t index)
{
    const struct json_pointer at = pointer_to_item(outputs, index);
    if (json_is_string(value))
        parse_output_name(p, json_string_value(value), &at);
    else
        request_wrong_type(p, &at, "a string");
}

static void parse_outputs(struct request_parser *p, const json_t *value,
                          const struct json_pointer *at)
{
    p->request->elmo = p->request->pooled = false;
    if (!json_is_array(value))
        request_wrong_type(p, at, "an array of strings");
    else if (json_array_size(value) == 0)
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, at,
                          "It must name at least one output.");
    for (size_t i = 0; i < json_array_size(value) && !request_gives_up(p); i++)
        parse_output(p, json_array_get(value, i), at, i);
}

/* ---- mix ---- */

static void parse_mix_weights(struct request_parser *p, const json_t *value,
                              const struct json_pointer *at)
{
    size_t n = elmo_model_info(p->model)->n_layers + 1;
    if (!json_is_array(value)) {
        request_wrong_type(p, at, "an array of numbers");
        return;
    }
    if (json_array_size(value) != n) {
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, at,
                          "It must hold %zu numbers, one per layer.", n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct json_pointer item = pointer_to_item(at, i);
        parse_number(p, json_array_get(value, i), &item, &p->request->mix_weights[i]);
    }
    p->request->mix.weights = p->request->mix_weights;
}

static void parse_mix_weights_are(struct request_parser *p, const json_t *value,
                                  const struct json_pointer *at)
{
    static const char *const choices[] = {"logits", "normalized", NULL};
    unsigned choice = 0;
    request_parse_choice(p, value, at, choices, "\"logits\" or \"normalized\"", &choice);
    p->request->mix.normalized = choice == 1;
}

static void parse_mix_gamma(struct request_parser *p, const json_t *value,
                            const struct json_pointer *at)
{
    parse_number(p, value, at, &p->request->mix.gamma);
}

static void parse_mix_layer_norm(struct request_parser *p, const json_t *value,
                                 const struct json_pointer *at)
{
    request_parse_bool(p, value, at, &p->request->mix.layer_norm);
}

static const struct request_field mix_fields[] = {
    {"weights", REQUEST_EMBED, parse_mix_weights},
    {"weights_are", REQUEST_EMBED, parse_mix_weights_are},
    {"gamma", REQUEST_EMBED, parse_mix_gamma},
    {"layer_norm", REQUEST_EMBED, parse_mix_layer_norm},
};

/* ---- Objects ---- */

static void parse_mix(struct request_parser *p, const json_t *value, const struct json_pointer *at)
{
    p->request->has_mix = true;
    if (json_is_object(value))
        request_parse_object(p, value, at, mix_fields, ARRAY_LEN(mix_fields));
    else
        request_wrong_type(p, at, "an object");
}

static void parse_inputs(struct request_parser *p, const json_t *value,
                         const struct json_pointer *at)
{
    request_parse_inputs(p, value, at, REQUEST_TEXTS_OR_TOKENS);
}

enum { ALL_KINDS = REQUEST_EMBED | REQUEST_SENTIMENT | REQUEST_SCORE | REQUEST_TOKENIZE };

static const struct request_field fields[] = {
    {"truncate", ALL_KINDS, parse_truncate},
    {"max_tokens", ALL_KINDS, parse_max_tokens},
    {"offsets", REQUEST_EMBED | REQUEST_SCORE | REQUEST_TOKENIZE, parse_offsets},
    {"outputs", REQUEST_EMBED, parse_outputs},
    {"pooling", REQUEST_EMBED, parse_pooling},
    {"mix", REQUEST_EMBED, parse_mix},
    {"normalize", REQUEST_EMBED, parse_normalize},
    {"encoding_format", REQUEST_EMBED, request_parse_encoding_format},
    {"explain", REQUEST_SENTIMENT, parse_explain},
    /* Last, because it needs truncate, max_tokens and offsets. */
    {"inputs", ALL_KINDS, parse_inputs, .required = true},
};

static void parse_body(struct request_parser *p)
{
    const struct json_pointer root = json_pointer_root();
    const json_t *body = p->request->body;
    if (!json_is_object(body))
        problem_add_error(p->problem, PROBLEM_INVALID_TYPE, &root, "The body must be an object.");
    else if (p->request->kind == REQUEST_OPENAI)
        request_parse_openai(p, body);
    else if (p->request->kind == REQUEST_OIP)
        request_parse_oip(p, body);
    else
        request_parse_object(p, body, &root, fields, ARRAY_LEN(fields));
}

/* ---- JSON ---- */

/* The text of jansson may quote the body, so the problem has a text of its own. */
static void fail_json(struct problem *problem, const json_error_t *error)
{
    static const struct {
        enum json_error_code jansson;
        enum problem_code code;
        const char *what;
    } causes[] = {
        {json_error_invalid_utf8, PROBLEM_INVALID_UTF8, "this is not valid UTF-8"},
        {json_error_null_character, PROBLEM_NUL_CHARACTER, "a string holds a NUL character"},
        {json_error_null_byte_in_key, PROBLEM_NUL_CHARACTER, "a key holds a NUL character"},
        {json_error_duplicate_key, PROBLEM_DUPLICATE_KEY, "an object has this key twice"},
        {json_error_stack_overflow, PROBLEM_INVALID_JSON, "too many levels of nesting"},
        {json_error_numeric_overflow, PROBLEM_INVALID_JSON, "a number is too large"},
        {json_error_premature_end_of_input, PROBLEM_INVALID_JSON, "the JSON ends too early"},
        {json_error_end_of_input_expected, PROBLEM_INVALID_JSON, "something follows the JSON"},
    };
    enum json_error_code found = json_error_code(error);
    enum problem_code code = PROBLEM_INVALID_JSON;
    const char *what = "this is not JSON";
    if (found == json_error_out_of_memory ||
        found == json_error_unknown) { /* jansson reports no other code for it */
        problem_set(problem, PROBLEM_INTERNAL, "Out of memory.");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
        if (causes[i].jansson == found) {
            code = causes[i].code;
            what = causes[i].what;
        }
    }
    struct json_pointer root = json_pointer_root();
    problem_add_error(problem, code, &root, "Line %d, column %d: %s.", error->line, error->column,
                      what);
}

/* Parses the JSON. NULL: the problem is set. */
static json_t *load_json(const char *body, size_t n_bytes, struct problem *problem)
{
    json_error_t error;
    struct json_pointer root = json_pointer_root();
    if (n_bytes > 0 && memchr(body, '\0', n_bytes)) {
        problem_add_error(problem, PROBLEM_NUL_CHARACTER, &root, "The body holds a NUL character.");
        return NULL;
    }
    json_t *json = json_loadb(n_bytes > 0 ? body : "", n_bytes,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json)
        fail_json(problem, &error);
    return json;
}

static struct request *request_new(enum request_kind kind, const struct elmo_model *model,
                                   const struct request_limits *limits)
{
    size_t n_layers = elmo_model_info(model)->n_layers + 1;
    AUTO(request_free) struct request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->kind = kind;
    r->truncate = (kind & (REQUEST_OPENAI | REQUEST_OIP)) == 0;
    r->max_tokens = limits->max_tokens;
    r->elmo = kind == REQUEST_EMBED;
    r->pooled = kind == REQUEST_EMBED || kind == REQUEST_OPENAI;
    r->probabilities = kind == REQUEST_SENTIMENT;
    r->log_probs = kind == REQUEST_SCORE;
    r->word_vectors = limits->word_vectors;
    r->mix.gamma = 1;
    r->layers = calloc(n_layers, sizeof *r->layers);
    r->mix_weights = calloc(n_layers, sizeof *r->mix_weights);
    if (!r->layers || !r->mix_weights)
        return NULL;
    return STEAL(r);
}

bool request_parse(struct request **ret_request, enum request_kind kind, const char *body,
                   size_t n_bytes, const struct elmo_model *model,
                   const struct request_limits *limits, struct problem *problem)
{
    AUTO(request_free) struct request *r = request_new(kind, model, limits);
    if (!r) {
        problem_set(problem, PROBLEM_INTERNAL, "Out of memory.");
        return false;
    }
    r->body = load_json(body, n_bytes, problem);
    if (!r->body)
        return false;
    struct request_parser p = {.request = r, .model = model, .limits = limits, .problem = problem};
    parse_body(&p);
    if (problem->code)
        return false;
    *ret_request = STEAL(r);
    return true;
}

void request_free(struct request *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_inputs; i++)
        free(r->inputs[i].tokens);
    free(r->inputs);
    free(r->layers);
    free(r->mix_weights);
    json_decref(r->body);
    free(r);
}

const char *request_output_name(size_t output, size_t n_layers, char layer[static LAYER_NAME_MAX])
{
    static const char *const names[] = {
        [OUTPUT_ELMO] = "elmo",
        [OUTPUT_DEFAULT] = "default",
        [OUTPUT_WORD_VEC] = "word_vec",
        [OUTPUT_WORD_VEC_ELMO] = "word_vec_elmo",
    };
    if (output > n_layers)
        return names[output - n_layers];
    if (output == 0)
        return "word_emb";
    snprintf(layer, LAYER_NAME_MAX, "lstm_outputs%zu", output);
    return layer;
}

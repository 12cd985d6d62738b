/* "inputs" of a request: texts or lists of tokens. Inputs that are too long are truncated or
 * refused. */
#include "request_internal.h"

static void fail_nomem(struct request_parser *p)
{
    problem_set(p->problem, PROBLEM_INTERNAL, "Out of memory.");
}

static void parse_text(struct request_parser *p, struct request_input *input, const json_t *text)
{
    struct elmo_error err = {0};
    input->text = json_string_value(text);
    int r = elmo_tokenize(p->model, input->text, json_string_length(text), &input->tokens,
                          &input->n_tokens, &err);
    if (r == ELMO_E_UTF8) /* cannot happen: jansson has checked it */
        problem_set(p->problem, PROBLEM_INVALID_UTF8, "A text is not valid UTF-8.");
    else if (r)
        fail_nomem(p);
}

static void parse_tokens(struct request_parser *p, struct request_input *input, size_t index,
                         const json_t *tokens)
{
    size_t n = json_array_size(tokens);
    input->tokens = n ? calloc(n, sizeof *input->tokens) : NULL;
    if (n && !input->tokens) {
        fail_nomem(p);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *token = json_array_get(tokens, i);
        if (!json_is_string(token)) {
            struct json_pointer at = pointer_to_item(p->inputs_at, index);
            json_pointer_add_index(&at, i);
            problem_add_error(p->problem, PROBLEM_INVALID_TYPE, &at, "A token must be a string.");
            return;
        }
        input->tokens[i].bytes = json_string_value(token);
        input->tokens[i].n_bytes = json_string_length(token);
    }
    input->n_tokens = n;
}

/* The queue counts only the remaining tokens, so the memory of the others is freed before the
 * request waits. */
static void cut_tokens(struct request_input *input, size_t n)
{
    struct elmo_token *fewer = realloc(input->tokens, n * sizeof *fewer);
    if (fewer) /* on failure keep the larger block */
        input->tokens = fewer;
    input->n_tokens = n;
    input->truncated = true;
}

/* Frees the rest of the parsed list too, which takes far more memory than its tokens. */
static void cut_list(struct request_parser *p, json_t *lists, size_t index, size_t n)
{
    const json_t *whole = json_array_get(lists, index);
    json_auto_t *fewer = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append(fewer, json_array_get(whole, i));
    if (json_array_size(fewer) < n || json_array_set(lists, index, fewer))
        fail_nomem(p);
}

static void check_length(struct request_parser *p, struct request_input *input, size_t index)
{
    size_t max = p->request->max_tokens;
    if (input->n_tokens <= max)
        return;
    if (p->request->truncate) {
        cut_tokens(input, max);
        return;
    }
    struct json_pointer at = pointer_to_item(p->inputs_at, index);
    problem_set_limit(p->problem, PROBLEM_INPUT_TOO_LONG, max, input->n_tokens,
                      "Input %zu has %zu tokens; at most %zu are allowed.", index, input->n_tokens,
                      max);
    problem_add_error(p->problem, PROBLEM_INPUT_TOO_LONG, &at, "%zu tokens; at most %zu.",
                      input->n_tokens, max);
}

/* All items must be of the type of the first: texts or lists of tokens. */
static void parse_item(struct request_parser *p, size_t index, const json_t *item, bool texts)
{
    struct request_input *input = &p->request->inputs[index];
    if (texts && json_is_string(item)) {
        parse_text(p, input, item);
    } else if (!texts && json_is_array(item)) {
        parse_tokens(p, input, index, item);
    } else {
        struct json_pointer at = pointer_to_item(p->inputs_at, index);
        problem_add_error(p->problem, PROBLEM_INVALID_TYPE, &at,
                          texts ? "The other inputs are texts; this one is not."
                                : "The other inputs are lists of tokens; this one is not.");
        return;
    }
    check_length(p, input, index);
    p->request->n_tokens += input->n_tokens;
}

static void parse_items(struct request_parser *p, const json_t *inputs, enum request_inputs allowed)
{
    const json_t *first = json_array_get(inputs, 0);
    bool tokens = allowed == REQUEST_TEXTS_OR_TOKENS && json_is_array(first);
    if (!json_is_string(first) && !tokens) {
        struct json_pointer at = pointer_to_item(p->inputs_at, 0);
        problem_add_error(p->problem, PROBLEM_INVALID_TYPE, &at,
                          allowed == REQUEST_TEXTS
                              ? "An input must be a string."
                              : "An input must be a string or an array of strings.");
        return;
    }
    for (size_t i = 0; i < p->request->n_inputs && !request_gives_up(p); i++) {
        parse_item(p, i, json_array_get(inputs, i), !tokens);
        if (tokens && p->request->inputs[i].truncated)
            cut_list(p, (json_t *)inputs, i, p->request->inputs[i].n_tokens);
    }
}

static bool check_shape(struct request_parser *p, const json_t *inputs)
{
    size_t n = json_is_string(inputs) ? 1 : json_array_size(inputs), max = p->limits->max_inputs;
    if (!json_is_string(inputs) && !json_is_array(inputs))
        request_wrong_type(p, p->inputs_at, "a string or an array");
    else if (n == 0)
        problem_add_error(p->problem, PROBLEM_INVALID_VALUE, p->inputs_at,
                          "It must hold at least one input.");
    if (n > max) {
        problem_set_limit(p->problem, PROBLEM_TOO_MANY_INPUTS, max, n,
                          "The request has %zu inputs; at most %zu are allowed.", n, max);
        problem_add_error(p->problem, PROBLEM_TOO_MANY_INPUTS, p->inputs_at,
                          "%zu inputs; at most %zu.", n, max);
    }
    return n > 0 && n <= max;
}

static void check_total(struct request_parser *p)
{
    size_t max = p->limits->max_request_tokens, n = p->request->n_tokens;
    if (n <= max)
        return;
    problem_set_limit(p->problem, PROBLEM_TOO_MANY_TOKENS, max, n,
                      "The request has %zu tokens; at most %zu are allowed.", n, max);
    problem_add_error(p->problem, PROBLEM_TOO_MANY_TOKENS, p->inputs_at, "%zu tokens; at most %zu.",
                      n, max);
}

static void check_offsets(struct request_parser *p)
{
    const struct request *r = p->request;
    if (r->offsets == OFFSETS_NONE || r->inputs[0].text)
        return;
    struct json_pointer at = json_pointer_root();
    json_pointer_add_key(&at, "offsets", strlen("offsets"));
    problem_add_error(p->problem, PROBLEM_INVALID_VALUE, &at,
                      "Tokens have no offsets: offsets must be null or left out.");
}

void request_parse_inputs(struct request_parser *p, const json_t *inputs,
                          const struct json_pointer *at, enum request_inputs allowed)
{
    struct request *r = p->request;
    p->inputs_at = at;
    if (!check_shape(p, inputs))
        return;
    size_t n = json_is_string(inputs) ? 1 : json_array_size(inputs);
    r->inputs = calloc(n, sizeof *r->inputs);
    if (!r->inputs) {
        fail_nomem(p);
        return;
    }
    r->n_inputs = n;
    if (json_is_string(inputs)) {
        parse_text(p, &r->inputs[0], inputs);
        check_length(p, &r->inputs[0], 0);
        r->n_tokens = r->inputs[0].n_tokens;
    } else {
        parse_items(p, inputs, allowed);
    }
    check_total(p);
    check_offsets(p);
}

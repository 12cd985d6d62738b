#pragma once
/* What request.c (the fields) and request_inputs.c (texts and tokens) share. */
#include <jansson.h>
#include <string.h>

#include "request.h"

struct request_parser {
    struct request *request; /* being filled */
    const struct elmo_model *model;
    const struct request_limits *limits;
    struct problem *problem;
};

static inline struct json_pointer pointer_to_field(const char *field)
{
    struct json_pointer pointer = json_pointer_root();
    json_pointer_add_key(&pointer, field, strlen(field));
    return pointer;
}

static inline struct json_pointer pointer_to_item(const char *field, size_t index)
{
    struct json_pointer pointer = pointer_to_field(field);
    json_pointer_add_index(&pointer, index);
    return pointer;
}

/* No more places fit the problem: looking for more would only cost time. */
static inline bool request_gives_up(const struct request_parser *p)
{
    return p->problem->n_errors == PROBLEM_ERRORS_MAX;
}

/* Fills inputs, n_inputs and n_tokens; truncate, max_tokens and offsets must be there already. What
 * is wrong goes to the problem. */
void request_parse_inputs(struct request_parser *p, const json_t *inputs);

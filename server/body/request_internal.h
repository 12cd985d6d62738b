#pragma once
/* Shared by request.c and request_{openai,oip}.c (the bodies of the dialects), request_fields.c
 * (fields of objects) and request_inputs.c (texts and tokens). */
#include <jansson.h>
#include <string.h>

#include "request.h"

struct request_parser {
    struct request *request; /* the result so far */
    const struct elmo_model *model;
    const struct request_limits *limits;
    struct problem *problem;
    const struct json_pointer *inputs_at; /* where the inputs are, while they are parsed */
};

static inline struct json_pointer pointer_to_item(const struct json_pointer *array, size_t index)
{
    struct json_pointer pointer = *array;
    json_pointer_add_index(&pointer, index);
    return pointer;
}

/* The problem has no room for further places, so checking can stop. */
static inline bool request_gives_up(const struct request_parser *p)
{
    return p->problem->n_errors == PROBLEM_ERRORS_MAX;
}

/* ---- Fields ---- */

struct request_field {
    const char *name;
    unsigned kinds; /* bits of enum request_kind with this field */
    void (*parse)(struct request_parser *p, const json_t *value, const struct json_pointer *at);
    bool required;
};

/* Calls the parser of every field of the object, in the order of the table. */
void request_parse_fields(struct request_parser *p, const json_t *object,
                          const struct json_pointer *at, const struct request_field *fields,
                          size_t n_fields);
/* The same, and refuses fields that are not in the table. */
void request_parse_object(struct request_parser *p, const json_t *object,
                          const struct json_pointer *at, const struct request_field *fields,
                          size_t n_fields);

/* "It must be ...": */
void request_wrong_type(struct request_parser *p, const struct json_pointer *at,
                        const char *must_be);
void request_wrong_value(struct request_parser *p, const struct json_pointer *at,
                         const char *must_be);
void request_parse_bool(struct request_parser *p, const json_t *value,
                        const struct json_pointer *at, bool *ret);
/* Sets *ret to the index of the string in a NULL-terminated list. `choices_text` lists them for the
 * message. */
void request_parse_choice(struct request_parser *p, const json_t *value,
                          const struct json_pointer *at, const char *const choices[],
                          const char *choices_text, unsigned *ret);

/* Sets request->base64. */
void request_parse_encoding_format(struct request_parser *p, const json_t *value,
                                   const struct json_pointer *at);

/* ---- Bodies ---- */

enum request_inputs { REQUEST_TEXTS_OR_TOKENS, REQUEST_TEXTS };

/* Fills inputs, n_inputs and n_tokens from the value at `at`; truncate, max_tokens and offsets must
 * be set. Errors are added to the problem. */
void request_parse_inputs(struct request_parser *p, const json_t *inputs,
                          const struct json_pointer *at, enum request_inputs allowed);

/* The bodies of the dialects, which are objects. */
void request_parse_openai(struct request_parser *p, const json_t *body);
void request_parse_oip(struct request_parser *p, const json_t *body);

/* Fields of an object in a request, whatever the object: their values, then their names. */
#include "request_internal.h"

void request_wrong_type(struct request_parser *p, const struct json_pointer *at,
                        const char *must_be)
{
    problem_add_error(p->problem, PROBLEM_INVALID_TYPE, at, "It must be %s.", must_be);
}

void request_wrong_value(struct request_parser *p, const struct json_pointer *at,
                         const char *must_be)
{
    problem_add_error(p->problem, PROBLEM_INVALID_VALUE, at, "It must be %s.", must_be);
}

void request_parse_bool(struct request_parser *p, const json_t *value,
                        const struct json_pointer *at, bool *ret)
{
    if (json_is_boolean(value))
        *ret = json_is_true(value);
    else
        request_wrong_type(p, at, "true or false");
}

void request_parse_choice(struct request_parser *p, const json_t *value,
                          const struct json_pointer *at, const char *const choices[],
                          const char *choices_text, unsigned *ret)
{
    if (!json_is_string(value)) {
        request_wrong_type(p, at, choices_text);
        return;
    }
    for (unsigned i = 0; choices[i]; i++) {
        if (strcmp(json_string_value(value), choices[i]) == 0) {
            *ret = i;
            return;
        }
    }
    request_wrong_value(p, at, choices_text);
}

void request_parse_encoding_format(struct request_parser *p, const json_t *value,
                                   const struct json_pointer *at)
{
    static const char *const choices[] = {"float", "base64", NULL};
    unsigned choice = 0;
    request_parse_choice(p, value, at, choices, "\"float\" or \"base64\"", &choice);
    p->request->base64 = choice == 1;
}

static bool is_known(const struct request_field *fields, size_t n_fields, unsigned kind,
                     const char *name)
{
    for (size_t i = 0; i < n_fields; i++) {
        if ((fields[i].kinds & kind) && strcmp(fields[i].name, name) == 0)
            return true;
    }
    return false;
}

static struct json_pointer pointer_to_member(const struct json_pointer *at, const char *key)
{
    struct json_pointer member = *at;
    json_pointer_add_key(&member, key, strlen(key));
    return member;
}

static void refuse_unknown(struct request_parser *p, const json_t *object,
                           const struct json_pointer *at, const struct request_field *fields,
                           size_t n_fields)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (is_known(fields, n_fields, p->request->kind, key) || request_gives_up(p))
            continue;
        const struct json_pointer member = pointer_to_member(at, key);
        problem_add_error(p->problem, PROBLEM_UNKNOWN_FIELD, &member,
                          "There is no such field here.");
    }
}

void request_parse_fields(struct request_parser *p, const json_t *object,
                          const struct json_pointer *at, const struct request_field *fields,
                          size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++) {
        bool has_it = fields[i].kinds & p->request->kind;
        const json_t *value = has_it ? json_object_get(object, fields[i].name) : NULL;
        if (!value && !(has_it && fields[i].required))
            continue;
        const struct json_pointer member = pointer_to_member(at, fields[i].name);
        if (value)
            fields[i].parse(p, value, &member);
        else
            problem_add_error(p->problem, PROBLEM_MISSING_FIELD, &member, "%s is missing.",
                              fields[i].name);
    }
}

void request_parse_object(struct request_parser *p, const json_t *object,
                          const struct json_pointer *at, const struct request_field *fields,
                          size_t n_fields)
{
    refuse_unknown(p, object, at, fields, n_fields);
    request_parse_fields(p, object, at, fields, n_fields);
}

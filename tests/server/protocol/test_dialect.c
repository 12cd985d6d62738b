#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/dialect.h"
#include "support/fail_alloc.h"

static json_t *written(enum dialect dialect, const struct problem *problem)
{
    AUTO(buffer_done) struct buffer out = {0};
    dialect_write_problem(dialect, &out, problem);
    assert_false(out.failed);
    json_t *json =
        json_loadb(out.bytes, out.n_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!json)
        fail_msg("%.*s", (int)out.n_bytes, out.bytes);
    return json;
}

static void a_path_begins_with_its_dialect(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum dialect dialect;
    } cases[] = {
        {"/v1", DIALECT_OPENAI},   {"/v1/", DIALECT_OPENAI}, {"/v1/models", DIALECT_OPENAI},
        {"/v2", DIALECT_OIP},      {"/v2/", DIALECT_OIP},    {"/v2/a/b", DIALECT_OIP},
        {"/v1x", DIALECT_NATIVE},  {"/v", DIALECT_NATIVE},   {"/v3/models", DIALECT_NATIVE},
        {"/V1/", DIALECT_NATIVE},  {"v1/", DIALECT_NATIVE},  {"/embed/v1/", DIALECT_NATIVE},
        {"//v1/", DIALECT_NATIVE}, {"", DIALECT_NATIVE},     {"/", DIALECT_NATIVE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (dialect_of_path(cases[i].path) != cases[i].dialect)
            fail_msg("%s: %d", cases[i].path, (int)dialect_of_path(cases[i].path));
    }
}

static void what_is_wrong_in_a_body_is_400_in_the_dialects(void **state)
{
    (void)state;
    for (enum problem_code code = 1; code < PROBLEM_N_CODES; code++) {
        unsigned status = problem_status(code);
        assert_int_equal(dialect_status(DIALECT_NATIVE, code), status);
        assert_int_equal(dialect_status(DIALECT_OPENAI, code), dialect_status(DIALECT_OIP, code));
        if (status == 422)
            assert_int_equal(dialect_status(DIALECT_OPENAI, code), 400);
        else if (status != 413)
            assert_int_equal(dialect_status(DIALECT_OPENAI, code), status);
    }
    assert_int_equal(dialect_status(DIALECT_OIP, PROBLEM_TOO_MANY_INPUTS), 400);
    assert_int_equal(dialect_status(DIALECT_OIP, PROBLEM_TOO_MANY_TOKENS), 400);
    assert_int_equal(dialect_status(DIALECT_OIP, PROBLEM_BODY_TOO_LARGE), 413);
}

static void every_problem_has_a_body_in_every_dialect(void **state)
{
    (void)state;
    static const char *const types[] = {
        [DIALECT_NATIVE] = "application/problem+json",
        [DIALECT_OPENAI] = "application/json",
        [DIALECT_OIP] = "application/json",
    };
    for (enum problem_code code = 1; code < PROBLEM_N_CODES; code++) {
        struct problem p = {.instance = "/v1/x", .request_id = "r"};
        problem_set(&p, code, "A sentence.");
        json_t *native = written(DIALECT_NATIVE, &p), *openai = written(DIALECT_OPENAI, &p),
               *oip = written(DIALECT_OIP, &p);
        const json_t *error = json_object_get(openai, "error");
        assert_string_equal(json_string_value(json_object_get(native, "detail")), "A sentence.");
        assert_int_equal(json_object_size(openai), 1);
        assert_int_equal(json_object_size(error), 4);
        assert_string_equal(json_string_value(json_object_get(error, "message")), "A sentence.");
        assert_true(json_is_string(json_object_get(error, "type")));
        assert_true(json_is_string(json_object_get(error, "code")));
        assert_int_equal(json_is_null(json_object_get(error, "param")),
                         code != PROBLEM_MODEL_NOT_FOUND); /* which the path names */
        assert_int_equal(json_object_size(oip), 1);
        assert_string_equal(json_string_value(json_object_get(oip, "error")), "A sentence.");
        json_decref(native);
        json_decref(openai);
        json_decref(oip);
    }
    for (enum dialect dialect = DIALECT_NATIVE; dialect <= DIALECT_OIP; dialect++)
        assert_string_equal(dialect_content_type(dialect), types[dialect]);
}

static void openai_has_types_and_codes_that_its_clients_know(void **state)
{
    (void)state;
    static const struct {
        enum problem_code problem;
        const char *type, *code;
    } cases[] = {
        {PROBLEM_INVALID_JSON, "invalid_request_error", "invalid_json"},
        {PROBLEM_MODEL_NOT_FOUND, "invalid_request_error", "model_not_found"},
        {PROBLEM_INPUT_TOO_LONG, "invalid_request_error", "context_length_exceeded"},
        {PROBLEM_QUEUE_FULL, "rate_limit_error", "rate_limit_exceeded"},
        {PROBLEM_UNAUTHORIZED, "invalid_request_error", "invalid_api_key"},
        {PROBLEM_INTERNAL, "server_error", "internal"},
        {PROBLEM_LOADING, "server_error", "loading"},
        {PROBLEM_DEADLINE_EXCEEDED, "server_error", "deadline_exceeded"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct problem p = {0};
        problem_set(&p, cases[i].problem, "A sentence.");
        json_t *json = written(DIALECT_OPENAI, &p);
        const json_t *error = json_object_get(json, "error");
        assert_string_equal(json_string_value(json_object_get(error, "type")), cases[i].type);
        assert_string_equal(json_string_value(json_object_get(error, "code")), cases[i].code);
        json_decref(json);
    }
}

/* The pointer to keys and indices, which begin with '#', one after the other. */
static struct json_pointer pointer_to(const char *const keys[3])
{
    struct json_pointer pointer = json_pointer_root();
    for (size_t i = 0; i < 3 && keys[i]; i++) {
        size_t index;
        if (sscanf(keys[i], "#%zu", &index) == 1)
            json_pointer_add_index(&pointer, index);
        else
            json_pointer_add_key(&pointer, keys[i], strlen(keys[i]));
    }
    return pointer;
}

static void places_are_named_as_the_dialect_does(void **state)
{
    (void)state;
    static const struct {
        const char *keys[3];
        const char *param; /* NULL: null */
        const char *error;
    } cases[] = {
        {{NULL}, NULL, "Wrong."},
        {{"model"}, "model", "#/model: Wrong."},
        {{"input", "#3"}, "input[3]", "#/input/3: Wrong."},
        {{"input", "#18446744073709551615"},
         "input[18446744073709551615]",
         "#/input/18446744073709551615: Wrong."},
        {{"#0", "a", "b"}, "[0].a.b", "#/0/a/b: Wrong."},
        {{"a/b~c%d"}, "a/b~c%d", "#/a~1b~0c%25d: Wrong."},
        {{"\xc3\xa9 \n"}, "\xc3\xa9 \n", "#/%C3%A9%20%0A: Wrong."},
        {{"", "x"}, "x", "#//x: Wrong."},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct problem p = {0};
        struct json_pointer pointer = pointer_to(cases[i].keys);
        problem_add_error(&p, PROBLEM_INVALID_VALUE, &pointer, "Wrong.");
        problem_add_error(&p, PROBLEM_INVALID_TYPE, NULL, "Also wrong.");
        json_t *openai = written(DIALECT_OPENAI, &p), *oip = written(DIALECT_OIP, &p);
        const json_t *param = json_object_get(json_object_get(openai, "error"), "param");
        if (cases[i].param)
            assert_string_equal(json_string_value(param), cases[i].param);
        else
            assert_true(json_is_null(param));
        assert_string_equal(json_string_value(json_object_get(oip, "error")), cases[i].error);
        json_decref(openai);
        json_decref(oip);
    }
}

/* As long as they get, and cut anywhere: what is written is JSON, and within its buffers. */
static void any_key_makes_json(void **state)
{
    (void)state;
    char key[200];
    uint64_t random = 3;
    for (size_t round = 0; round < 5000; round++) {
        struct problem p = {0};
        struct json_pointer pointer = json_pointer_root();
        for (size_t n_keys = round % 4 + 1; n_keys > 0; n_keys--) {
            for (size_t k = 0; k < sizeof key; k++) {
                random = random * 6364136223846793005U + 1442695040888963407U;
                key[k] = round % 3 == 0 ? (char)(random >> 56) : "019/~%#."[random >> 61];
            }
            json_pointer_add_key(&pointer, key, (size_t)(random >> 33) % sizeof key);
            json_pointer_add_index(&pointer, (size_t)random);
        }
        problem_add_error(&p, PROBLEM_UNKNOWN_FIELD, &pointer, "%0190d", 0);
        for (enum dialect dialect = DIALECT_NATIVE; dialect <= DIALECT_OIP; dialect++)
            json_decref(written(dialect, &p));
    }
}

static void no_memory_shows_in_the_buffer(void **state)
{
    (void)state;
    struct problem p = {0};
    problem_set(&p, PROBLEM_INTERNAL, "Out of memory.");
    for (enum dialect dialect = DIALECT_NATIVE; dialect <= DIALECT_OIP; dialect++) {
        AUTO(buffer_done) struct buffer out = {0};
        fail_alloc_after(0);
        dialect_write_problem(dialect, &out, &p);
        assert_true(fail_alloc_stop() > 0);
        assert_true(out.failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_begins_with_its_dialect),
        cmocka_unit_test(what_is_wrong_in_a_body_is_400_in_the_dialects),
        cmocka_unit_test(every_problem_has_a_body_in_every_dialect),
        cmocka_unit_test(openai_has_types_and_codes_that_its_clients_know),
        cmocka_unit_test(places_are_named_as_the_dialect_does),
        cmocka_unit_test(any_key_makes_json),
        cmocka_unit_test(no_memory_shows_in_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "protocol/problem.h"
#include "support/fail_alloc.h"

static json_t *written(const struct problem *problem)
{
    AUTO(buffer_done) struct buffer b = {0};
    problem_write(&b, problem);
    assert_false(b.failed);
    json_error_t error;
    json_t *json = json_loadb(b.bytes, b.n_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s: %.*s", error.text, (int)b.n_bytes, b.bytes);
    return json;
}

static const char *text_member(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    if (!text)
        fail_msg("no text member %s", key);
    return text;
}

static void nothing_is_wrong_at_first(void **state)
{
    (void)state;
    struct problem p = {0};
    assert_int_equal(p.code, PROBLEM_NONE);
}

static void the_first_problem_wins(void **state)
{
    (void)state;
    struct problem p = {0};
    problem_set(&p, PROBLEM_INVALID_JSON, "line %d", 3);
    problem_set(&p, PROBLEM_INTERNAL, "later");
    problem_set_limit(&p, PROBLEM_BODY_TOO_LARGE, 1, 2, "later");
    assert_int_equal(p.code, PROBLEM_INVALID_JSON);
    assert_string_equal(p.detail, "line 3");
    assert_false(p.has_limit);
}

static void every_code_has_its_own_text_a_title_and_an_error_status(void **state)
{
    (void)state;
    assert_int_equal(PROBLEM_N_CODES - 1, 28);
    for (enum problem_code a = 1; a < PROBLEM_N_CODES; a++) {
        assert_in_range(problem_status(a), 400, 504);
        assert_true(strlen(problem_title(a)) > 0);
        for (enum problem_code b = 1; b < a; b++)
            assert_string_not_equal(problem_code_text(a), problem_code_text(b));
    }
    assert_string_equal(problem_code_text(PROBLEM_QUEUE_FULL), "queue_full");
    assert_int_equal(problem_status(PROBLEM_QUEUE_FULL), 429);
}

static void the_smallest_body_has_the_rfc_9457_members_and_the_code(void **state)
{
    (void)state;
    for (enum problem_code code = 1; code < PROBLEM_N_CODES; code++) {
        struct problem p = {0};
        problem_set(&p, code, "A sentence.");
        json_t *json = written(&p);
        assert_int_equal(json_object_size(json), 5);
        assert_string_equal(text_member(json, "type") + strlen("urn:elmod:problem:"),
                            problem_code_text(code));
        assert_string_equal(text_member(json, "title"), problem_title(code));
        assert_int_equal(json_integer_value(json_object_get(json, "status")), problem_status(code));
        assert_string_equal(text_member(json, "code"), problem_code_text(code));
        assert_string_equal(text_member(json, "detail"), "A sentence.");
        json_decref(json);
    }
}

static void the_fullest_body_has_every_member(void **state)
{
    (void)state;
    struct problem p = {.instance = "/embed", .request_id = "r1", .retry_after_ms = 1000};
    problem_set_limit(&p, PROBLEM_TOO_MANY_INPUTS, 4096, 5000, "5000 inputs.");
    problem_add_error(&p, PROBLEM_TOO_MANY_INPUTS, NULL, "Here.");
    AUTO(buffer_done) struct buffer b = {0};
    problem_write(&b, &p);
    buffer_append(&b, "", 1);
    assert_string_equal(
        b.bytes,
        "{\"type\":\"urn:elmod:problem:too_many_inputs\","
        "\"title\":\"The request has too many inputs\",\"status\":413,"
        "\"code\":\"too_many_inputs\",\"detail\":\"5000 inputs.\",\"instance\":\"/embed\","
        "\"request_id\":\"r1\",\"limit\":4096,\"actual\":5000,\"retry_after_ms\":1000,"
        "\"errors\":[{\"pointer\":\"#\",\"code\":\"too_many_inputs\",\"detail\":\"Here.\"}]}");
}

static void what_was_not_measured_is_not_written(void **state)
{
    (void)state;
    struct problem p = {0};
    problem_set_limit(&p, PROBLEM_BODY_TOO_LARGE, 100, 0, "Too large.");
    json_t *json = written(&p);
    assert_int_equal(json_integer_value(json_object_get(json, "limit")), 100);
    assert_null(json_object_get(json, "actual"));
    json_decref(json);
}

static void the_first_place_names_the_problem_and_the_others_follow(void **state)
{
    (void)state;
    struct problem p = {0};
    struct json_pointer place = json_pointer_root();
    json_pointer_add_key(&place, "a/\"b\"", 5);
    problem_add_error(&p, PROBLEM_UNKNOWN_FIELD, &place, "This field is not known.");
    json_pointer_add_index(&place, 7);
    problem_add_error(&p, PROBLEM_INVALID_TYPE, &place, "Must be %s.", "text");
    assert_int_equal(p.code, PROBLEM_UNKNOWN_FIELD);
    assert_string_equal(p.detail, "This field is not known.");

    json_t *json = written(&p);
    const json_t *errors = json_object_get(json, "errors");
    assert_int_equal(json_array_size(errors), 2);
    const json_t *second = json_array_get(errors, 1);
    assert_string_equal(text_member(json_array_get(errors, 0), "pointer"), "#/a~1%22b%22");
    assert_string_equal(text_member(second, "pointer"), "#/a~1%22b%22/7");
    assert_string_equal(text_member(second, "code"), "invalid_type");
    assert_string_equal(text_member(second, "detail"), "Must be text.");
    json_decref(json);
}

static void places_and_details_are_bounded(void **state)
{
    (void)state;
    char long_text[1000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    struct problem p = {0};
    for (int i = 0; i < 100; i++)
        problem_add_error(&p, PROBLEM_INVALID_VALUE, NULL, "%s", long_text);
    json_t *json = written(&p);
    assert_int_equal(json_array_size(json_object_get(json, "errors")), PROBLEM_ERRORS_MAX);
    assert_int_equal(strlen(text_member(json, "detail")), PROBLEM_DETAIL_MAX - 1);
    json_decref(json);
}

static void hostile_paths_and_ids_stay_strings(void **state)
{
    (void)state;
    struct problem p = {.instance = "/\",\"status\":200,\"x\":\"\xff\n", .request_id = "\\"};
    problem_set(&p, PROBLEM_NOT_FOUND, "Nothing here.");
    json_t *json = written(&p);
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 404);
    assert_string_equal(text_member(json, "instance"), "/\",\"status\":200,\"x\":\"\xef\xbf\xbd\n");
    json_decref(json);
}

static void no_memory_shows_in_the_buffer(void **state)
{
    (void)state;
    struct problem p = {0};
    problem_set(&p, PROBLEM_INTERNAL, "Out of memory.");
    AUTO(buffer_done) struct buffer b = {0};
    fail_alloc_after(0);
    problem_write(&b, &p);
    assert_true(fail_alloc_stop() > 0);
    assert_true(b.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_wrong_at_first),
        cmocka_unit_test(the_first_problem_wins),
        cmocka_unit_test(every_code_has_its_own_text_a_title_and_an_error_status),
        cmocka_unit_test(the_smallest_body_has_the_rfc_9457_members_and_the_code),
        cmocka_unit_test(the_fullest_body_has_every_member),
        cmocka_unit_test(what_was_not_measured_is_not_written),
        cmocka_unit_test(the_first_place_names_the_problem_and_the_others_follow),
        cmocka_unit_test(places_and_details_are_bounded),
        cmocka_unit_test(hostile_paths_and_ids_stay_strings),
        cmocka_unit_test(no_memory_shows_in_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/media.h"

static void accept_is_weighed_as_rfc_9110_says(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool allowed;
    } cases[] = {
        {"application/json", true},
        {"APPLICATION/JSON", true},
        {"application/*", true},
        {"*/*", true},
        {"", true},
        {" ", true},
        {"text/html", false},
        {"application/x-npy", false},
        {"application/vnd.safetensors", false},
        {"text/html, application/json", true},
        {"text/html,*/*;q=0.1", true},
        {"application/json;q=0", false},
        {"application/json;q=0.0", false},
        {"application/json;q=0.000", false},
        {"application/json;q=0.001", true},
        {"application/json ; Q=0", false},
        {"application/json;q=0, */*", false},
        {"*/*, application/json;q=0", false},
        {"application/*;q=0, */*", false},
        {"application/*;q=0, application/json", true},
        {"*/*;q=0, application/*", true},
        {"*/*;q=0", false},
        {"application/json;q=0, application/json;q=1", true},
        {"application/json;charset=utf-8", true},
        {"application/json;profile=\"a,b;q=0\"", true},
        {"text/plain;x=\"\\\",application/json\"", false},
        {"application/jsonx", false},
        {"application", false},
        {"application/", false},
        {"*", false},
        {"*/json", false},
        {",,application/json,,", true},
        {";q=1", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if ((media_rank(&cases[i].accept, 1, "application/json") > 0) != cases[i].allowed)
            fail_msg("%s", cases[i].accept);
    }
}

/* The order that a server with these two has to keep: '<' for "a/one is less welcome". */
static void of_several_types_the_most_welcome_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        char order;
    } cases[] = {
        {"a/one, a/two", '='},
        {"a/two, a/one", '='},
        {"*/*", '='},
        {"", '='},
        {"b/three", '='}, /* neither */
        {"a/one;q=0.5, a/two", '<'},
        {"a/two;q=0.5, a/one", '>'},
        {"a/one;q=0.001, a/two;q=0.002", '<'},
        {"a/one;q=0.8, a/two;q=0.75", '>'},
        {"a/one;q=0.8, a/two;q=0.80", '='},
        {"a/one;q=1.000, a/two;q=1", '='},
        {"a/one;q=0.9, */*", '<'},
        {"a/two, */*", '<'}, /* as welcome, but asked for by name */
        {"a/two, a/*", '<'},
        {"a/*;q=0.9, */*;q=1, a/one;q=0.91", '>'},
        {"a/one;q=0.2, a/one;q=0.6, a/two;q=0.4", '>'},
        {"a/one;q=0, a/*;q=0.001", '<'},
        {"a/one;q=x, a/two;q=0.9", '>'}, /* malformed: 1 */
        {"a/one;q=0.1234, a/two;q=0.9", '>'},
        {"a/one;q=0.12x, a/two;q=0.9", '>'},
        {"a/one;q=00.1, a/two;q=0.9", '>'},
        {"a/one;q=0., a/two;q=0.9", '<'},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned one = media_rank(&cases[i].accept, 1, "a/one");
        unsigned two = media_rank(&cases[i].accept, 1, "a/two");
        char order = '=';
        if (one != two)
            order = one < two ? '<' : '>';
        if (order != cases[i].order)
            fail_msg("%s: %c", cases[i].accept, order);
    }
}

static void several_accept_fields_are_one_list(void **state)
{
    (void)state;
    const char *const fields[] = {"*/*", "application/json;q=0"};
    assert_int_equal(media_rank(fields, 2, "application/json"), 0);
    assert_true(media_rank(fields, 1, "application/json") > 0);
}

static void no_accept_takes_anything(void **state)
{
    (void)state;
    assert_true(media_rank(NULL, 0, "application/json") > 0);
}

static void content_type_is_json_in_utf8_alone(void **state)
{
    (void)state;
    static const struct {
        const char *content_type;
        bool is_json;
    } cases[] = {
        {"application/json", true},
        {"Application/Json", true},
        {" application/json ", true},
        {"application/json;charset=utf-8", true},
        {"application/json; Charset=\"UTF-8\"", true},
        {"application/json;", true},
        {"application/json; x=y", true},
        {"application/json; charset=latin1", false},
        {"application/json; x=y; charset=utf-16", false},
        {"application/problem+json", false},
        {"text/json", false},
        {"application/json, text/plain", false},
        {"application/x-www-form-urlencoded", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (media_is_json(cases[i].content_type) != cases[i].is_json)
            fail_msg("%s", cases[i].content_type);
    }
}

static void the_best_coding_is_chosen(void **state)
{
    static const struct {
        const char *accept_encoding;
        enum coding coding;
    } cases[] = {
        {"gzip", CODING_GZIP},
        {"x-gzip", CODING_GZIP},
        {"GZIP", CODING_GZIP},
        {"zstd", CODING_ZSTD},
        {"gzip, deflate, br, zstd", CODING_ZSTD},
        {"gzip, deflate", CODING_GZIP},
        {"zstd;q=0.5, gzip;q=0.501", CODING_GZIP},
        {"zstd;q=0.5, gzip;q=0.5", CODING_ZSTD},
        {"zstd;q=0, gzip", CODING_GZIP},
        {"gzip;q=0", CODING_IDENTITY},
        {"gzip;q=0.000", CODING_IDENTITY},
        {"*", CODING_ZSTD},
        {"*;q=0.1, zstd;q=0", CODING_GZIP},
        {"*;q=0", CODING_IDENTITY},
        {"identity", CODING_IDENTITY},
        {"identity, gzip;q=0.9", CODING_IDENTITY},
        {"identity;q=0.1, gzip;q=0.9", CODING_GZIP},
        {"identity;q=0, gzip;q=0.001", CODING_GZIP},
        {"deflate, br", CODING_IDENTITY},
        {"", CODING_IDENTITY},
        {",, gzip ;q=1.000,", CODING_GZIP},
        {"gzipped", CODING_IDENTITY},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct head_field field = {cases[i].accept_encoding, 1};
        if (media_coding(&field) != cases[i].coding)
            fail_msg("%s", cases[i].accept_encoding);
    }
    assert_int_equal(media_coding(&(struct head_field){0}), CODING_IDENTITY);
    assert_int_equal(media_coding(&(struct head_field){"gzip", 2}), CODING_IDENTITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_is_weighed_as_rfc_9110_says),
        cmocka_unit_test(of_several_types_the_most_welcome_is_known),
        cmocka_unit_test(several_accept_fields_are_one_list),
        cmocka_unit_test(no_accept_takes_anything),
        cmocka_unit_test(content_type_is_json_in_utf8_alone),
        cmocka_unit_test(the_best_coding_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

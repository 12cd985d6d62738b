#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "support/fail_alloc.h"
#include "text/json_write.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static void assert_text(struct buffer *b, const char *expected)
{
    assert_false(b->failed);
    buffer_append(b, "", 1);
    assert_string_equal(b->bytes, expected);
    b->n_bytes--;
}

/* What jansson reads: any value, NUL characters allowed. */
static json_t *parsed(const struct buffer *b)
{
    json_error_t error;
    assert_false(b->failed);
    json_t *json = json_loadb(b->bytes, b->n_bytes,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s: %.*s", error.text, (int)b->n_bytes, b->bytes);
    return json;
}

static void commas_stand_between_and_nowhere_else(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    struct json_writer w = {.out = &b};
    json_write_object_begin(&w);
    json_write_key(&w, "empty");
    json_write_object_begin(&w);
    json_write_object_end(&w);
    json_write_key(&w, "list");
    json_write_array_begin(&w);
    json_write_uint(&w, 1);
    json_write_array_begin(&w);
    json_write_array_end(&w);
    json_write_bool(&w, true);
    json_write_bool(&w, false);
    json_write_null(&w);
    json_write_text(&w, NULL);
    json_write_text(&w, "t");
    json_write_float(&w, 0.5f);
    json_write_raw(&w, "{\"raw\":0}");
    json_write_array_end(&w);
    json_write_key(&w, "last");
    json_write_array_begin(&w);
    json_write_floats(&w, NULL, 0);
    json_write_array_end(&w);
    json_write_object_end(&w);
    assert_text(&b, "{\"empty\":{},\"list\":[1,[],true,false,null,null,\"t\",0.5,{\"raw\":0}],"
                    "\"last\":[]}");
}

static void strings_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n_bytes;
        const char *text;
    } cases[] = {
        {"", 0, "\"\""},
        {"plain", 5, "\"plain\""},
        {"\"\\/", 3, "\"\\\"\\\\/\""},
        {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
        {"a\0b\x1f\x7f", 5, "\"a\\u0000b\\u001f\x7f\""},
        {"\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buffer_done) struct buffer b = {0};
        struct json_writer w = {.out = &b};
        json_write_string(&w, cases[i].bytes, cases[i].n_bytes);
        assert_text(&b, cases[i].text);
    }
}

static void keys_are_escaped(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    struct json_writer w = {.out = &b};
    json_write_object_begin(&w);
    json_write_key(&w, "a\"b\xff");
    json_write_null(&w);
    json_write_object_end(&w);
    assert_text(&b, "{\"a\\\"b" REPLACEMENT "\":null}");
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\xff", REPLACEMENT},
        {"a\x80z", "a" REPLACEMENT "z"},
        {"\xc3", REPLACEMENT},                                                 /* cut short */
        {"\xc0\x80", REPLACEMENT REPLACEMENT},                                 /* overlong NUL */
        {"\xed\xa0\x80", REPLACEMENT REPLACEMENT REPLACEMENT},                 /* surrogate */
        {"\xf4\x90\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT}, /* > U+10FFFF */
        {"\xe2\x82\xc3\xa9", REPLACEMENT REPLACEMENT "\xc3\xa9"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buffer_done) struct buffer b = {0};
        struct json_writer w = {.out = &b};
        json_write_text(&w, cases[i][0]);
        json_t *json = parsed(&b);
        assert_string_equal(json_string_value(json), cases[i][1]);
        json_decref(json);
    }
}

static void any_bytes_make_valid_json(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char bytes[24];
        for (size_t i = 0; i < sizeof bytes; i++) {
            random = random * 1664525 + 1013904223;
            bytes[i] = (char)(random >> 24);
        }
        AUTO(buffer_done) struct buffer b = {0};
        struct json_writer w = {.out = &b};
        json_write_string(&w, bytes, (size_t)round % (sizeof bytes + 1));
        json_t *json = parsed(&b);
        assert_true(json_is_string(json));
        json_decref(json);
    }
}

static void fill(float *values, size_t n_values)
{
    uint32_t random = 7;
    for (size_t i = 0; i < n_values; i++) {
        random = random * 1664525 + 1013904223;
        values[i] = ((float)random / 4294967296.0f - 0.5f) * 4.0f;
    }
}

static void write_array(struct json_writer *w, const float *values, size_t n_values)
{
    json_write_array_begin(w);
    json_write_floats(w, values, n_values);
    json_write_array_end(w);
}

/* In two parts. */
static void write_base64(struct json_writer *w, const float *values, size_t n_values)
{
    size_t n_first = n_values / 2 / 3 * 3;
    json_write_string_begin(w);
    json_write_base64_part(w, values, n_first);
    json_write_base64_part(w, values + n_first, n_values - n_first);
    json_write_string_end(w);
}

static void float_arrays_of_every_length_read_back(void **state)
{
    (void)state;
    static float values[1200];
    fill(values, ARRAY_LEN(values));
    for (size_t n = 0; n <= ARRAY_LEN(values); n = n < 5 ? n + 1 : n + 59) {
        AUTO(buffer_done) struct buffer b = {0};
        struct json_writer w = {.out = &b};
        write_array(&w, values, n);
        json_t *json = parsed(&b);
        assert_int_equal(json_array_size(json), n);
        for (size_t i = 0; i < n; i++)
            assert_true((float)json_number_value(json_array_get(json, i)) == values[i]);
        json_decref(json);
    }
}

static void an_array_may_be_written_in_parts(void **state)
{
    (void)state;
    const float values[] = {1, 2, 3, 4, 5, 6};
    AUTO(buffer_done) struct buffer b = {0};
    struct json_writer w = {.out = &b};
    json_write_array_begin(&w);
    json_write_floats(&w, NULL, 0);
    json_write_floats(&w, values, 1);
    json_write_array_begin(&w);
    json_write_floats(&w, values + 1, 2);
    json_write_floats(&w, NULL, 0);
    json_write_floats(&w, values + 3, 1);
    json_write_array_end(&w);
    json_write_floats(&w, values + 4, 2);
    json_write_array_end(&w);
    assert_text(&b, "[1,[2,3,4],5,6]");
}

static void a_string_may_be_written_in_parts(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    struct json_writer w = {.out = &b};
    json_write_array_begin(&w);
    json_write_string_begin(&w);
    json_write_string_end(&w);
    json_write_string_begin(&w);
    json_write_string_part(&w, "a\"", 2);
    json_write_string_part(&w, "\xc3\xa4\xff", 3);
    json_write_string_end(&w);
    json_write_null(&w);
    json_write_array_end(&w);
    assert_text(&b, "[\"\",\"a\\\"\xc3\xa4" REPLACEMENT "\",null]");
}

static void base64_is_little_endian(void **state)
{
    (void)state;
    const float values[] = {1.0f, -2.5f}; /* 00 00 80 3f  00 00 20 c0 */
    AUTO(buffer_done) struct buffer b = {0};
    struct json_writer w = {.out = &b};
    json_write_array_begin(&w);
    write_base64(&w, values, 0);
    write_base64(&w, values, 1);
    write_base64(&w, values, 2);
    json_write_array_end(&w);
    assert_text(&b, "[\"\",\"AACAPw==\",\"AACAPwAAIMA=\"]");
}

static void base64_of_long_vectors_has_padding_at_the_end_alone(void **state)
{
    (void)state;
    static float values[2000];
    fill(values, ARRAY_LEN(values));
    for (size_t n = 380; n <= ARRAY_LEN(values); n += 4) {
        AUTO(buffer_done) struct buffer b = {0};
        struct json_writer w = {.out = &b};
        write_base64(&w, values, n);
        assert_int_equal(b.n_bytes, 2 + (4 * n + 2) / 3 * 4);
        const char *padding = memchr(b.bytes, '=', b.n_bytes);
        assert_true(!padding || padding >= b.bytes + b.n_bytes - 3);
    }
}

static void running_out_of_memory_anywhere_shows_in_the_buffer(void **state)
{
    (void)state;
    static float values[3000];
    fill(values, ARRAY_LEN(values));
    bool done = false;
    for (size_t n_good = 0; !done; n_good++) {
        AUTO(buffer_done) struct buffer b = {0};
        struct json_writer w = {.out = &b};
        fail_alloc_after(n_good);
        json_write_object_begin(&w);
        json_write_key(&w, "a");
        write_array(&w, values, 3000);
        json_write_key(&w, "b");
        write_base64(&w, values, 3000);
        json_write_object_end(&w);
        done = fail_alloc_stop() == 0;
        assert_int_equal(b.failed, !done);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_stand_between_and_nowhere_else),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(keys_are_escaped),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
        cmocka_unit_test(any_bytes_make_valid_json),
        cmocka_unit_test(float_arrays_of_every_length_read_back),
        cmocka_unit_test(an_array_may_be_written_in_parts),
        cmocka_unit_test(a_string_may_be_written_in_parts),
        cmocka_unit_test(base64_is_little_endian),
        cmocka_unit_test(base64_of_long_vectors_has_padding_at_the_end_alone),
        cmocka_unit_test(running_out_of_memory_anywhere_shows_in_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

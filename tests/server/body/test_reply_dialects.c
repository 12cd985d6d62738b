/* The bodies of the dialects: POST /v1/embeddings, POST /v2/models/{model}/infer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reply_fixture.h"
#include "support/fail_alloc.h"

#define MODEL "\"model\":\"fake \\\"elmo\\\"\""
#define TENSOR(n, texts) \
    "\"inputs\":[{\"name\":\"text\",\"datatype\":\"BYTES\",\"shape\":[" #n "],\"data\":" texts "}]"

static void assert_text(const json_t *object, const char *key, const char *expected)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text)
        fail_msg("no text %s", key);
    assert_string_equal(text, expected);
}

static void assert_int(const json_t *object, const char *key, json_int_t expected)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    assert_int_equal(json_integer_value(value), expected);
}

/* To the bit, from index `first` of the array on. */
static void assert_floats(const json_t *array, size_t first, const float *expected, size_t n)
{
    assert_true(json_array_size(array) >= first + n);
    for (size_t i = 0; i < n; i++) {
        float value = (float)json_number_value(json_array_get(array, first + i));
        assert_memory_equal(&value, &expected[i], sizeof value);
    }
}

static void set_up(struct reply_fixture *f, const char *body, enum reply_form form)
{
    reply_fixture_set_up_long(f, body);
    reply_fixture_write(f, form);
    reply_fixture_parse(f);
}

/* ---- OpenAI ---- */

static void openai_lists_a_vector_for_each_text(void **state)
{
    (void)state;
    struct reply_fixture f;
    set_up(&f, "o{" MODEL ",\"input\":[\"a bc\",\"\",\"@\"]}", REPLY_OPENAI);
    const json_t *data = json_object_get(f.json, "data"), *usage = json_object_get(f.json, "usage");
    assert_int_equal(json_object_size(f.json), 4);
    assert_text(f.json, "object", "list");
    assert_text(f.json, "model", "fake \"elmo\"");
    assert_int_equal(json_array_size(data), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *item = json_array_get(data, i), *vector = json_object_get(item, "embedding");
        assert_int_equal(json_object_size(item), 3);
        assert_text(item, "object", "embedding");
        assert_int(item, "index", (json_int_t)i);
        assert_int_equal(json_array_size(vector), 4);
        assert_floats(vector, 0, f.sentences[i].pooled, 4);
    }
    assert_int_equal(json_object_size(usage), 2);
    assert_int(usage, "prompt_tokens", 3);
    assert_int(usage, "total_tokens", 3);
    reply_fixture_tear_down(&f);
}

static void openai_has_vectors_in_base64_where_that_is_asked_for(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_OPENAI,
                         "{" MODEL ",\"input\":\"a\",\"encoding_format\":\"base64\"}");
    const float pooled[] = {1, -2, 0, 0};
    memcpy(f.sentences[0].pooled, pooled, sizeof pooled);
    reply_fixture_write(&f, REPLY_OPENAI);
    reply_fixture_parse(&f);
    const json_t *item = json_array_get(json_object_get(f.json, "data"), 0);
    assert_text(item, "embedding", "AACAPwAAAMAAAAAAAAAAAA==");
    reply_fixture_tear_down(&f);
}

/* ---- Open Inference Protocol ---- */

static void assert_tensor(const json_t *tensor, const char *name, json_int_t n_rows,
                          json_int_t n_cols)
{
    const json_t *shape = json_object_get(tensor, "shape");
    assert_int_equal(json_object_size(tensor), 4);
    assert_text(tensor, "name", name);
    assert_text(tensor, "datatype", "FP32");
    assert_int_equal(json_array_size(shape), 2);
    assert_int_equal(json_integer_value(json_array_get(shape, 0)), n_rows);
    assert_int_equal(json_integer_value(json_array_get(shape, 1)), n_cols);
    assert_int_equal(json_array_size(json_object_get(tensor, "data")), n_rows * n_cols);
}

static void oip_has_a_flat_tensor_for_each_output(void **state)
{
    (void)state;
    struct reply_fixture f;
    set_up(&f, "i{\"id\":\"42\"," TENSOR(3, "[\"a bc\",\"\",\"@\"]") "}", REPLY_OIP);
    const json_t *outputs = json_object_get(f.json, "outputs");
    assert_int_equal(json_object_size(f.json), 4);
    assert_text(f.json, "model_name", "fake \"elmo\"");
    assert_text(f.json, "model_version", elmo_model_info(f.model)->sha256);
    assert_text(f.json, "id", "42");
    assert_int_equal(json_array_size(outputs), 2);
    const json_t *vectors = json_array_get(outputs, 0), *sentiment = json_array_get(outputs, 1);
    assert_tensor(vectors, "default", 3, 4);
    assert_tensor(sentiment, "sentiment", 3, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_floats(json_object_get(vectors, "data"), i * 4, f.sentences[i].pooled, 4);
        assert_floats(json_object_get(sentiment, "data"), i * 2, f.sentences[i].probabilities, 2);
    }
    reply_fixture_tear_down(&f);
}

static void oip_has_only_the_outputs_that_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *body, *name;
        json_int_t n_cols;
    } cases[] = {
        {"i{\"outputs\":[{\"name\":\"default\"}]," TENSOR(2, "[\"a\",\"b\"]") "}", "default", 4},
        {"i{\"outputs\":[{\"name\":\"sentiment\"}]," TENSOR(2, "[\"a\",\"b\"]") "}", "sentiment",
         2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply_fixture f;
        set_up(&f, cases[i].body, REPLY_OIP);
        const json_t *outputs = json_object_get(f.json, "outputs");
        assert_int_equal(json_array_size(outputs), 1);
        assert_tensor(json_array_get(outputs, 0), cases[i].name, 2, cases[i].n_cols);
        assert_null(json_object_get(f.json, "id"));
        reply_fixture_tear_down(&f);
    }
}

static void oip_repeats_any_id(void **state)
{
    (void)state;
    struct reply_fixture f;
    set_up(&f, "i{\"id\":\"@@@\"," TENSOR(1, "[\"a\"]") "}", REPLY_OIP);
    assert_text(f.json, "id", f.request->id);
    assert_true(strlen(f.request->id) > REPLY_STEP_MAX);
    reply_fixture_tear_down(&f);
    set_up(&f, "i{\"id\":\"\"," TENSOR(1, "[\"a\"]") "}", REPLY_OIP);
    assert_text(f.json, "id", "");
    reply_fixture_tear_down(&f);
}

/* ---- Piece by piece ---- */

static void any_pieces_make_the_same_text(void **state)
{
    (void)state;
    static const struct {
        enum reply_form form;
        const char *body;
    } cases[] = {
        {REPLY_OPENAI, "o{" MODEL ",\"input\":[\"a bc\",\"\",\"@\",\"b\"]}"},
        {REPLY_OPENAI, "o{" MODEL ",\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\"}"},
        {REPLY_OIP, "i{\"id\":\"@\"," TENSOR(4, "[\"a\",\"b c\",\"\",\"d\"]") "}"},
        {REPLY_OIP, "i{\"outputs\":[{\"name\":\"sentiment\"}]," TENSOR(1, "[\"a\"]") "}"},
    };
    static const size_t sizes[] = {1, 2, 3, 7, 64, 1000, REPLY_STEP_MAX - 1, 4096, 4097, 9000, 0};
    static const size_t written_ahead[] = {0, 1, 500, 5000};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply_fixture f;
        set_up(&f, cases[i].body, cases[i].form);
        for (size_t k = 0; k < ARRAY_LEN(sizes) * ARRAY_LEN(written_ahead); k++) {
            struct reply reply = {0};
            assert_true(reply_begin(&reply, cases[i].form, f.model, f.request, f.sentences));
            reply_write_ahead(&reply, written_ahead[k % ARRAY_LEN(written_ahead)]);
            assert_reads(&reply, sizes[k / ARRAY_LEN(written_ahead)], &f.out, 0);
            reply_done(&reply);
        }
        reply_fixture_tear_down(&f);
    }
}

/* Read in steps of the greatest size, the text takes no memory: no step is longer than that. */
static void no_step_is_longer_than_it_may_be(void **state)
{
    (void)state;
    static const struct {
        enum reply_form form;
        const char *body;
    } cases[] = {
        {REPLY_OPENAI, "o{" MODEL ",\"input\":[\"a\",\"b\",\"c\",\"d\"]}"},
        {REPLY_OIP, "i{\"id\":\"@@@@\"," TENSOR(4, "[\"a\",\"b\",\"c\",\"d\"]") "}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply_fixture f;
        struct reply reply = {0};
        char piece[REPLY_STEP_MAX];
        ssize_t n;
        set_up(&f, cases[i].body, cases[i].form);
        assert_true(reply_begin(&reply, cases[i].form, f.model, f.request, f.sentences));
        fail_alloc_after(0);
        while ((n = reply_read(&reply, piece, sizeof piece)) > 0)
            continue;
        assert_int_equal(fail_alloc_stop(), 0);
        assert_int_equal(n, 0);
        reply_done(&reply);
        reply_fixture_tear_down(&f);
    }
}

static void both_are_json(void **state)
{
    (void)state;
    assert_string_equal(reply_content_type(REPLY_OPENAI), "application/json");
    assert_string_equal(reply_content_type(REPLY_OIP), "application/json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_lists_a_vector_for_each_text),
        cmocka_unit_test(openai_has_vectors_in_base64_where_that_is_asked_for),
        cmocka_unit_test(oip_has_a_flat_tensor_for_each_output),
        cmocka_unit_test(oip_has_only_the_outputs_that_are_named),
        cmocka_unit_test(oip_repeats_any_id),
        cmocka_unit_test(any_pieces_make_the_same_text),
        cmocka_unit_test(no_step_is_longer_than_it_may_be),
        cmocka_unit_test(both_are_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

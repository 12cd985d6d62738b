#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reply_fixture.h"
#include "support/fail_alloc.h"
#include "text/base64.h"

static const json_t *item(const struct reply_fixture *f, size_t i)
{
    const json_t *data = json_object_get(f->json, "data");
    assert_int_equal(json_array_size(data), f->request->n_inputs);
    return json_array_get(data, i);
}

static const char *text_at(const json_t *array, size_t i)
{
    return json_string_value(json_array_get(array, i));
}

static void assert_usage(const struct reply_fixture *f, json_int_t n_inputs, json_int_t n_tokens)
{
    const json_t *usage = json_object_get(f->json, "usage");
    assert_int_equal(json_integer_value(json_object_get(usage, "inputs")), n_inputs);
    assert_int_equal(json_integer_value(json_object_get(usage, "tokens")), n_tokens);
    assert_string_equal(json_string_value(json_object_get(f->json, "model")), "fake \"elmo\"");
}

/* ---- /embed ---- */

static void embed_has_exactly_the_outputs_asked_for(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(
        &f, REQUEST_EMBED,
        "{\"inputs\":[\"a bc\",\"\"],\"outputs\":[\"word_emb\",\"lstm_outputs2\"]}");
    reply_fixture_run(&f);
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    assert_int_equal(json_object_size(item(&f, 0)), 5); /* index tokens truncated + 2 */
    assert_int_equal(json_integer_value(json_object_get(item(&f, 1), "index")), 1);
    const json_t *tokens = json_object_get(item(&f, 0), "tokens");
    assert_string_equal(text_at(tokens, 0), "a");
    assert_string_equal(text_at(tokens, 1), "bc");
    assert_true(json_is_false(json_object_get(item(&f, 0), "truncated")));
    const json_t *layer = json_object_get(item(&f, 0), "lstm_outputs2");
    assert_int_equal(json_array_size(layer), 2);
    assert_int_equal(json_array_size(json_array_get(layer, 0)), 4);
    assert_int_equal(json_number_value(json_array_get(json_array_get(layer, 1), 2)), 2);
    assert_int_equal(json_array_size(json_array_get(json_object_get(item(&f, 0), "word_emb"), 0)),
                     2);
    assert_int_equal(json_array_size(json_object_get(item(&f, 1), "word_emb")), 0);
    assert_usage(&f, 2, 2);
    reply_fixture_tear_down(&f);
}

static void mean_max_is_twice_as_wide(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_EMBED,
                         "{\"inputs\":\"a\",\"outputs\":[\"default\"],\"pooling\":\"mean_max\"}");
    reply_fixture_run(&f);
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    assert_int_equal(json_array_size(json_object_get(item(&f, 0), "default")), 8);
    reply_fixture_tear_down(&f);
}

static void json_numbers_read_back_to_the_same_floats(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int round = 0; round < 2000; round++) {
        struct reply_fixture f;
        reply_fixture_set_up(&f, REQUEST_EMBED, "{\"inputs\":\"a b\",\"outputs\":[\"elmo\"]}");
        fill_with_any_finite_bits(f.sentences[0].elmo, 8, &random);
        reply_fixture_write(&f, REPLY_JSON);
        reply_fixture_parse(&f);
        const json_t *rows = json_object_get(item(&f, 0), "elmo");
        for (size_t i = 0; i < 8; i++) {
            const json_t *value = json_array_get(json_array_get(rows, i / 4), i % 4);
            float read = (float)json_number_value(value);
            assert_memory_equal(&read, &f.sentences[0].elmo[i], sizeof read);
        }
        reply_fixture_tear_down(&f);
    }
}

static void assert_numbers(const json_t *row, const float *expected, size_t n)
{
    assert_int_equal(json_array_size(row), n);
    for (size_t i = 0; i < n; i++)
        assert_float_equal((float)json_number_value(json_array_get(row, i)), expected[i], 0);
}

static void word_vectors_come_alone_and_before_the_mix(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_EMBED,
                         "{\"inputs\":[\"a x bc\",\"\",\"A\"],\"outputs\":[\"word_vec_elmo\","
                         "\"word_vec\"]}");
    reply_fixture_run(&f);
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    static const float rows[3][7] = {
        {1, 2, 3, 9, 0, 1, 0}, {0, 0, 0, 9, 1, 1, 0}, {4, 5, 6, 9, 2, 2, 0}};
    for (size_t t = 0; t < 3; t++) {
        const json_t *alone = json_object_get(item(&f, 0), "word_vec");
        const json_t *both = json_object_get(item(&f, 0), "word_vec_elmo");
        assert_numbers(json_array_get(alone, t), rows[t], 3);
        assert_numbers(json_array_get(both, t), rows[t], 7);
    }
    assert_numbers(json_object_get(item(&f, 0), "unknown_word_vecs"), (const float[]){1}, 1);
    assert_numbers(json_object_get(item(&f, 1), "unknown_word_vecs"), NULL, 0);
    assert_numbers(json_object_get(item(&f, 2), "unknown_word_vecs"), (const float[]){0}, 1);
    assert_int_equal(json_object_size(item(&f, 0)), 6); /* no elmo: it was not asked for */
    const struct reply_words words = reply_count_words(f.request);
    assert_int_equal(words.n_known, 2);
    assert_int_equal(words.n_unknown, 2);
    reply_fixture_tear_down(&f);
}

static void without_word_vectors_nothing_is_said_of_them(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_EMBED, "{\"inputs\":\"x\"}");
    reply_fixture_run(&f);
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    assert_null(json_object_get(item(&f, 0), "unknown_word_vecs"));
    const struct reply_words words = reply_count_words(f.request);
    assert_int_equal(words.n_known + words.n_unknown, 0);
    reply_fixture_tear_down(&f);
}

/* Rows of 3 and 4 values: groups of three bytes and of three values end anywhere in them. */
static void word_vectors_in_base64_are_the_same_rows(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_EMBED,
                         "{\"inputs\":\"a x\",\"outputs\":[\"word_vec_elmo\"],"
                         "\"encoding_format\":\"base64\"}");
    const float mix[8] = {1, 1, 1, 1, 2, 2, 2, 2};
    memcpy(f.sentences[0].elmo, mix, sizeof mix);
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    const float rows[14] = {1, 2, 3, 1, 1, 1, 1, 0, 0, 0, 2, 2, 2, 2};
    AUTO(buffer_done) struct buffer expected = {0};
    base64_append(&expected, rows, sizeof rows);
    const json_t *both = json_object_get(item(&f, 0), "word_vec_elmo");
    assert_int_equal(json_string_length(both), expected.n_bytes);
    assert_memory_equal(json_string_value(both), expected.bytes, expected.n_bytes);
    reply_fixture_tear_down(&f);
}

static void base64_is_little_endian_rows(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_EMBED,
                         "{\"inputs\":[\"a\",\"\"],\"outputs\":[\"word_emb\",\"default\"],"
                         "\"encoding_format\":\"base64\"}");
    f.sentences[0].layers[0][0] = 1;
    f.sentences[0].layers[0][1] = -2;
    memset(f.sentences[0].pooled, 0, 4 * sizeof(float));
    memset(f.sentences[1].pooled, 0, 4 * sizeof(float));
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    assert_string_equal(json_string_value(json_object_get(item(&f, 0), "word_emb")),
                        "AACAPwAAAMA="); /* 00 00 80 3f 00 00 00 c0 */
    assert_string_equal(json_string_value(json_object_get(item(&f, 0), "default")),
                        "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_string_equal(json_string_value(json_object_get(item(&f, 1), "word_emb")), "");
    reply_fixture_tear_down(&f);
}

static void offsets_are_there_only_when_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *unit;
        size_t first;
    } units[] = {{"bytes", 0}, {"codepoints", 1000}, {"utf16", 2000}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct reply_fixture f;
        char body[100];
        snprintf(body, sizeof body, "{\"inputs\":[\"a bc\",\"\"],\"offsets\":\"%s\"}",
                 units[i].unit);
        reply_fixture_set_up(&f, REQUEST_TOKENIZE, body);
        reply_fixture_write(&f, REPLY_JSON);
        reply_fixture_parse(&f);
        const json_t *offsets = json_object_get(item(&f, 0), "offsets");
        assert_int_equal(json_array_size(offsets), 2);
        const json_t *second = json_array_get(offsets, 1);
        assert_int_equal(json_integer_value(json_array_get(second, 0)), units[i].first + 2);
        assert_int_equal(json_integer_value(json_array_get(second, 1)), units[i].first + 4);
        assert_int_equal(json_array_size(json_object_get(item(&f, 1), "offsets")), 0);
        reply_fixture_tear_down(&f);
    }
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_TOKENIZE, "{\"inputs\":\"a\"}");
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    assert_null(json_object_get(item(&f, 0), "offsets"));
    reply_fixture_tear_down(&f);
}

static void tokens_come_back_as_they_came(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_TOKENIZE,
                         "{\"inputs\":[[\"a \\\"b\\\\\\n\",\"\",\"\\ud83d\\ude00\"]]}");
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    const json_t *tokens = json_object_get(item(&f, 0), "tokens");
    assert_string_equal(text_at(tokens, 0), "a \"b\\\n");
    assert_string_equal(text_at(tokens, 1), "");
    assert_string_equal(text_at(tokens, 2), "\xf0\x9f\x98\x80");
    assert_usage(&f, 1, 3);
    reply_fixture_tear_down(&f);
}

static void truncation_is_told(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_TOKENIZE, "{\"inputs\":[\"a b\",\"a\"],\"max_tokens\":1}");
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    assert_true(json_is_true(json_object_get(item(&f, 0), "truncated")));
    assert_int_equal(json_array_size(json_object_get(item(&f, 0), "tokens")), 1);
    assert_true(json_is_false(json_object_get(item(&f, 1), "truncated")));
    assert_usage(&f, 2, 2);
    reply_fixture_tear_down(&f);
}

/* ---- /sentiment ---- */

static void sentiment_names_the_most_probable_label(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_SENTIMENT, "{\"inputs\":[\"a\",\"a b c\",\"\"]}");
    reply_fixture_run(&f); /* positive: 1 / (1 + n_tokens) */
    f.sentences[0].probabilities[0] = f.sentences[0].probabilities[1] = 0.5F;
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    const char *const labels[] = {"negative", "negative", "positive"}; /* of equals the first */
    const float scores[] = {0.5F, 0.75F, 1};
    for (size_t i = 0; i < 3; i++) {
        const json_t *answer = item(&f, i);
        const json_t *both = json_object_get(answer, "probabilities");
        assert_string_equal(json_string_value(json_object_get(answer, "label")), labels[i]);
        assert_float_equal((float)json_number_value(json_object_get(answer, "score")), scores[i],
                           0);
        assert_int_equal(json_object_size(both), 2);
        double sum = json_number_value(json_object_get(both, "negative")) +
                     json_number_value(json_object_get(both, "positive"));
        assert_float_equal((float)sum, 1, 1e-6F);
        assert_int_equal(json_object_size(answer), 5);
    }
    assert_string_equal(text_at(json_object_get(f.json, "labels"), 1), "positive");
    assert_usage(&f, 3, 4);
    reply_fixture_tear_down(&f);
}

/* ---- /info ---- */

static const json_t *member(const json_t *json, const char *outer, const char *inner)
{
    const json_t *value = json_object_get(json_object_get(json, outer), inner);
    assert_non_null(value);
    return value;
}

static void info_tells_model_limits_and_build(void **state)
{
    (void)state;
    struct reply_fixture f = {.model = fake_elmo_model(&(struct fake_elmo){0})};
    const struct reply_info info = {
        .plan = {1, 2, 3},
        .max_body_bytes = 4,
        .limits = {5, 6, 7},
        .queue_tokens = 8,
        .request_timeout_ms = 9,
        .version = "1.2.3",
        .commit = "abc",
    };
    reply_info(&f.out, f.model, &info);
    reply_fixture_parse(&f);
    assert_int_equal(json_integer_value(member(f.json, "model", "layer_dim")), 4);
    assert_int_equal(json_array_size(member(f.json, "model", "labels")), 2);
    assert_true(json_is_true(member(f.json, "model", "language_model")));
    const json_t *outputs = member(f.json, "model", "outputs");
    assert_int_equal(json_array_size(outputs), 5);
    assert_string_equal(text_at(outputs, 0), "word_emb");
    assert_string_equal(text_at(outputs, 2), "lstm_outputs2");
    assert_string_equal(text_at(outputs, 4), "default");
    assert_string_equal(
        json_string_value(json_object_get(member(f.json, "model", "provenance"), "corpus")),
        "none");
    assert_int_equal(json_integer_value(member(f.json, "compute", "threads")), 3);
    assert_int_equal(json_integer_value(member(f.json, "compute", "workers")), 1);
    assert_int_equal(json_integer_value(member(f.json, "compute", "batch_threads")), 2);
    const json_t *compute = json_object_get(f.json, "compute");
    assert_string_equal(json_string_value(json_object_get(compute, "dtype")), "f32");
    assert_string_equal(json_string_value(json_object_get(compute, "kernel")), "baseline");
    static const char *const limits[] = {"max_body_bytes", "max_inputs",
                                         "max_tokens",     "max_request_tokens",
                                         "queue_tokens",   "request_timeout_ms"};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        assert_int_equal(json_integer_value(member(f.json, "limits", limits[i])), 4 + i);
    assert_true(json_is_null(json_object_get(f.json, "word_vectors")));
    assert_string_equal(json_string_value(member(f.json, "build", "version")), "1.2.3");
    assert_string_equal(json_string_value(member(f.json, "build", "commit")), "abc");
    json_decref(f.json);
    buffer_done(&f.out);
}

static void info_tells_of_the_word_vectors(void **state)
{
    (void)state;
    struct reply_fixture f = {.model = fake_elmo_model(&(struct fake_elmo){0})};
    const struct reply_info info = {
        .word_vectors = reply_fixture_vectors(), .version = "1", .commit = "a"};
    reply_info(&f.out, f.model, &info);
    reply_fixture_parse(&f);
    assert_int_equal(json_integer_value(member(f.json, "word_vectors", "dim")), 3);
    assert_int_equal(json_integer_value(member(f.json, "word_vectors", "words")), 3);
    const char *name = json_string_value(member(f.json, "word_vectors", "name"));
    assert_int_equal(strncmp(name, "elmod-test-", 11), 0); /* no folder */
    const json_t *outputs = member(f.json, "model", "outputs");
    assert_int_equal(json_array_size(outputs), 7);
    assert_string_equal(text_at(outputs, 5), "word_vec");
    assert_string_equal(text_at(outputs, 6), "word_vec_elmo");
    json_decref(f.json);
    buffer_done(&f.out);
}

static void a_model_without_head_has_no_labels(void **state)
{
    (void)state;
    const struct fake_elmo without = {.without_head = true, .without_lm = true};
    struct reply_fixture f = {.model = fake_elmo_model(&without)};
    const struct reply_info info = {.version = "1", .commit = "a"};
    reply_info(&f.out, f.model, &info);
    reply_fixture_parse(&f);
    assert_int_equal(json_array_size(member(f.json, "model", "labels")), 0);
    assert_true(json_is_false(member(f.json, "model", "language_model")));
    json_decref(f.json);
    buffer_done(&f.out);
}

/* ---- Piece by piece ---- */

static const char *const piecewise_bodies[] = {
    /* A kind of request, and its body. "@" is replaced by a long token with all escaped
     * characters. */
    "e{\"inputs\":[\"a bc @ d\",\"\",\"@ @\"],\"outputs\":[\"word_emb\",\"lstm_outputs1\","
    "\"lstm_outputs2\",\"elmo\",\"default\"],\"pooling\":\"mean_max\",\"offsets\":\"utf16\"}",
    "e{\"inputs\":[\"a b c d e f g h i j k l m n o p q r s\",\"b\"],\"outputs\":[\"word_emb\","
    "\"elmo\",\"default\"],\"encoding_format\":\"base64\"}",
    "e{\"inputs\":[\"a bc @ d\",\"\"],\"outputs\":[\"word_vec\",\"word_vec_elmo\"]}",
    "e{\"inputs\":\"a b a b a b a b a b a b a b a b a b a b\",\"outputs\":[\"word_vec_elmo\"],"
    "\"encoding_format\":\"base64\"}",
    "e{\"inputs\":\"\",\"outputs\":[\"elmo\"]}",
    "e{\"inputs\":\"\",\"outputs\":[\"elmo\"],\"encoding_format\":\"base64\"}",
    "s{\"inputs\":[\"a\",\"\",\"b c\"]}",
    "s{\"inputs\":[\"a @\",\"\",\"b c\"],\"explain\":true}",
    "c{\"inputs\":[\"a x @ d\",\"\",\"xx @\"],\"offsets\":\"utf16\"}",
    "c{\"inputs\":[[\"a\",\"x y\"],[]]}",
    "t{\"inputs\":[\"a b\",\"@\",\"\"],\"offsets\":\"bytes\"}",
    "t{\"inputs\":[[\"\",\"@\",\"a\"],[]]}",
};

static void any_pieces_make_the_same_text(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,    2,    3,    7,    64,   1000, REPLY_STEP_MAX - 1,
                                   4096, 4097, 5000, 8192, 9000, 0};
    static const size_t written_ahead[] = {0, 1, 500, 5000};
    for (size_t i = 0; i < ARRAY_LEN(piecewise_bodies); i++) {
        struct reply_fixture f;
        reply_fixture_set_up_long(&f, piecewise_bodies[i]);
        reply_fixture_write(&f, REPLY_JSON);
        reply_fixture_parse(&f);
        for (size_t k = 0; k < ARRAY_LEN(sizes) * ARRAY_LEN(written_ahead); k++) {
            struct reply reply = {0};
            assert_true(
                reply_begin(&reply, REPLY_JSON, f.model, f.request, reply_fixture_outputs(&f)));
            reply_write_ahead(&reply, written_ahead[k % ARRAY_LEN(written_ahead)]);
            assert_reads(&reply, sizes[k / ARRAY_LEN(written_ahead)], &f.out, 0);
            reply_done(&reply);
        }
        reply_fixture_tear_down(&f);
    }
}

/* A piece of 100,000 tokens: the text is large, what is kept of it is not. */
static struct reply begin_large(struct reply_fixture *f, struct buffer *body, bool offsets)
{
    struct reply reply = {0};
    struct problem problem = {0};
    const struct request_limits limits = {4, 100000, 100000};
    buffer_append_text(body, "{\"inputs\":\"");
    for (size_t i = 0; i < 100000; i++)
        buffer_append_text(body, "a ");
    buffer_append_text(body, offsets ? "\",\"offsets\":\"bytes\"}" : "\"}");
    *f = (struct reply_fixture){.model = fake_elmo_model(&(struct fake_elmo){0})};
    assert_true(request_parse(&f->request, REQUEST_TOKENIZE, body->bytes, body->n_bytes, f->model,
                              &limits, &problem));
    assert_true(reply_begin(&reply, REPLY_JSON, f->model, f->request, NULL));
    return reply;
}

static void of_a_large_text_no_more_than_64_kib_and_a_step_are_kept(void **state)
{
    (void)state;
    struct reply_fixture f;
    AUTO(buffer_done) struct buffer body = {0};
    static char piece[REPLY_STEP_MAX];
    struct reply reply = begin_large(&f, &body, true);
    assert_false(reply_write_ahead(&reply, REPLY_WHOLE_MAX));
    assert_true(reply.ahead.n_bytes > REPLY_WHOLE_MAX);
    assert_true(reply.ahead.n_bytes <= REPLY_WHOLE_MAX + REPLY_STEP_MAX);
    assert_true(reply.ahead.capacity <= 2 * (REPLY_WHOLE_MAX + REPLY_STEP_MAX));
    size_t n_read = 0, n_ahead = reply.ahead.n_bytes;
    ssize_t n;
    fail_alloc_after(0); /* what was written ahead is read; the rest takes no memory */
    while ((n = reply_read(&reply, piece, sizeof piece)) > 0) {
        n_read += (size_t)n;
        assert_true(n_read < n_ahead || reply.ahead.capacity == 0);
    }
    assert_int_equal(fail_alloc_stop(), 0);
    assert_int_equal(n, 0);
    assert_true(n_read > 1500000);
    reply_done(&reply);
    reply_fixture_tear_down(&f);
}

/* Pieces smaller than a step need a little memory each. */
static void memory_that_runs_out_on_the_way_ends_the_text(void **state)
{
    (void)state;
    for (size_t n_good = 0; n_good < 50; n_good++) {
        struct reply_fixture f;
        AUTO(buffer_done) struct buffer body = {0};
        char piece[100];
        struct reply reply = begin_large(&f, &body, false);
        ssize_t n;
        fail_alloc_after(n_good);
        while ((n = reply_read(&reply, piece, sizeof piece)) > 0)
            continue;
        assert_true(fail_alloc_stop() > 0);
        assert_int_equal(n, -1);
        assert_int_equal(reply_read(&reply, piece, sizeof piece), -1); /* and stays so */
        reply_done(&reply);
        reply_fixture_tear_down(&f);
    }
}

static void memory_that_runs_out_before_it_shows_at_once(void **state)
{
    (void)state;
    for (size_t n_good = 0;; n_good++) {
        struct reply_fixture f;
        struct reply reply = {0};
        reply_fixture_set_up(&f, REQUEST_TOKENIZE, "{\"inputs\":\"a b\",\"offsets\":\"bytes\"}");
        fail_alloc_after(n_good);
        bool begun = reply_begin(&reply, REPLY_JSON, f.model, f.request, NULL);
        if (begun)
            assert_true(reply_write_ahead(&reply, REPLY_WHOLE_MAX));
        size_t n_failed = fail_alloc_stop();
        assert_int_equal(begun && !reply.ahead.failed, n_failed == 0);
        assert_int_equal(begun, n_good > 0); /* the first is for the offsets */
        reply_done(&reply);
        reply_fixture_tear_down(&f);
        if (n_failed == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_has_exactly_the_outputs_asked_for),
        cmocka_unit_test(mean_max_is_twice_as_wide),
        cmocka_unit_test(json_numbers_read_back_to_the_same_floats),
        cmocka_unit_test(word_vectors_come_alone_and_before_the_mix),
        cmocka_unit_test(without_word_vectors_nothing_is_said_of_them),
        cmocka_unit_test(word_vectors_in_base64_are_the_same_rows),
        cmocka_unit_test(base64_is_little_endian_rows),
        cmocka_unit_test(offsets_are_there_only_when_asked_for),
        cmocka_unit_test(tokens_come_back_as_they_came),
        cmocka_unit_test(truncation_is_told),
        cmocka_unit_test(sentiment_names_the_most_probable_label),
        cmocka_unit_test(info_tells_model_limits_and_build),
        cmocka_unit_test(info_tells_of_the_word_vectors),
        cmocka_unit_test(a_model_without_head_has_no_labels),
        cmocka_unit_test(any_pieces_make_the_same_text),
        cmocka_unit_test(of_a_large_text_no_more_than_64_kib_and_a_step_are_kept),
        cmocka_unit_test(memory_that_runs_out_on_the_way_ends_the_text),
        cmocka_unit_test(memory_that_runs_out_before_it_shows_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

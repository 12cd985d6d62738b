#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fail_alloc.h"
#include "fake_elmo.h"
#include "job.h"
#include "reply.h"

/* A request, its job with room for outputs, and the parsed answer. */
struct fixture {
    struct elmo_model *model;
    struct request *request;
    struct elmo_sentence sentences[4];
    struct job job;
    struct buffer out;
    json_t *json;
};

static void set_up(struct fixture *f, enum request_kind kind, const char *body)
{
    const struct request_limits limits = {4, 100, 100};
    struct problem problem = {0};
    *f = (struct fixture){.model = fake_elmo_model(&(struct fake_elmo){0})};
    if (!request_parse(&f->request, kind, body, strlen(body), f->model, &limits, &problem))
        fail_msg("%s", problem.detail);
    for (size_t i = 0; i < f->request->n_inputs; i++)
        f->sentences[i] = (struct elmo_sentence){.tokens = f->request->inputs[i].tokens,
                                                 .n_tokens = f->request->inputs[i].n_tokens,
                                                 .pooling = f->request->pooling};
    f->job = (struct job){
        .sentences = f->sentences,
        .n_sentences = f->request->n_inputs,
        .n_tokens = f->request->n_tokens,
        .wants = {f->request->layers, f->request->elmo, f->request->pooled,
                  kind == REQUEST_SENTIMENT, f->request->attributions, kind == REQUEST_SCORE},
    };
    assert_true(job_place_outputs(&f->job, f->model));
}

static const struct elmo_sentence *outputs_of(const struct fixture *f)
{
    return f->request->kind == REQUEST_TOKENIZE ? NULL : f->sentences;
}

/* The whole answer to f->out. */
static void write_all(struct fixture *f)
{
    struct reply reply = {0};
    assert_true(reply_begin(&reply, REPLY_JSON, f->model, f->request, outputs_of(f)));
    assert_true(reply_write_ahead(&reply, SIZE_MAX));
    f->out = reply.ahead;
    reply.ahead = (struct buffer){0};
    reply_done(&reply);
}

static void parse_out(struct fixture *f)
{
    json_error_t error;
    assert_false(f->out.failed);
    f->json =
        json_loadb(f->out.bytes, f->out.n_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!f->json)
        fail_msg("%s in %.*s", error.text, (int)f->out.n_bytes, f->out.bytes);
}

static void tear_down(struct fixture *f)
{
    json_decref(f->json);
    buffer_done(&f->out);
    job_release_outputs(&f->job);
    request_free(f->request);
}

static void run_fake(const struct fixture *f)
{
    struct elmo_session *session;
    assert_int_equal(elmo_session_new(&session, f->model, NULL), 0);
    assert_int_equal(elmo_session_run(session, f->sentences, f->job.n_sentences, NULL), 0);
    elmo_session_free(session);
}

static const json_t *item(const struct fixture *f, size_t i)
{
    const json_t *data = json_object_get(f->json, "data");
    assert_int_equal(json_array_size(data), f->request->n_inputs);
    return json_array_get(data, i);
}

static const char *text_at(const json_t *array, size_t i)
{
    return json_string_value(json_array_get(array, i));
}

static void assert_usage(const struct fixture *f, json_int_t n_inputs, json_int_t n_tokens)
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
    struct fixture f;
    set_up(&f, REQUEST_EMBED,
           "{\"inputs\":[\"a bc\",\"\"],\"outputs\":[\"word_emb\",\"lstm_outputs2\"]}");
    run_fake(&f);
    write_all(&f);
    parse_out(&f);
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
    tear_down(&f);
}

static void mean_max_is_twice_as_wide(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_EMBED,
           "{\"inputs\":\"a\",\"outputs\":[\"default\"],\"pooling\":\"mean_max\"}");
    run_fake(&f);
    write_all(&f);
    parse_out(&f);
    assert_int_equal(json_array_size(json_object_get(item(&f, 0), "default")), 8);
    tear_down(&f);
}

static void fill_with_any_finite_bits(float *floats, size_t n, uint64_t *random)
{
    for (size_t i = 0; i < n; i++) {
        do {
            *random = *random * 6364136223846793005U + 1442695040888963407U;
            uint32_t bits = (uint32_t)(*random >> 32);
            memcpy(&floats[i], &bits, sizeof bits);
        } while (!isfinite(floats[i]));
    }
}

static void json_numbers_read_back_to_the_same_floats(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int round = 0; round < 2000; round++) {
        struct fixture f;
        set_up(&f, REQUEST_EMBED, "{\"inputs\":\"a b\",\"outputs\":[\"elmo\"]}");
        fill_with_any_finite_bits(f.sentences[0].elmo, 8, &random);
        write_all(&f);
        parse_out(&f);
        const json_t *rows = json_object_get(item(&f, 0), "elmo");
        for (size_t i = 0; i < 8; i++) {
            const json_t *value = json_array_get(json_array_get(rows, i / 4), i % 4);
            float read = (float)json_number_value(value);
            assert_memory_equal(&read, &f.sentences[0].elmo[i], sizeof read);
        }
        tear_down(&f);
    }
}

static void base64_is_little_endian_rows(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_EMBED,
           "{\"inputs\":[\"a\",\"\"],\"outputs\":[\"word_emb\",\"default\"],"
           "\"encoding_format\":\"base64\"}");
    f.sentences[0].layers[0][0] = 1;
    f.sentences[0].layers[0][1] = -2;
    memset(f.sentences[0].pooled, 0, 4 * sizeof(float));
    memset(f.sentences[1].pooled, 0, 4 * sizeof(float));
    write_all(&f);
    parse_out(&f);
    assert_string_equal(json_string_value(json_object_get(item(&f, 0), "word_emb")),
                        "AACAPwAAAMA="); /* 00 00 80 3f 00 00 00 c0 */
    assert_string_equal(json_string_value(json_object_get(item(&f, 0), "default")),
                        "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_string_equal(json_string_value(json_object_get(item(&f, 1), "word_emb")), "");
    tear_down(&f);
}

static void offsets_are_there_only_when_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *unit;
        size_t first;
    } units[] = {{"bytes", 0}, {"codepoints", 1000}, {"utf16", 2000}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct fixture f;
        char body[100];
        snprintf(body, sizeof body, "{\"inputs\":[\"a bc\",\"\"],\"offsets\":\"%s\"}",
                 units[i].unit);
        set_up(&f, REQUEST_TOKENIZE, body);
        write_all(&f);
        parse_out(&f);
        const json_t *offsets = json_object_get(item(&f, 0), "offsets");
        assert_int_equal(json_array_size(offsets), 2);
        const json_t *second = json_array_get(offsets, 1);
        assert_int_equal(json_integer_value(json_array_get(second, 0)), units[i].first + 2);
        assert_int_equal(json_integer_value(json_array_get(second, 1)), units[i].first + 4);
        assert_int_equal(json_array_size(json_object_get(item(&f, 1), "offsets")), 0);
        tear_down(&f);
    }
    struct fixture f;
    set_up(&f, REQUEST_TOKENIZE, "{\"inputs\":\"a\"}");
    write_all(&f);
    parse_out(&f);
    assert_null(json_object_get(item(&f, 0), "offsets"));
    tear_down(&f);
}

static void tokens_come_back_as_they_came(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_TOKENIZE, "{\"inputs\":[[\"a \\\"b\\\\\\n\",\"\",\"\\ud83d\\ude00\"]]}");
    write_all(&f);
    parse_out(&f);
    const json_t *tokens = json_object_get(item(&f, 0), "tokens");
    assert_string_equal(text_at(tokens, 0), "a \"b\\\n");
    assert_string_equal(text_at(tokens, 1), "");
    assert_string_equal(text_at(tokens, 2), "\xf0\x9f\x98\x80");
    assert_usage(&f, 1, 3);
    tear_down(&f);
}

static void truncation_is_told(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_TOKENIZE, "{\"inputs\":[\"a b\",\"a\"],\"max_tokens\":1}");
    write_all(&f);
    parse_out(&f);
    assert_true(json_is_true(json_object_get(item(&f, 0), "truncated")));
    assert_int_equal(json_array_size(json_object_get(item(&f, 0), "tokens")), 1);
    assert_true(json_is_false(json_object_get(item(&f, 1), "truncated")));
    assert_usage(&f, 2, 2);
    tear_down(&f);
}

/* ---- /sentiment ---- */

static void sentiment_names_the_most_probable_label(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_SENTIMENT, "{\"inputs\":[\"a\",\"a b c\",\"\"]}");
    run_fake(&f); /* positive: 1 / (1 + n_tokens) */
    f.sentences[0].probabilities[0] = f.sentences[0].probabilities[1] = 0.5F;
    write_all(&f);
    parse_out(&f);
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
    tear_down(&f);
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
    struct fixture f = {.model = fake_elmo_model(&(struct fake_elmo){0})};
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
    parse_out(&f);
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
    assert_string_equal(json_string_value(member(f.json, "build", "version")), "1.2.3");
    assert_string_equal(json_string_value(member(f.json, "build", "commit")), "abc");
    json_decref(f.json);
    buffer_done(&f.out);
}

static void a_model_without_head_has_no_labels(void **state)
{
    (void)state;
    const struct fake_elmo without = {.without_head = true, .without_lm = true};
    struct fixture f = {.model = fake_elmo_model(&without)};
    const struct reply_info info = {.version = "1", .commit = "a"};
    reply_info(&f.out, f.model, &info);
    parse_out(&f);
    assert_int_equal(json_array_size(member(f.json, "model", "labels")), 0);
    assert_true(json_is_false(member(f.json, "model", "language_model")));
    json_decref(f.json);
    buffer_done(&f.out);
}

/* ---- Piece by piece ---- */

static const char *const piecewise_bodies[] = {
    /* A kind of request, and its body. "@" stands for a long token with all that is escaped. */
    "e{\"inputs\":[\"a bc @ d\",\"\",\"@ @\"],\"outputs\":[\"word_emb\",\"lstm_outputs1\","
    "\"lstm_outputs2\",\"elmo\",\"default\"],\"pooling\":\"mean_max\",\"offsets\":\"utf16\"}",
    "e{\"inputs\":[\"a b c d e f g h i j k l m n o p q r s\",\"b\"],\"outputs\":[\"word_emb\","
    "\"elmo\",\"default\"],\"encoding_format\":\"base64\"}",
    "e{\"inputs\":\"\",\"outputs\":[\"elmo\"]}",
    "e{\"inputs\":\"\",\"outputs\":[\"elmo\"],\"encoding_format\":\"base64\"}",
    "s{\"inputs\":[\"a\",\"\",\"b c\"]}",
    "s{\"inputs\":[\"a @\",\"\",\"b c\"],\"explain\":true}",
    "c{\"inputs\":[\"a x @ d\",\"\",\"xx @\"],\"offsets\":\"utf16\"}",
    "c{\"inputs\":[[\"a\",\"x y\"],[]]}",
    "t{\"inputs\":[\"a b\",\"@\",\"\"],\"offsets\":\"bytes\"}",
    "t{\"inputs\":[[\"\",\"@\",\"a\"],[]]}",
};

/* Quotes, controls, characters of one to four bytes: pieces of it end anywhere. */
static void append_long_token(struct buffer *body)
{
    static const char *const parts[] = {"\\\"",     "\\u0001",      "x",
                                        "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < 1500; i++)
        buffer_append_text(body, parts[(i * i + i / 7) % ARRAY_LEN(parts)]);
}

static void set_up_piecewise(struct fixture *f, const char *body)
{
    AUTO(buffer_done) struct buffer text = {0};
    uint64_t random = 5;
    enum request_kind kind = *body == 'e'   ? REQUEST_EMBED
                             : *body == 's' ? REQUEST_SENTIMENT
                             : *body == 'c' ? REQUEST_SCORE
                                            : REQUEST_TOKENIZE;
    for (const char *c = body + 1; *c; c++) {
        if (*c == '@')
            append_long_token(&text);
        else
            buffer_append_char(&text, *c);
    }
    buffer_append(&text, "", 1);
    assert_false(text.failed);
    set_up(f, kind, text.bytes);
    fill_with_any_finite_bits(f->job.outputs, job_output_floats(&f->job, f->model), &random);
    if (kind != REQUEST_EMBED)
        run_fake(f);
}

static size_t piece_size(size_t size, uint64_t *random)
{
    if (size > 0)
        return size;
    *random = *random * 6364136223846793005U + 1442695040888963407U;
    return 1 + (size_t)(*random >> 33) % 9000;
}

/* Reads the rest in pieces of `size`, 0: of random sizes, and compares it. */
static void assert_reads(struct reply *reply, size_t size, const struct buffer *expected,
                         size_t n_done)
{
    uint64_t random = 11;
    char *piece = malloc(9000);
    assert_non_null(piece);
    for (;;) {
        size_t max = piece_size(size, &random);
        ssize_t n = reply_read(reply, piece, max);
        if (n == 0)
            break;
        assert_true(n > 0 && (size_t)n <= max && (size_t)n <= expected->n_bytes - n_done);
        assert_memory_equal(piece, expected->bytes + n_done, (size_t)n);
        n_done += (size_t)n;
    }
    assert_int_equal(n_done, expected->n_bytes);
    assert_int_equal(reply_read(reply, piece, 9000), 0); /* and stays at its end */
    free(piece);
}

static void any_pieces_make_the_same_text(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,    2,    3,    7,    64,   1000, REPLY_STEP_MAX - 1,
                                   4096, 4097, 5000, 8192, 9000, 0};
    static const size_t written_ahead[] = {0, 1, 500, 5000};
    for (size_t i = 0; i < ARRAY_LEN(piecewise_bodies); i++) {
        struct fixture f;
        set_up_piecewise(&f, piecewise_bodies[i]);
        write_all(&f);
        parse_out(&f);
        for (size_t k = 0; k < ARRAY_LEN(sizes) * ARRAY_LEN(written_ahead); k++) {
            struct reply reply = {0};
            assert_true(reply_begin(&reply, REPLY_JSON, f.model, f.request, outputs_of(&f)));
            reply_write_ahead(&reply, written_ahead[k % ARRAY_LEN(written_ahead)]);
            assert_reads(&reply, sizes[k / ARRAY_LEN(written_ahead)], &f.out, 0);
            reply_done(&reply);
        }
        tear_down(&f);
    }
}

/* A piece of 100,000 tokens: the text is large, what is kept of it is not. */
static struct reply begin_large(struct fixture *f, struct buffer *body, bool offsets)
{
    struct reply reply = {0};
    struct problem problem = {0};
    const struct request_limits limits = {4, 100000, 100000};
    buffer_append_text(body, "{\"inputs\":\"");
    for (size_t i = 0; i < 100000; i++)
        buffer_append_text(body, "a ");
    buffer_append_text(body, offsets ? "\",\"offsets\":\"bytes\"}" : "\"}");
    *f = (struct fixture){.model = fake_elmo_model(&(struct fake_elmo){0})};
    assert_true(request_parse(&f->request, REQUEST_TOKENIZE, body->bytes, body->n_bytes, f->model,
                              &limits, &problem));
    assert_true(reply_begin(&reply, REPLY_JSON, f->model, f->request, NULL));
    return reply;
}

static void of_a_large_text_no_more_than_64_kib_and_a_step_are_kept(void **state)
{
    (void)state;
    struct fixture f;
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
    tear_down(&f);
}

/* Pieces smaller than a step need a little memory each. */
static void memory_that_runs_out_on_the_way_ends_the_text(void **state)
{
    (void)state;
    for (size_t n_good = 0; n_good < 50; n_good++) {
        struct fixture f;
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
        tear_down(&f);
    }
}

static void memory_that_runs_out_before_it_shows_at_once(void **state)
{
    (void)state;
    for (size_t n_good = 0;; n_good++) {
        struct fixture f;
        struct reply reply = {0};
        set_up(&f, REQUEST_TOKENIZE, "{\"inputs\":\"a b\",\"offsets\":\"bytes\"}");
        fail_alloc_after(n_good);
        bool begun = reply_begin(&reply, REPLY_JSON, f.model, f.request, NULL);
        if (begun)
            assert_true(reply_write_ahead(&reply, REPLY_WHOLE_MAX));
        size_t n_failed = fail_alloc_stop();
        assert_int_equal(begun && !reply.ahead.failed, n_failed == 0);
        assert_int_equal(begun, n_good > 0); /* the first is for the offsets */
        reply_done(&reply);
        tear_down(&f);
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
        cmocka_unit_test(base64_is_little_endian_rows),
        cmocka_unit_test(offsets_are_there_only_when_asked_for),
        cmocka_unit_test(tokens_come_back_as_they_came),
        cmocka_unit_test(truncation_is_told),
        cmocka_unit_test(sentiment_names_the_most_probable_label),
        cmocka_unit_test(info_tells_model_limits_and_build),
        cmocka_unit_test(a_model_without_head_has_no_labels),
        cmocka_unit_test(any_pieces_make_the_same_text),
        cmocka_unit_test(of_a_large_text_no_more_than_64_kib_and_a_step_are_kept),
        cmocka_unit_test(memory_that_runs_out_on_the_way_ends_the_text),
        cmocka_unit_test(memory_that_runs_out_before_it_shows_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What every path answers, with the model that ships. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

static struct server *server;

static int start(void **state)
{
    (void)state;
    const char *const flags[] = {"--max-body-bytes",
                                 "100000",
                                 "--max-inputs",
                                 "8",
                                 "--max-tokens",
                                 "50",
                                 "--max-request-tokens",
                                 "100",
                                 "--threads",
                                 "2",
                                 NULL};
    server = server_start(SERVER_REAL, flags);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(server);
    return 0;
}

/* A 200 with JSON; json_decref what comes back. */
static json_t *post_ok(const char *path, const char *body)
{
    struct response r = post(server, path, body);
    if (r.status != 200)
        fail_msg("%u: %s", r.status, r.body);
    assert_field(&r, "Content-Type", "application/json");
    json_t *json = response_json(&r);
    response_done(&r);
    return json;
}

static const json_t *item(const json_t *json, size_t i)
{
    return json_array_get(json_object_get(json, "data"), i);
}

static void embed_gives_word_and_sentence_vectors(void **state)
{
    (void)state;
    json_t *json = post_ok("/embed", "{\"inputs\":[\"A gripping film.\",\"\"]}");
    assert_string_equal(json_string_value(json_object_get(json, "model")), "elmo-small");
    const json_t *first = item(json, 0), *empty = item(json, 1);
    assert_int_equal(json_array_size(json_object_get(first, "tokens")), 4);
    assert_int_equal(json_array_size(json_object_get(first, "elmo")), 4);
    const json_t *row = json_array_get(json_object_get(first, "elmo"), 3);
    const json_t *pooled = json_object_get(first, "default");
    assert_int_equal(json_array_size(row), json_array_size(pooled));
    assert_int_equal(json_array_size(json_object_get(empty, "elmo")), 0);
    for (size_t i = 0; i < json_array_size(pooled); i++) {
        double mean = 0;
        for (size_t t = 0; t < 4; t++)
            mean += json_number_value(
                        json_array_get(json_array_get(json_object_get(first, "elmo"), t), i)) /
                    4;
        assert_true(fabs(mean - json_number_value(json_array_get(pooled, i))) < 1e-5);
        assert_true(json_number_value(json_array_get(json_object_get(empty, "default"), i)) == 0);
    }
    json_decref(json);
}

static void sentiment_tells_good_from_bad(void **state)
{
    (void)state;
    json_t *json = post_ok("/sentiment",
                           "{\"inputs\":[\"A wonderful, moving film. I loved every minute of it.\","
                           "\"An awful, boring waste of time. I hated every minute of it.\"]}");
    assert_string_equal(json_string_value(json_object_get(item(json, 0), "label")), "positive");
    assert_string_equal(json_string_value(json_object_get(item(json, 1), "label")), "negative");
    json_decref(json);
}

static void tokenize_gives_offsets_in_the_unit_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *unit;
        json_int_t begin, end; /* of the last token */
    } units[] = {{"bytes", 9, 12}, {"codepoints", 5, 8}, {"utf16", 6, 9}};
    for (size_t i = 0; i < 3; i++) {
        char body[200];
        snprintf(body, sizeof body,
                 "{\"inputs\":\"\\u00e9t \\ud83d\\ude00 end\",\"offsets\":\"%s\"}", units[i].unit);
        json_t *json = post_ok("/tokenize", body);
        const json_t *offsets = json_object_get(item(json, 0), "offsets");
        const json_t *last = json_array_get(offsets, json_array_size(offsets) - 1);
        assert_int_equal(json_integer_value(json_array_get(last, 0)), units[i].begin);
        assert_int_equal(json_integer_value(json_array_get(last, 1)), units[i].end);
        json_decref(json);
    }
}

static void info_names_model_and_limits(void **state)
{
    (void)state;
    struct response r = get(server, "/info");
    assert_int_equal(r.status, 200);
    json_t *json = response_json(&r);
    const json_t *limits = json_object_get(json, "limits");
    assert_int_equal(json_integer_value(json_object_get(limits, "max_tokens")), 50);
    const json_t *model = json_object_get(json, "model");
    assert_int_equal(strlen(json_string_value(json_object_get(model, "sha256"))), 64);
    assert_true(json_is_object(json_object_get(model, "provenance")));
    const json_t *compute = json_object_get(json, "compute");
    assert_int_equal(json_integer_value(json_object_get(compute, "threads")), 2);
    json_decref(json);
    response_done(&r);
}

static void health_is_alive_and_ready(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"/health/live", "{\"status\":\"alive\"}"},
        {"/health/ready", "{\"status\":\"ready\"}"},
        {"/health", "{\"status\":\"ready\"}"},
    };
    for (size_t i = 0; i < 3; i++) {
        struct response r = get(server, expected[i][0]);
        assert_int_equal(r.status, 200);
        assert_string_equal(r.body, expected[i][1]);
        response_done(&r);
    }
}

static void openapi_is_the_file_of_the_project(void **state)
{
    (void)state;
    char path[1024], *file = malloc(1 << 20);
    const char *root = getenv("ELMOD_SOURCE_ROOT");
    assert_true(root != NULL && file != NULL);
    snprintf(path, sizeof path, "%s/openapi.yaml", root);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    size_t n = fread(file, 1, 1 << 20, stream);
    fclose(stream);
    struct response r = get(server, "/openapi.yaml");
    assert_field(&r, "Content-Type", "application/yaml");
    assert_int_equal(r.n_body, n);
    assert_memory_equal(r.body, file, n);
    free(file);
    response_done(&r);
}

static void metrics_count_what_happens(void **state)
{
    (void)state;
    wait_for_metric(server, "elmod_inflight_requests", 1); /* those before are counted */
    double before = metric(server, "elmod_requests_total{path=\"/sentiment\",code=\"200\"}");
    double tokens = metric(server, "elmod_tokens_total");
    json_decref(post_ok("/sentiment", "{\"inputs\":[[\"a\",\"b\",\"c\"]]}"));
    wait_for_metric(server, "elmod_requests_total{path=\"/sentiment\",code=\"200\"}", before + 1);
    assert_true(metric(server, "elmod_tokens_total") == tokens + 3);
    double hits = metric(server, "elmod_word_cache_hits_total");
    double misses = metric(server, "elmod_word_cache_misses_total");
    json_decref(post_ok("/sentiment", "{\"inputs\":[[\"c\",\"b\",\"a\"]]}"));
    assert_true(metric(server, "elmod_word_cache_hits_total") == hits + 3 + 2); /* <S>, </S> */
    assert_true(metric(server, "elmod_word_cache_misses_total") == misses);
    struct response r = get(server, "/metrics");
    assert_field(&r, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    response_done(&r);
}

/* ---- Headers ---- */

/* Sends "GET path" or a good POST with these header lines. */
static struct response ask(const char *method_and_path, const char *more, const char *body)
{
    char head[2048];
    struct client client = client_open(server);
    snprintf(head, sizeof head, "%s HTTP/1.1\r\nHost: test\r\n%s", method_and_path, more);
    client_send_text(&client, head);
    if (body) {
        snprintf(head, sizeof head, "Content-Length: %zu\r\n", strlen(body));
        client_send_text(&client, head);
    }
    client_send_text(&client, "\r\n");
    client_send_text(&client, body ? body : "");
    struct response r = client_read(&client);
    client_close(&client);
    return r;
}

static void a_request_id_is_echoed_or_made(void **state)
{
    (void)state;
    struct response echoed = ask("GET /info", "X-Request-Id: a:b/c-1\r\n", NULL);
    assert_field(&echoed, "X-Request-Id", "a:b/c-1");
    struct response made = ask("GET /info", "X-Request-Id: \"no\"\r\n", NULL);
    struct response other = ask("GET /info", "", NULL);
    char *id = response_field(&made, "X-Request-Id");
    char *other_id = response_field(&other, "X-Request-Id");
    assert_int_equal(strlen(id), 32);
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
    assert_string_not_equal(id, other_id);
    free(id);
    free(other_id);
    response_done(&echoed);
    response_done(&made);
    response_done(&other);
}

static void server_timing_names_every_stage(void **state)
{
    (void)state;
    double parse, queue, compute, write;
    struct response r = post(server, "/sentiment", "{\"inputs\":\"A gripping film.\"}");
    char *timing = response_field(&r, "Server-Timing");
    assert_non_null(timing);
    assert_int_equal(sscanf(timing, "parse;dur=%lf, queue;dur=%lf, compute;dur=%lf, write;dur=%lf",
                            &parse, &queue, &compute, &write),
                     4);
    assert_true(parse > 0 && queue >= 0 && compute > 0 && write > 0);
    free(timing);
    response_done(&r);
}

struct header_case {
    const char *method_and_path, *more, *body;
    unsigned status;
    const char *code;
};

static void headers_decide_as_the_contract_says(void **state)
{
    (void)state;
#define GOOD "{\"inputs\":\"a\"}"
#define TYPE "Content-Type: application/json\r\n"
    static const struct header_case cases[] = {
        {"POST /tokenize", TYPE, GOOD, 200, NULL},
        {"POST /tokenize", "Content-Type: application/json; charset=UTF-8\r\n", GOOD, 200, NULL},
        {"POST /tokenize", TYPE "Content-Encoding: identity\r\n", GOOD, 200, NULL},
        {"POST /tokenize", TYPE "Accept: text/html, */*;q=0.1\r\n", GOOD, 200, NULL},
        {"POST /tokenize", TYPE "Accept: text/html\r\nAccept: application/*\r\n", GOOD, 200, NULL},
        {"POST /tokenize?a=b", TYPE, GOOD, 200, NULL},
        {"POST /%74okenize", TYPE, GOOD, 200, NULL},
        {"POST http://test/tokenize", TYPE, GOOD, 200, NULL},
        {"GET /health", "Accept: text/html\r\n", NULL, 200, NULL},
        {"GET /metrics", "Accept: application/openmetrics-text\r\n", NULL, 200, NULL},
        {"GET /", "", NULL, 200, NULL},
        {"GET http://test", "", NULL, 200, NULL},
        {"GET /web/style.css?v=1", "Accept: application/json\r\n", NULL, 200, NULL},
        {"GET /web/", "", NULL, 404, "not_found"},
        {"GET /web/style.css/", "", NULL, 404, "not_found"},
        {"GET /nothing", "", NULL, 404, "not_found"},
        {"GET /info/", "", NULL, 404, "not_found"},
        {"GET /INFO", "", NULL, 404, "not_found"},
        {"GET //info", "", NULL, 404, "not_found"},
        {"GET /info%00", "", NULL, 404, "not_found"},
        {"POST /nothing", TYPE, GOOD, 404, "not_found"},
        {"GET /embed", "", NULL, 405, "method_not_allowed"},
        {"PUT /embed", TYPE, GOOD, 405, "method_not_allowed"},
        {"OPTIONS /embed", "", NULL, 405, "method_not_allowed"},
        {"post /embed", TYPE, GOOD, 405, "method_not_allowed"},
        {"POST /info", TYPE, GOOD, 405, "method_not_allowed"},
        {"POST /", TYPE, GOOD, 405, "method_not_allowed"},
        {"DELETE /health/live", "", NULL, 405, "method_not_allowed"},
        {"POST /embed", TYPE "Accept: application/x-npy\r\n", GOOD, 406, "not_acceptable"},
        {"POST /sentiment", TYPE "Accept: application/vnd.safetensors\r\n", GOOD, 406,
         "not_acceptable"},
        {"POST /tokenize", TYPE "Accept: */*, application/json;q=0\r\n", GOOD, 406,
         "not_acceptable"},
        {"GET /info", "Accept: text/html\r\n", NULL, 406, "not_acceptable"},
        {"POST /embed", "", GOOD, 415, "unsupported_media_type"},
        {"POST /embed", "Content-Type: text/plain\r\n", GOOD, 415, "unsupported_media_type"},
        {"POST /embed", "Content-Type: application/json;charset=latin1\r\n", GOOD, 415,
         "unsupported_media_type"},
        {"POST /embed", TYPE TYPE, GOOD, 415, "unsupported_media_type"},
        {"POST /embed", TYPE "Content-Encoding: br\r\n", GOOD, 415, "unsupported_media_type"},
        {"POST /embed", TYPE "X-Request-Timeout-Ms: soon\r\n", GOOD, 400, "bad_header"},
        {"POST /embed", TYPE "X-Request-Timeout-Ms: 0\r\n", GOOD, 400, "bad_header"},
        {"POST /sentiment", TYPE "X-Request-Timeout-Ms: 60000\r\n", GOOD, 200, NULL},
        {"GET /info", "Host: again\r\n", NULL, 400, "bad_header"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct response r = ask(cases[i].method_and_path, cases[i].more, cases[i].body);
        if (r.status != cases[i].status)
            fail_msg("%s %s: %u %s", cases[i].method_and_path, cases[i].more, r.status, r.body);
        if (cases[i].code)
            assert_problem(&r, cases[i].status, cases[i].code);
        response_done(&r);
    }
}

static void a_405_names_the_methods_that_are_allowed(void **state)
{
    (void)state;
    struct response r = ask("GET /embed", "", NULL);
    assert_field(&r, "Allow", "POST");
    response_done(&r);
    r = ask("DELETE /info", "", NULL);
    assert_field(&r, "Allow", "GET, HEAD");
    response_done(&r);
}

static void head_answers_like_get_without_the_body(void **state)
{
    (void)state;
    static const char *const paths[] = {"/info", "/health",      "/health/live", "/openapi.yaml",
                                        "/",     "/web/main.js", "/nothing"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char head[200];
        struct response of_head, of_get = get(server, paths[i]);
        struct client client = client_open(server);
        snprintf(head, sizeof head, "HEAD %s HTTP/1.1\r\nHost: test\r\n\r\n", paths[i]);
        client_send_text(&client, head);
        assert_true(client_try_read(&client, true, &of_head));
        assert_int_equal(of_head.status, of_get.status);
        static const char *const names[] = {"Content-Type", "Content-Length"};
        for (size_t k = 0; k < 2; k++) {
            char *value = response_field(&of_get, names[k]);
            assert_field(&of_head, names[k], value);
            free(value);
        }
        client_get(&client, "/health/live", ""); /* nothing of a body stands before its answer */
        struct response next = client_read(&client);
        assert_int_equal(next.status, 200);
        response_done(&next);
        response_done(&of_head);
        response_done(&of_get);
        client_close(&client);
    }
}

/* ---- Bodies ---- */

struct body_case {
    const char *path, *body;
    unsigned status;
    const char *code, *pointer;
};

static void bodies_are_refused_with_the_place_to_blame(void **state)
{
    (void)state;
    static const struct body_case cases[] = {
        {"/embed", "", 400, "invalid_json", "#"},
        {"/embed", "{", 400, "invalid_json", "#"},
        {"/embed", "{\"inputs\":\"\xff\"}", 400, "invalid_utf8", "#"},
        {"/embed", "{\"inputs\":\"a\",\"inputs\":\"a\"}", 400, "duplicate_key", "#"},
        {"/embed", "{\"inputs\":\"\\u0000\"}", 400, "nul_character", "#"},
        {"/tokenize", "{}", 422, "missing_field", "#/inputs"},
        {"/tokenize", "{\"inputs\":\"a\",\"x\":1}", 422, "unknown_field", "#/x"},
        {"/sentiment", "{\"inputs\":[[\"a\",1]]}", 422, "invalid_type", "#/inputs/0/1"},
        {"/embed", "{\"inputs\":\"a\",\"outputs\":[\"elmo\",\"b\"]}", 422, "invalid_value",
         "#/outputs/1"},
        {"/embed", "{\"inputs\":[1,2,3,4,5,6,7,8,9]}", 413, "too_many_inputs", "#/inputs"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct response r = post(server, cases[i].path, cases[i].body);
        assert_problem(&r, cases[i].status, cases[i].code);
        json_t *problem = response_json(&r);
        const json_t *error = json_array_get(json_object_get(problem, "errors"), 0);
        assert_string_equal(json_string_value(json_object_get(error, "pointer")), cases[i].pointer);
        assert_string_equal(json_string_value(json_object_get(problem, "instance")), cases[i].path);
        json_decref(problem);
        response_done(&r);
    }
}

/* A body with one input of n one-letter tokens. */
static char *body_of_tokens(size_t n, const char *rest)
{
    char *body = malloc(2 * n + strlen(rest) + 32);
    assert_non_null(body);
    size_t at = (size_t)sprintf(body, "{\"inputs\":[\"");
    for (size_t i = 0; i < n; i++) {
        body[at++] = 'a';
        body[at++] = ' ';
    }
    sprintf(body + at, "\"]%s}", rest);
    return body;
}

static void too_long_inputs_are_cut_or_refused(void **state)
{
    (void)state;
    char *cut = body_of_tokens(60, ""), *refused = body_of_tokens(60, ",\"truncate\":false");
    json_t *json = post_ok("/tokenize", cut);
    assert_true(json_is_true(json_object_get(item(json, 0), "truncated")));
    assert_int_equal(json_array_size(json_object_get(item(json, 0), "tokens")), 50);
    json_decref(json);
    struct response r = post(server, "/tokenize", refused);
    assert_problem(&r, 422, "input_too_long");
    json = response_json(&r);
    assert_int_equal(json_integer_value(json_object_get(json, "limit")), 50);
    assert_int_equal(json_integer_value(json_object_get(json, "actual")), 60);
    json_decref(json);
    response_done(&r);
    free(cut);
    free(refused);
}

static void a_mix_that_overflows_is_the_requests_fault(void **state)
{
    (void)state;
    struct response r = post(server, "/embed",
                             "{\"inputs\":\"A gripping film.\",\"mix\":{\"weights\":[1e6,1e6,1e6],"
                             "\"weights_are\":\"normalized\",\"gamma\":1e6}}");
    assert_int_equal(r.status, 200); /* the limits of the mix keep it finite */
    response_done(&r);
}

static void base64_holds_the_same_floats_as_json(void **state)
{
    (void)state;
    json_t *numbers =
        post_ok("/embed", "{\"inputs\":\"A gripping film.\",\"outputs\":[\"default\"]}");
    json_t *text = post_ok("/embed", "{\"inputs\":\"A gripping film.\",\"outputs\":[\"default\"],"
                                     "\"encoding_format\":\"base64\"}");
    const json_t *vector = json_object_get(item(numbers, 0), "default");
    const char *base64 = json_string_value(json_object_get(item(text, 0), "default"));
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = json_array_size(vector);
    assert_int_equal(strlen(base64), (4 * n + 2) / 3 * 4);
    uint32_t bits = 0;
    size_t n_bits = 0, n_bytes = 0;
    unsigned char *bytes = malloc(4 * n);
    assert_non_null(bytes);
    for (const char *c = base64; *c && *c != '='; c++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *c) - digits);
        n_bits += 6;
        if (n_bits >= 8)
            bytes[n_bytes++] = (unsigned char)(bits >> (n_bits -= 8));
    }
    assert_int_equal(n_bytes, 4 * n);
    for (size_t i = 0; i < n; i++) {
        float number = (float)json_number_value(json_array_get(vector, i)), decoded;
        memcpy(&decoded, bytes + 4 * i, sizeof decoded);
        assert_memory_equal(&number, &decoded, sizeof number);
    }
    free(bytes);
    json_decref(numbers);
    json_decref(text);
}

/* ---- Log ---- */

static void every_request_is_logged_once_without_its_text(void **state)
{
    (void)state;
    static const char traceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct client client = client_open(server);
    client_post(&client, "/tokenize?SECRET",
                "X-Request-Id: logged-once\r\nX-Secret: SECRET\r\nTraceparent: "
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
                "{\"inputs\":\"SECRET words\"}");
    struct response r = client_read(&client);
    assert_int_equal(r.status, 200);
    response_done(&r);
    client_get(&client, "/SECRET", "X-Request-Id: second\r\n");
    r = client_read(&client);
    response_done(&r);
    client_close(&client);
    wait_for_metric(server, "elmod_inflight_requests", 1); /* the scrape itself */
    char *log = server_log(server);
    char *line = strstr(log, "logged-once");
    assert_non_null(line);
    assert_null(strstr(line + 1, "logged-once"));
    char *end = strchr(line, '\n');
    assert_non_null(end);
    *end = '\0';
    assert_non_null(strstr(line, traceparent));
    assert_non_null(strstr(line, "\"method\":\"POST\",\"path\":\"/tokenize\",\"status\":200"));
    assert_non_null(strstr(line, "\"tokens\":2"));
    *end = '\n';
    assert_non_null(strstr(log, "\"path\":\"other\",\"status\":404"));
    assert_null(strstr(log, "SECRET"));
    free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_gives_word_and_sentence_vectors),
        cmocka_unit_test(sentiment_tells_good_from_bad),
        cmocka_unit_test(tokenize_gives_offsets_in_the_unit_asked_for),
        cmocka_unit_test(info_names_model_and_limits),
        cmocka_unit_test(health_is_alive_and_ready),
        cmocka_unit_test(openapi_is_the_file_of_the_project),
        cmocka_unit_test(metrics_count_what_happens),
        cmocka_unit_test(a_request_id_is_echoed_or_made),
        cmocka_unit_test(server_timing_names_every_stage),
        cmocka_unit_test(headers_decide_as_the_contract_says),
        cmocka_unit_test(a_405_names_the_methods_that_are_allowed),
        cmocka_unit_test(head_answers_like_get_without_the_body),
        cmocka_unit_test(bodies_are_refused_with_the_place_to_blame),
        cmocka_unit_test(too_long_inputs_are_cut_or_refused),
        cmocka_unit_test(a_mix_that_overflows_is_the_requests_fault),
        cmocka_unit_test(base64_holds_the_same_floats_as_json),
        cmocka_unit_test(every_request_is_logged_once_without_its_text),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

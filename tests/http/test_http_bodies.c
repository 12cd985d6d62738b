/* The form that an answer has by Accept, and large answers in binary form. What the bytes mean is
 * tested in test_reply_binary and tests/contract/test_bodies.py. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

#define N_TOKENS 300000 /* 4.8 MB of vectors: more than the sockets take at once */

#define JSON        "application/json"
#define SAFETENSORS "application/vnd.safetensors"
#define NPY         "application/x-npy"
#define PROBLEM     "application/problem+json"

static struct server *start(void)
{
    static const char *const flags[] = {
        "--max-tokens", "400000", "--max-request-tokens", "400000", "--queue-tokens",
        "400000",       NULL};
    return server_start(SERVER_FAKE, flags);
}

#define ONE_OUTPUT  "{\"inputs\":[\"a\",\"b\"],\"outputs\":[\"default\"]}"
#define TWO_OUTPUTS "{\"inputs\":[\"a\",\"b\"]}"

static void accept_chooses_the_form(void **state)
{
    (void)state;
    static const struct {
        const char *path, *accept, *body, *type;
    } cases[] = {
        {"/embed", "", ONE_OUTPUT, JSON},
        {"/embed", "Accept: */*\r\n", ONE_OUTPUT, JSON},
        {"/embed", "Accept: application/*\r\n", ONE_OUTPUT, JSON},
        {"/embed", "Accept: " NPY "\r\n", ONE_OUTPUT, NPY},
        {"/embed", "Accept: " SAFETENSORS "\r\n", ONE_OUTPUT, SAFETENSORS},
        {"/embed", "Accept: Application/X-NPY\r\n", ONE_OUTPUT, NPY},
        {"/embed", "Accept: " NPY ", */*\r\n", ONE_OUTPUT, NPY},
        {"/embed", "Accept: " NPY "\r\nAccept: text/html\r\n", ONE_OUTPUT, NPY},
        {"/embed", "Accept: */*, application/json;q=0\r\n", ONE_OUTPUT, SAFETENSORS},
        {"/embed", "Accept: " JSON ", " NPY "\r\n", ONE_OUTPUT, JSON},
        {"/embed", "Accept: " JSON ";q=0.5, " NPY ";q=0.6\r\n", ONE_OUTPUT, NPY},
        /* What the answer cannot be is not offered. */
        {"/embed", "Accept: " NPY ", " JSON ";q=0.1\r\n", TWO_OUTPUTS, JSON},
        {"/embed", "Accept: " NPY ", " SAFETENSORS ";q=0.1\r\n", TWO_OUTPUTS, SAFETENSORS},
        {"/embed", "Accept: " NPY "\r\n", TWO_OUTPUTS, PROBLEM},
        {"/embed", "Accept: " NPY "\r\n", "{\"inputs\":[\"a\",\"b\"],\"outputs\":[\"elmo\"]}",
         PROBLEM},
        {"/embed", "Accept: " NPY "\r\n", "{\"inputs\":\"a\",\"outputs\":[\"elmo\"]}", NPY},
        {"/embed", "Accept: " NPY ", text/html;q=0.1\r\n", TWO_OUTPUTS, PROBLEM},
        {"/embed", "Accept: text/html\r\n", ONE_OUTPUT, PROBLEM},
        {"/embed", "Accept: " PROBLEM "\r\n", ONE_OUTPUT, PROBLEM},
        {"/sentiment", "Accept: " NPY "\r\n", "{\"inputs\":[\"a\",\"b\"]}", NPY},
        {"/sentiment", "Accept: */*\r\n", "{\"inputs\":[\"a\",\"b\"]}", JSON},
        {"/sentiment", "Accept: " SAFETENSORS "\r\n", "{\"inputs\":[\"a\",\"b\"]}", PROBLEM},
    };
    struct server *server = start();
    struct client client = client_open(server);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        client_post(&client, cases[i].path, cases[i].accept, cases[i].body);
        struct response r = client_read(&client);
        char *type = response_field(&r, "Content-Type");
        assert_non_null(type);
        if (strcmp(type, cases[i].type) != 0)
            fail_msg("%s %s%s: %s", cases[i].path, cases[i].accept, cases[i].body, type);
        free(type);
        assert_field(&r, "Vary", "Accept");
        if (strcmp(cases[i].type, PROBLEM) == 0)
            assert_problem(&r, 406, "not_acceptable");
        else
            assert_int_equal(r.status, 200);
        response_done(&r);
    }
    client_close(&client);
    server_stop(server);
}

static void what_is_wrong_is_a_problem_whatever_accept_says(void **state)
{
    (void)state;
    struct server *server = start();
    struct client client = client_open(server);
    client_post(&client, "/embed", "Accept: " NPY "\r\n", "{\"inputs\":7}");
    struct response r = client_read(&client);
    assert_problem(&r, 422, "invalid_type");
    response_done(&r);
    client_post(&client, "/embed", "Accept: " NPY "\r\n",
                "{\"inputs\":\"NaN\",\"outputs\":[\"elmo\"]}");
    r = client_read(&client);
    assert_problem(&r, 500, "internal");
    response_done(&r);
    client_get(&client, "/embed", "Accept: " NPY "\r\n");
    r = client_read(&client);
    assert_problem(&r, 405, "method_not_allowed");
    assert_field(&r, "Vary", NULL);
    response_done(&r);
    client_close(&client);
    server_stop(server);
}

static void a_406_lists_what_there_is(void **state)
{
    (void)state;
    static const struct {
        const char *path, *accept, *list;
    } cases[] = {
        {"/embed", "Accept: a/b\r\n", ": " JSON ", " SAFETENSORS ", " NPY "."},
        {"/embed", "Accept: " NPY "\r\n", " " JSON ", " SAFETENSORS "."},
        {"/sentiment", "Accept: a/b\r\n", ": " JSON ", " NPY "."},
        {"/tokenize", "Accept: a/b\r\n", ": " JSON "."},
    };
    struct server *server = start();
    struct client client = client_open(server);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        client_post(&client, cases[i].path, cases[i].accept, TWO_OUTPUTS);
        struct response r = client_read(&client);
        assert_problem(&r, 406, "not_acceptable");
        json_t *json = response_json(&r);
        const char *detail = json_string_value(json_object_get(json, "detail"));
        if (!strstr(detail, cases[i].list))
            fail_msg("%s: %s", cases[i].path, detail);
        json_decref(json);
        response_done(&r);
    }
    client_close(&client);
    server_stop(server);
}

/* ---- Large ones ---- */

/* The last n_tokens rows of 4 floats are those that the fake computes. */
static void assert_rows(const char *bytes, size_t n_bytes, size_t n_tokens)
{
    assert_true(n_bytes > n_tokens * 4 * sizeof(float));
    const char *row = bytes + n_bytes - n_tokens * 4 * sizeof(float);
    for (size_t t = 0; t < n_tokens; t++, row += 4 * sizeof(float)) {
        const float expected[4] = {9, (float)t, 1, 0};
        assert_memory_equal(row, expected, sizeof expected);
    }
}

static void a_large_answer_has_a_length_and_the_connection_goes_on(void **state)
{
    (void)state;
    static const char *const accepts[] = {"Accept: " NPY "\r\n", "Accept: " SAFETENSORS "\r\n"};
    struct server *server = start();
    struct client client = client_open(server);
    char *body = long_request(N_TOKENS);
    for (int k = 0; k < 4; k++) {
        client_post(&client, "/embed", accepts[k % 2], body);
        client_post(&client, "/embed", "", TWO_OUTPUTS);
        struct response r = client_read(&client);
        assert_int_equal(r.status, 200);
        char *length = response_field(&r, "Content-Length");
        assert_non_null(length);
        assert_int_equal(strtoul(length, NULL, 10), r.n_body);
        free(length);
        assert_field(&r, "Transfer-Encoding", NULL);
        assert_rows(r.body, r.n_body, N_TOKENS);
        response_done(&r);
        r = client_read(&client);
        assert_int_equal(r.status, 200);
        assert_field(&r, "Content-Type", JSON);
        response_done(&r);
    }
    free(body);
    client_close(&client);
    server_stop(server);
}

static void http_1_0_gets_it_too(void **state)
{
    (void)state;
    struct server *server = start();
    char head[200], *body = long_request(N_TOKENS);
    snprintf(head, sizeof head,
             "POST /embed HTTP/1.0\r\nContent-Type: application/json\r\nAccept: " NPY
             "\r\nContent-Length: %zu\r\n\r\n",
             strlen(body));
    struct client client = client_open(server);
    client_send_text(&client, head);
    client_send_text(&client, body);
    client_read_all(&client);
    char *end = memmem(client.bytes, client.n_bytes, "\r\n\r\n", 4);
    assert_non_null(end);
    size_t n_body = client.n_bytes - (size_t)(end + 4 - client.bytes);
    assert_int_equal(n_body, 128 + N_TOKENS * 4 * sizeof(float));
    assert_rows(end + 4, n_body, N_TOKENS);
    free(body);
    client_close(&client);
    server_stop(server);
}

static void who_does_not_read_holds_up_nobody_and_still_gets_it_all(void **state)
{
    (void)state;
    struct server *server = start();
    char *body = long_request(N_TOKENS);
    struct client silent = client_open_narrow(server);
    double batches = metric(server, "elmod_batch_requests_count");
    client_post(&silent, "/embed", "Accept: " NPY "\r\n", body);
    wait_for_metric(server, "elmod_batch_requests_count", batches + 1);
    for (int i = 0; i < 20; i++) {
        struct response r = post(server, "/embed", TWO_OUTPUTS);
        assert_int_equal(r.status, 200);
        response_done(&r);
    }
    struct response r = client_read(&silent);
    assert_rows(r.body, r.n_body, N_TOKENS);
    response_done(&r);
    free(body);
    client_close(&silent);
    server_stop(server);
}

static void assert_tokens(const struct server *server, bool coded)
{
    char *body = long_request(N_TOKENS);
    strcpy(strstr(body, ",\"outputs"), "}");
    struct client client = client_open(server);
    client_post(&client, "/tokenize", "Accept-Encoding: zstd\r\n", body);
    struct response r = client_read(&client);
    assert_int_equal(r.status, 200);
    assert_field(&r, "Content-Encoding", coded ? "zstd" : NULL);
    assert_field(&r, "Vary", "Accept-Encoding");
    response_done(&r);
    client_close(&client);
    free(body);
}

/* An encoder takes a megabyte for as long as its client reads, also where no model works. */
static void without_memory_for_its_encoder_an_answer_has_no_coding(void **state)
{
    (void)state;
    static const char *const flags[] = {"--max-tokens",
                                        "400000",
                                        "--max-request-tokens",
                                        "400000",
                                        "--queue-tokens",
                                        "400000",
                                        "--answer-bytes",
                                        "1",
                                        NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    char *body = long_request(N_TOKENS);
    assert_tokens(server, true);
    struct client silent = client_open_narrow(server);
    double batches = metric(server, "elmod_batch_requests_count");
    client_post(&silent, "/embed", "Accept: " NPY "\r\n", body);
    wait_for_metric(server, "elmod_batch_requests_count", batches + 1);
    assert_tokens(server, false);
    client_close(&silent);
    free(body);
    server_stop(server);
}

/* Caches keep the page with what it varies by, and that is said again with a 304. */
static void a_304_varies_as_the_200(void **state)
{
    (void)state;
    static const char *const min_bytes[] = {"1", "0"};
    for (size_t i = 0; i < ARRAY_LEN(min_bytes); i++) {
        const char *const flags[] = {"--compress-min-bytes", min_bytes[i], NULL};
        struct server *server = server_start(SERVER_FAKE, flags);
        struct response page = get(server, "/");
        struct client client = client_open(server);
        char *vary = response_field(&page, "Vary"), more[100];
        char *etag = response_field(&page, "ETag");
        assert_non_null(etag);
        snprintf(more, sizeof more, "If-None-Match: %s\r\n", etag);
        client_get(&client, "/", more);
        struct response same;
        assert_true(client_try_read(&client, true, &same));
        assert_int_equal(same.status, 304);
        assert_field(&same, "Vary", vary ? "Accept-Encoding" : NULL);
        assert_int_equal(vary != NULL, i == 0);
        free(vary);
        free(etag);
        response_done(&page);
        response_done(&same);
        client_close(&client);
        server_stop(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_chooses_the_form),
        cmocka_unit_test(what_is_wrong_is_a_problem_whatever_accept_says),
        cmocka_unit_test(a_406_lists_what_there_is),
        cmocka_unit_test(a_large_answer_has_a_length_and_the_connection_goes_on),
        cmocka_unit_test(http_1_0_gets_it_too),
        cmocka_unit_test(who_does_not_read_holds_up_nobody_and_still_gets_it_all),
        cmocka_unit_test(without_memory_for_its_encoder_an_answer_has_no_coding),
        cmocka_unit_test(a_304_varies_as_the_200),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

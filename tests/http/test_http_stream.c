/* Answers that are made while they are sent. The fake model's vectors are known, so that every
 * byte of a large answer is. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "harness.h"

/* The answer has 8.5 MB: more than the sockets take where nobody reads. */
#define N_TOKENS 300000
#define SMALL    "{\"inputs\":\"a b c\"}"

/* A server that takes the large request, with one more flag. */
static struct server *start(const char *flag, const char *value)
{
    const char *const flags[] = {"--max-tokens",
                                 "400000",
                                 "--max-request-tokens",
                                 "400000",
                                 "--queue-tokens",
                                 "400000",
                                 flag,
                                 value,
                                 NULL};
    return server_start(SERVER_FAKE, flags);
}

struct text {
    char *bytes; /* NUL-terminated, owned */
    size_t n_bytes;
};

static struct text answer_of(size_t n_tokens)
{
    struct text text = {0};
    FILE *file = open_memstream(&text.bytes, &text.n_bytes);
    assert_non_null(file);
    fputs("{\"model\":\"fake \\\"elmo\\\"\",\"data\":[{\"index\":0,\"tokens\":[", file);
    for (size_t t = 0; t < n_tokens; t++)
        fputs(t > 0 ? ",\"a\"" : "\"a\"", file);
    fputs("],\"truncated\":false,\"elmo\":[", file);
    for (size_t t = 0; t < n_tokens; t++)
        fprintf(file, "%s[9,%zu,1,0]", t > 0 ? "," : "", t);
    fprintf(file, "]}],\"usage\":{\"inputs\":1,\"tokens\":%zu}}", n_tokens);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void assert_answer(const struct response *r, size_t n_tokens)
{
    struct text expected = answer_of(n_tokens);
    if (r->status != 200)
        fail_msg("status %u: %.300s", r->status, r->body);
    assert_int_equal(r->n_body, expected.n_bytes);
    assert_memory_equal(r->body, expected.bytes, expected.n_bytes);
    free(expected.bytes);
}

static void ask(struct client *client, size_t n_tokens)
{
    char *body = long_request(n_tokens);
    client_post(client, "/embed", "", body);
    free(body);
}

/* A client that has asked for the large answer and does not read it. */
static struct client open_silent(const struct server *server)
{
    double batches = metric(server, "elmod_batch_requests_count");
    struct client client = client_open_narrow(server);
    ask(&client, N_TOKENS);
    wait_for_metric(server, "elmod_batch_requests_count", batches + 1);
    return client;
}

static void assert_served(const struct server *server)
{
    struct response r = post(server, "/embed", SMALL);
    assert_int_equal(r.status, 200);
    response_done(&r);
}

static bool has_field(const struct response *r, const char *name, const char *part)
{
    char *value = response_field(r, name);
    bool has = value && strstr(value, part);
    free(value);
    return has;
}

/* ---- What is sent ---- */

static void a_large_answer_comes_in_chunks_and_the_connection_goes_on(void **state)
{
    (void)state;
    struct server *server = start(NULL, NULL);
    struct client client = client_open(server);
    for (int round = 0; round < 2; round++) {
        ask(&client, N_TOKENS);
        ask(&client, 3); /* before the first answer is there */
        struct response r = client_read(&client);
        assert_answer(&r, N_TOKENS);
        assert_true(has_field(&r, "Transfer-Encoding", "chunked"));
        assert_true(has_field(&r, "Server-Timing", "compute;dur="));
        assert_false(has_field(&r, "Server-Timing", "write"));
        response_done(&r);
        r = client_read(&client);
        assert_answer(&r, 3);
        assert_false(has_field(&r, "Transfer-Encoding", ""));
        assert_true(has_field(&r, "Server-Timing", ", write;dur="));
        response_done(&r);
    }
    client_close(&client);
    server_stop(server);
}

/* 64 KiB are sent whole, one step more is not. */
static void an_answer_has_a_length_up_to_64_kib(void **state)
{
    (void)state;
    struct server *server = start(NULL, NULL);
    size_t n_tokens = 0;
    for (size_t step = 4096; step > 0; step /= 2) {
        struct text text = answer_of(n_tokens + step);
        n_tokens += text.n_bytes <= 65536 ? step : 0;
        free(text.bytes);
    }
    for (size_t n = 1; n <= n_tokens + 4096; n += n < n_tokens ? n_tokens - n : 4096) {
        struct client client = client_open(server);
        ask(&client, n);
        struct response r = client_read(&client);
        assert_answer(&r, n);
        assert_int_equal(has_field(&r, "Content-Length", ""), n <= n_tokens);
        response_done(&r);
        client_close(&client);
    }
    server_stop(server);
}

static void http_1_0_gets_it_without_chunks_up_to_the_end_of_the_connection(void **state)
{
    (void)state;
    struct server *server = start(NULL, NULL);
    char head[200], *body = long_request(N_TOKENS);
    snprintf(head, sizeof head,
             "POST /embed HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n",
             strlen(body));
    struct client client = client_open(server);
    client_send_text(&client, head);
    client_send_text(&client, body);
    client_read_all(&client);
    char *end = memmem(client.bytes, client.n_bytes, "\r\n\r\n", 4);
    assert_non_null(end);
    struct text expected = answer_of(N_TOKENS);
    assert_int_equal(client.n_bytes - (size_t)(end + 4 - client.bytes), expected.n_bytes);
    assert_memory_equal(end + 4, expected.bytes, expected.n_bytes);
    *end = '\0';
    assert_null(strcasestr(client.bytes, "Transfer-Encoding"));
    assert_null(strcasestr(client.bytes, "Content-Length"));
    free(expected.bytes);
    free(body);
    client_close(&client);
    server_stop(server);
}

static void tokens_alone_are_streamed_too(void **state)
{
    (void)state;
    struct server *server = start(NULL, NULL);
    char *body = long_request(N_TOKENS);
    strcpy(strstr(body, ",\"outputs\""), "}");
    struct response r = post(server, "/tokenize", body);
    assert_int_equal(r.status, 200);
    assert_true(has_field(&r, "Transfer-Encoding", "chunked"));
    json_t *json = response_json(&r);
    const json_t *item = json_array_get(json_object_get(json, "data"), 0);
    assert_int_equal(json_array_size(json_object_get(item, "tokens")), N_TOKENS);
    json_decref(json);
    response_done(&r);
    free(body);
    server_stop(server);
}

/* ---- Who does not read ---- */

static void who_does_not_read_holds_up_nobody_and_still_gets_it_all(void **state)
{
    (void)state;
    struct server *server = start(NULL, NULL); /* one worker */
    struct client silent[3];
    for (int i = 0; i < 3; i++)
        silent[i] = open_silent(server);
    for (int i = 0; i < 20; i++)
        assert_served(server);
    wait_for_metric(server, "elmod_inflight_requests", 4); /* with the scrape itself */
    for (int i = 0; i < 3; i++) {
        struct response r = client_read(&silent[i]);
        assert_answer(&r, N_TOKENS);
        response_done(&r);
        client_close(&silent[i]);
    }
    server_stop(server);
}

static void who_stops_reading_is_cut_off(void **state)
{
    (void)state;
    struct server *server = start("--idle-timeout-ms", "1"); /* the library: a second */
    struct client silent = open_silent(server);
    wait_for_metric(server, "elmod_inflight_requests", 1);
    client_read_all(&silent);
    struct text expected = answer_of(N_TOKENS);
    assert_true(silent.n_bytes < expected.n_bytes);
    const char last_chunk[] = "\r\n0\r\n\r\n";
    assert_null(memmem(silent.bytes, silent.n_bytes, last_chunk, sizeof last_chunk - 1));
    free(expected.bytes);
    client_close(&silent);
    server_stop(server);
}

static void an_answer_holds_its_memory_until_its_reader_goes(void **state)
{
    (void)state;
    static const struct linger reset = {.l_onoff = 1};
    struct server *server = start("--answer-bytes", "1");
    for (int in_good_order = 0; in_good_order < 2; in_good_order++) {
        struct client silent = open_silent(server);
        struct response r = post(server, "/embed", SMALL);
        assert_problem(&r, 429, "queue_full");
        response_done(&r);
        if (!in_good_order)
            setsockopt(silent.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        client_close(&silent);
        wait_for_metric(server, "elmod_inflight_requests", 1);
        assert_served(server);
    }
    server_stop(server);
}

/* ---- The end ---- */

static void the_server_ends_when_what_it_streams_is_read(void **state)
{
    (void)state;
    struct server *server = start(NULL, NULL);
    struct client silent = open_silent(server);
    struct client idle = client_open(server);
    server_signal(server, SIGTERM);
    client_expect_close(&idle); /* it no longer listens, and waits */
    assert_false(server_accepts(server));
    struct response r = client_read(&silent);
    assert_answer(&r, N_TOKENS);
    response_done(&r);
    client_expect_close(&silent);
    assert_int_equal(server_wait(server), 0);
    client_close(&silent);
    client_close(&idle);
}

static void the_log_tells_what_was_written(void **state)
{
    (void)state;
    struct server *server = start(NULL, NULL);
    struct text expected = answer_of(N_TOKENS);
    struct client client = client_open(server);
    ask(&client, N_TOKENS);
    struct response r = client_read(&client);
    response_done(&r);
    client_close(&client);
    wait_for_metric(server, "elmod_stage_duration_seconds_count{stage=\"write\"}", 1);
    char *log = server_log(server), bytes_out[60];
    const char *line = strstr(log, "\"path\":\"/embed\"");
    assert_non_null(line);
    snprintf(bytes_out, sizeof bytes_out, "\"bytes_out\":%zu,", expected.n_bytes);
    assert_non_null(strstr(line, bytes_out));
    const char *write_ms = strstr(line, "\"write_ms\":");
    assert_non_null(write_ms);
    assert_true(strtod(write_ms + strlen("\"write_ms\":"), NULL) > 0);
    free(log);
    free(expected.bytes);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_answer_comes_in_chunks_and_the_connection_goes_on),
        cmocka_unit_test(an_answer_has_a_length_up_to_64_kib),
        cmocka_unit_test(http_1_0_gets_it_without_chunks_up_to_the_end_of_the_connection),
        cmocka_unit_test(tokens_alone_are_streamed_too),
        cmocka_unit_test(who_does_not_read_holds_up_nobody_and_still_gets_it_all),
        cmocka_unit_test(who_stops_reading_is_cut_off),
        cmocka_unit_test(an_answer_holds_its_memory_until_its_reader_goes),
        cmocka_unit_test(the_server_ends_when_what_it_streams_is_read),
        cmocka_unit_test(the_log_tells_what_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Clients that are too slow, too many or send too much. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "harness.h"

#define HEAD "POST /tokenize HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"

static void nap_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Sends the byte again and again, slowly, until the server has closed the connection. */
static void drip_until_cut(struct client *client, char byte)
{
    while (client_try_send(client, &byte, 1))
        nap_ms(10);
}

/* ---- Too slow ---- */

static void a_header_that_drips_in_is_cut_off(void **state)
{
    (void)state;
    const char *const flags[] = {"--header-timeout-ms", "200", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    static const char *const beginnings[] = {"", "GET /", HEAD, HEAD "X: "};
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        struct client client = client_open(server);
        client_send_text(&client, beginnings[i]);
        drip_until_cut(&client, 'a');
        client_expect_close(&client);
        client_close(&client);
    }
    server_stop(server);
}

static void a_later_header_that_drips_in_is_cut_off_too(void **state)
{
    (void)state;
    const char *const flags[] = {"--header-timeout-ms", "200", "--idle-timeout-ms", "300", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    static const char *const beginnings[] = {"GET /", HEAD "X: "};
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        struct client client = client_open(server);
        client_get(&client, "/health/live", "");
        struct response r = client_read(&client);
        assert_int_equal(r.status, 200);
        response_done(&r);
        client_send_text(&client, beginnings[i]);
        drip_until_cut(&client, 'a');
        client_expect_close(&client);
        client_close(&client);
    }
    server_stop(server);
}

static void a_body_that_drips_in_gets_a_408(void **state)
{
    (void)state;
    const char *const flags[] = {"--body-timeout-ms", "200", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    static const char *const heads[] = {HEAD "Content-Length: 1000000\r\n\r\n",
                                        HEAD "Transfer-Encoding: chunked\r\n\r\nf4240\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct client client = client_open(server);
        struct response r;
        client_send_text(&client, heads[i]);
        drip_until_cut(&client, ' ');
        assert_true(client_try_read(&client, false, &r));
        assert_problem(&r, 408, "body_timeout");
        response_done(&r);
        client_expect_close(&client);
        client_close(&client);
    }
    assert_true(metric(server, "elmod_rejected_total{reason=\"body_timeout\"}") == 2);
    wait_for_metric(server, "elmod_requests_total{path=\"/tokenize\",code=\"408\"}", 2);
    server_stop(server);
}

static void a_body_that_never_comes_gets_a_408(void **state)
{
    (void)state;
    const char *const flags[] = {"--body-timeout-ms", "100", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client client = client_open(server);
    client_send_text(&client, HEAD "Content-Length: 5\r\n\r\n");
    struct response r = client_read(&client);
    assert_problem(&r, 408, "body_timeout");
    response_done(&r);
    client_expect_close(&client);
    client_close(&client);
    server_stop(server);
}

static void silent_connections_are_closed(void **state)
{
    (void)state;
    const char *const flags[] = {"--header-timeout-ms", "200", "--idle-timeout-ms", "200", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client fresh = client_open(server), kept = client_open(server);
    client_get(&kept, "/health/live", "");
    struct response r = client_read(&kept);
    response_done(&r);
    client_expect_close(&fresh);
    client_expect_close(&kept);
    client_close(&fresh);
    client_close(&kept);
    server_stop(server);
}

/* The answer is far larger than what the two sockets hold, and nobody reads it. The
 * time-out leaves room for a busy machine: it also counts while another body is being parsed. */
static void a_client_that_never_reads_is_cut_off(void **state)
{
    (void)state;
    enum { TOKEN_BYTES = 16000000 };
    const char *const flags[] = {"--idle-timeout-ms", "3000", "--max-body-bytes", "40000000", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    static const char begin[] = "{\"inputs\":[[\"", end[] = "\"]]}";
    char *body = malloc(strlen(begin) + TOKEN_BYTES + sizeof end);
    assert_non_null(body);
    strcpy(body, begin);
    memset(body + strlen(begin), 'a', TOKEN_BYTES);
    strcpy(body + strlen(begin) + TOKEN_BYTES, end);
    struct client client = client_open(server);
    client_post(&client, "/tokenize", "X-Request-Id: never-reads\r\n", body);
    free(body);
    wait_for_metric(server, "elmod_requests_total{path=\"/tokenize\",code=\"200\"}", 1);
    wait_for_metric(server, "elmod_inflight_requests", 1); /* the scrape itself */
    client_close(&client);
    server_stop(server);
}

/* ---- Too much ---- */

static void a_body_over_the_limit_is_refused(void **state)
{
    (void)state;
    enum { SENT_BYTES = 20000000 };
    const char *const flags[] = {"--max-body-bytes", "1000", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    char *junk = calloc(1, SENT_BYTES);
    assert_non_null(junk);
    static const char *const heads[] = {HEAD "Content-Length: 20000000\r\n\r\n",
                                        HEAD "Transfer-Encoding: chunked\r\n\r\n1312D00\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct client client = client_open(server);
        struct response r;
        client_send_text(&client, heads[i]);
        client_try_send(&client, junk, SENT_BYTES); /* a client that does not listen meanwhile */
        assert_true(client_try_read(&client, false, &r));
        assert_problem(&r, 413, "body_too_large");
        json_t *problem = response_json(&r);
        assert_int_equal(json_integer_value(json_object_get(problem, "limit")), 1000);
        assert_true(json_integer_value(json_object_get(problem, "actual")) > 1000);
        json_decref(problem);
        response_done(&r);
        client_expect_close(&client);
        client_close(&client);
    }
    free(junk);
    server_stop(server);
}

static void a_body_of_exactly_the_limit_is_taken(void **state)
{
    (void)state;
    const char *const flags[] = {"--max-body-bytes", "16", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct response r = post(server, "/tokenize", "{\"inputs\":\"a b\"}");
    assert_int_equal(r.status, 200);
    response_done(&r);
    r = post(server, "/tokenize", "{\"inputs\":\"a bc\"}");
    assert_problem(&r, 413, "body_too_large");
    response_done(&r);
    struct client client = client_open(server);
    client_send_text(&client, HEAD "Transfer-Encoding: chunked\r\n\r\n"
                                   "10\r\n{\"inputs\":\"a b\"}\r\n0\r\n\r\n");
    r = client_read(&client);
    assert_int_equal(r.status, 200);
    response_done(&r);
    client_close(&client);
    server_stop(server);
}

static void a_request_line_or_header_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct server *server = server_start(SERVER_FAKE, NULL);
    static const struct {
        const char *begin;
        unsigned status;
    } cases[] = {{"GET /", 414}, {HEAD "X: ", 431}};
    for (size_t i = 0; i < 2; i++) {
        struct client client = client_open(server);
        struct response r;
        char junk[100000];
        memset(junk, 'a', sizeof junk);
        client_send_text(&client, cases[i].begin);
        client_try_send(&client, junk, sizeof junk);
        assert_true(client_try_read(&client, false, &r));
        assert_int_equal(r.status, cases[i].status);
        response_done(&r);
        client_close(&client);
    }
    server_stop(server);
}

/* ---- Too many ---- */

static bool is_answered(const struct client *client, int patience_ms)
{
    struct pollfd pfd = {.fd = client->fd, .events = POLLIN};
    return poll(&pfd, 1, patience_ms) == 1;
}

static void connections_over_the_limit_wait_for_a_place(void **state)
{
    (void)state;
    const char *const flags[] = {"--max-connections", "2", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client first = client_open(server), second = client_open(server);
    struct response r;
    client_get(&first, "/health/live", "");
    r = client_read(&first);
    response_done(&r);
    client_get(&second, "/health/live", "");
    r = client_read(&second);
    response_done(&r);
    struct client third = client_open(server);
    client_get(&third, "/health/live", "");
    assert_false(is_answered(&third, 200));
    client_close(&first);
    r = client_read(&third);
    assert_int_equal(r.status, 200);
    response_done(&r);
    client_close(&second);
    client_close(&third);
    server_stop(server);
}

/* A connection that is answered, once the server has seen the end of those before it. */
static struct client client_let_in(const struct server *server)
{
    static const char request[] = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    const struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};
    for (int tries = 0; tries < 1000; tries++) {
        struct client client = client_open(server);
        struct response r;
        bool sent = client_try_send(&client, request, sizeof request - 1);
        if (sent && client_try_read(&client, false, &r)) {
            response_done(&r);
            return client;
        }
        client_close(&client);
        nanosleep(&nap, NULL);
    }
    fail_msg("no connection was answered");
    return (struct client){0};
}

static void connections_of_one_address_over_its_limit_are_closed(void **state)
{
    (void)state;
    const char *const flags[] = {"--max-connections-per-ip", "2", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client clients[3];
    for (int i = 0; i < 2; i++)
        clients[i] = client_let_in(server);
    clients[2] = client_open(server);
    client_expect_close(&clients[2]);
    for (int i = 0; i < 3; i++)
        client_close(&clients[i]);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_that_drips_in_is_cut_off),
        cmocka_unit_test(a_later_header_that_drips_in_is_cut_off_too),
        cmocka_unit_test(a_body_that_drips_in_gets_a_408),
        cmocka_unit_test(a_body_that_never_comes_gets_a_408),
        cmocka_unit_test(silent_connections_are_closed),
        cmocka_unit_test(a_client_that_never_reads_is_cut_off),
        cmocka_unit_test(a_body_over_the_limit_is_refused),
        cmocka_unit_test(a_body_of_exactly_the_limit_is_taken),
        cmocka_unit_test(a_request_line_or_header_over_the_limit_is_refused),
        cmocka_unit_test(connections_over_the_limit_wait_for_a_place),
        cmocka_unit_test(connections_of_one_address_over_its_limit_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Where a request begins and ends: pieces, chunks, keep-alive, pipelines, and everything that
 * another server on the way might read differently. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "harness.h"

#define BODY "{\"inputs\":\"a b\"}" /* 16 bytes */
#define HEAD "POST /tokenize HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"

static struct server *server;

static int start(void **state)
{
    (void)state;
    const char *const flags[] = {"--max-body-bytes", "1000", NULL};
    server = server_start(SERVER_FAKE, flags);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(server);
    return 0;
}

static void assert_ok(struct client *client)
{
    struct response r = client_read(client);
    if (r.status != 200)
        fail_msg("%u: %s", r.status, r.body);
    response_done(&r);
}

/* ---- What is refused ---- */

struct attack {
    const char *name;
    const char *bytes;
    size_t n_bytes;
    unsigned status;
    const char *code; /* NULL: the library's own page */
};

#define ATTACK(name, bytes, status, code)                \
    {                                                    \
        (name), (bytes), sizeof(bytes) - 1, status, code \
    }

static const struct attack attacks[] = {
    ATTACK("both lengths", HEAD "Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n" BODY,
           400, "bad_framing"),
    ATTACK("both lengths, the other order",
           HEAD "Transfer-Encoding: chunked\r\nContent-Length: 16\r\n\r\n10\r\n" BODY
                "\r\n0\r\n\r\n",
           400, "bad_framing"),
    ATTACK("two equal lengths", HEAD "Content-Length: 16\r\nContent-Length: 16\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("two lengths", HEAD "Content-Length: 16\r\nContent-Length: 3\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("a list of lengths", HEAD "Content-Length: 16, 16\r\n\r\n" BODY, 400, NULL),
    ATTACK("a length with a sign", HEAD "Content-Length: +16\r\n\r\n" BODY, 400, NULL),
    ATTACK("a negative length", HEAD "Content-Length: -1\r\n\r\n" BODY, 400, NULL),
    ATTACK("a hexadecimal length", HEAD "Content-Length: 0x10\r\n\r\n" BODY, 400, NULL),
    ATTACK("an empty length", HEAD "Content-Length:\r\n\r\n" BODY, 400, NULL),
    ATTACK("a length beyond 64 bits", HEAD "Content-Length: 99999999999999999999\r\n\r\n" BODY, 413,
           NULL),
    ATTACK("a NUL in the length", HEAD "Content-Length: 16\0000\r\n\r\n" BODY, 400, "bad_framing"),
    ATTACK("two codings", HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n", 400, "bad_framing"),
    ATTACK("identity", HEAD "Transfer-Encoding: identity\r\n\r\n", 400, "bad_framing"),
    ATTACK("nearly chunked", HEAD "Transfer-Encoding: xchunked\r\n\r\n", 400, "bad_framing"),
    ATTACK("chunked and a space", HEAD "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("chunked and a vertical tab", HEAD "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("chunked twice",
           HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("chunked, then identity",
           HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("chunked in HTTP/1.0",
           "POST /tokenize HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("a space before the colon", HEAD "Content-Length : 16\r\n\r\n" BODY, 400, "bad_framing"),
    ATTACK("a tab before the colon", HEAD "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("a folded coding", HEAD "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("a folded field", HEAD "X: a\r\n b\r\nContent-Length: 16\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("a folded last field", HEAD "Content-Length: 16\r\nX: a\r\n\tb\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("a folded first field", "POST /tokenize HTTP/1.1\r\n Host: a\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("a bare line feed", HEAD "Content-Length: 16\n\r\n" BODY, 400, "bad_framing"),
    ATTACK("a bare line feed after the request line",
           "POST /tokenize HTTP/1.1\nHost: a\r\nContent-Length: 16\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("a bare line feed at the end", HEAD "Content-Length: 16\r\n\n" BODY, 400, "bad_framing"),
    ATTACK("a bare carriage return",
           HEAD "X: a\rTransfer-Encoding: chunked\r\nContent-Length: 16\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("a NUL in a value", HEAD "X: a\0b\r\nContent-Length: 16\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("a NUL in the last value", HEAD "Content-Length: 16\r\nX: a\0b\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("a NUL in a name", HEAD "X\0Y: a\r\n\r\n", 400, NULL),
    ATTACK("a NUL in the path", "POST /tokenize\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_framing"),
    ATTACK("a field without a name", HEAD ": a\r\nContent-Length: 16\r\n\r\n" BODY, 400,
           "bad_framing"),
    ATTACK("a field without a colon", HEAD "Content-Length 16\r\n\r\n" BODY, 400, NULL),
    ATTACK("GET with a body", "GET /info HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400,
           "bad_framing"),
    ATTACK("GET with chunks",
           "GET /info HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
           "bad_framing"),
    ATTACK("no Host", "POST /tokenize HTTP/1.1\r\nContent-Length: 16\r\n\r\n" BODY, 400,
           "bad_header"),
    ATTACK("two Hosts", HEAD "Host: other\r\nContent-Length: 16\r\n\r\n" BODY, 400, "bad_header"),
    ATTACK("a bad chunk size", HEAD "Transfer-Encoding: chunked\r\n\r\nxy\r\n", 400, NULL),
    ATTACK("a chunk without its end", HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
           400, NULL),
    ATTACK("HTTP/0.9", "GET /info\r\n\r\n", 400, NULL),
    ATTACK("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, NULL),
    ATTACK("another protocol", "\x16\x03\x01\x02\r\n\r\n", 0, NULL),
};

/* After the answer, what stood behind the attack must not be taken for a request. */
static void ambiguous_requests_are_refused_and_the_connection_closed(void **state)
{
    (void)state;
    static const char hidden[] = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        const struct attack *a = &attacks[i];
        struct client client = client_open(server);
        struct response r = {0};
        client_send(&client, a->bytes, a->n_bytes);
        client_try_send(&client, hidden, strlen(hidden));
        bool answered = client_try_read(&client, false, &r);
        if (r.status != a->status)
            fail_msg("%s: %u %s", a->name, r.status, answered ? r.body : "");
        if (a->code) {
            assert_problem(&r, a->status, a->code);
            assert_field(&r, "Connection", "close");
        }
        response_done(&r);
        client_read_all(&client); /* the library's own pages may repeat their header */
        assert_null(memmem(client.bytes, client.n_bytes, "HTTP/1.1 200", 12));
        client_close(&client);
    }
}

/* ---- What is taken ---- */

static void a_request_may_come_in_any_pieces(void **state)
{
    (void)state;
    const char request[] = HEAD "Content-Length: 16\r\n\r\n" BODY;
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        struct client client = client_open(server);
        client_send(&client, request, cut);
        client_send(&client, request + cut, sizeof request - 1 - cut);
        assert_ok(&client);
        client_close(&client);
    }
}

static void a_request_may_come_byte_by_byte(void **state)
{
    (void)state;
    const char request[] = HEAD "Transfer-Encoding: chunked\r\n\r\n8\r\n{\"inputs\r\n8;x=y\r\n"
                                "\":\"a b\"}\r\n0\r\nTrailer: x\r\n\r\n";
    struct client client = client_open(server);
    for (size_t i = 0; i < sizeof request - 1; i++)
        client_send(&client, request + i, 1);
    assert_ok(&client);
    client_close(&client);
}

static void a_connection_serves_many_requests(void **state)
{
    (void)state;
    struct client client = client_open(server);
    for (int i = 0; i < 20; i++) {
        client_post(&client, "/tokenize", "", BODY);
        assert_ok(&client);
        client_post(&client, "/sentiment", "", BODY);
        assert_ok(&client);
        client_get(&client, "/info", "");
        assert_ok(&client);
    }
    client_close(&client);
}

static void errors_keep_the_connection_where_the_end_is_clear(void **state)
{
    (void)state;
    struct client client = client_open(server);
    static const struct {
        const char *path, *body;
        unsigned status;
    } requests[] = {
        {"/nothing", BODY, 404}, {"/info", BODY, 405},      {"/tokenize", "{", 400},
        {"/embed", "{}", 422},   {"/sentiment", BODY, 200},
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        client_post(&client, requests[i].path, "", requests[i].body);
        struct response r = client_read(&client);
        assert_int_equal(r.status, requests[i].status);
        assert_field(&r, "Connection", NULL);
        response_done(&r);
    }
    client_close(&client);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    enum { N = 30 };
    struct client client = client_open(server);
    for (int i = 0; i < N; i++) {
        char id[64];
        snprintf(id, sizeof id, "X-Request-Id: pipelined-%d\r\n", i);
        client_post(&client, i % 2 ? "/sentiment" : "/tokenize", id, BODY);
    }
    for (int i = 0; i < N; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "pipelined-%d", i);
        struct response r = client_read(&client);
        char *id = response_field(&r, "X-Request-Id");
        assert_int_equal(r.status, 200);
        assert_string_equal(id, expected);
        free(id);
        response_done(&r);
    }
    client_close(&client);
}

static void connection_close_and_http_1_0_end_the_connection(void **state)
{
    (void)state;
    struct client client = client_open(server);
    client_get(&client, "/health/live", "Connection: close\r\n");
    assert_ok(&client);
    client_expect_close(&client);
    client_close(&client);
    client = client_open(server);
    client_send_text(&client, "GET /health/live HTTP/1.0\r\n\r\n");
    assert_ok(&client);
    client_expect_close(&client);
    client_close(&client);
}

static void a_client_that_expects_continue_gets_it(void **state)
{
    (void)state;
    struct client client = client_open(server);
    client_send_text(&client, HEAD "Content-Length: 16\r\nExpect: 100-continue\r\n\r\n");
    struct response r = client_read(&client);
    assert_int_equal(r.status, 100);
    response_done(&r);
    client_send_text(&client, BODY);
    assert_ok(&client);
    client_close(&client);
}

static void too_large_a_body_is_refused_instead_of_continue(void **state)
{
    (void)state;
    struct client client = client_open(server);
    client_send_text(&client, HEAD "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
    struct response r = client_read(&client);
    assert_problem(&r, 413, "body_too_large");
    response_done(&r);
    client_expect_close(&client);
    client_close(&client);
}

static void any_other_error_comes_instead_of_continue_too(void **state)
{
    (void)state;
    struct client client = client_open(server);
    client_send_text(&client, "POST /nothing HTTP/1.1\r\nHost: test\r\nContent-Length: 16\r\n"
                              "Expect: 100-continue\r\n\r\n");
    struct response r = client_read(&client);
    assert_problem(&r, 404, "not_found");
    response_done(&r);
    client_expect_close(&client);
    client_close(&client);
}

static void a_half_closed_client_still_gets_its_answer(void **state)
{
    (void)state;
    struct client client = client_open(server);
    client_post(&client, "/sentiment", "", BODY);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    assert_ok(&client);
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ambiguous_requests_are_refused_and_the_connection_closed),
        cmocka_unit_test(a_request_may_come_in_any_pieces),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(a_connection_serves_many_requests),
        cmocka_unit_test(errors_keep_the_connection_where_the_end_is_clear),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(connection_close_and_http_1_0_end_the_connection),
        cmocka_unit_test(a_client_that_expects_continue_gets_it),
        cmocka_unit_test(too_large_a_body_is_refused_instead_of_continue),
        cmocka_unit_test(any_other_error_comes_instead_of_continue_too),
        cmocka_unit_test(a_half_closed_client_still_gets_its_answer),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

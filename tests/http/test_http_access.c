/* Who is let in: API keys, and pages of other origins. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

#define KEY       "k-0123456789abcdef"
#define OTHER_KEY "another-key-of-the-back-end"
#define BODY      "{\"inputs\":\"a b\"}"
#define ORIGIN    "Origin: https://app.example.org\r\n"
#define PREFLIGHT \
    "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"

static struct server *server;
static char key_file[] = "/tmp/elmod-keys-XXXXXX";

static int start(void **state)
{
    static const char keys[] = "# the front end\n" KEY "\n\n" OTHER_KEY "\n";
    (void)state;
    int fd = mkstemp(key_file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, keys, sizeof keys - 1), sizeof keys - 1);
    close(fd);
    const char *const flags[] = {"--api-keys",
                                 key_file,
                                 "--cors-origins",
                                 "https://app.example.org,http://localhost:3000",
                                 "--max-body-bytes",
                                 "1000000",
                                 "--body-timeout-ms",
                                 "300",
                                 "--log-level",
                                 "debug",
                                 NULL};
    server = server_start(SERVER_FAKE, flags);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(server);
    unlink(key_file);
    return 0;
}

/* In a field of its own, beside others that answers vary by. */
static bool varies_by_origin(const struct response *r)
{
    return strstr(r->head, "\r\nVary: Origin\r\n") != NULL;
}

static void assert_refused(const struct response *r)
{
    assert_problem(r, 401, "unauthorized");
    assert_field(r, "WWW-Authenticate", "Bearer realm=\"elmod\"");
}

/* The answer to METHOD PATH with these header lines and, unless NULL, this body. */
static struct response ask(const char *line, const char *fields, const char *body)
{
    char head[2048], length[64] = "";
    struct client client = client_open(server);
    struct response r;
    if (body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    int n = snprintf(head, sizeof head,
                     "%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s%s\r\n", line,
                     length, fields);
    assert_true(n > 0 && (size_t)n < sizeof head);
    client_send_text(&client, head);
    client_send_text(&client, body ? body : "");
    assert_true(client_try_read(&client, strncmp(line, "HEAD", 4) == 0, &r));
    client_close(&client);
    return r;
}

/* ---- API keys ---- */

static void a_key_lets_in(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "Authorization: Bearer " KEY "\r\n",
        "Authorization: Bearer " OTHER_KEY "\r\n",
        "authorization: bearer " KEY "\r\n",
        "Authorization:   BEARER   " KEY "  \r\n",
        "X-API-Key: " KEY "\r\n",
        "x-api-key:  " OTHER_KEY " \r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct response r = ask("POST /tokenize", fields[i], BODY);
        if (r.status != 200)
            fail_msg("%s: %u %s", fields[i], r.status, r.body);
        assert_field(&r, "WWW-Authenticate", NULL);
        response_done(&r);
    }
}

static void nothing_else_lets_in(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "",
        "Authorization: \r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer wrong-0123456789abc\r\n",
        "Authorization: Bearer " KEY "x\r\n",
        "Authorization: Bearer " KEY " x\r\n",
        "Authorization: Bearer x " KEY "\r\n",
        "Authorization: Bearer" KEY "\r\n",
        "Authorization: Bearer\t" KEY "\r\n",
        "Authorization: Bearer # the front end\r\n",
        "Authorization: Basic " KEY "\r\n",
        "Authorization: " KEY "\r\n",
        "Authorization: Bearer K-0123456789ABCDEF\r\n",
        "X-API-Key: Bearer " KEY "\r\n",
        "X-API-Key: \r\n",
        "X-API-Key: " KEY "," OTHER_KEY "\r\n",
        "Api-Key: " KEY "\r\n",
        "Cookie: key=" KEY "\r\n",
        "Authorization: Bearer " KEY "\r\nAuthorization: Bearer " KEY "\r\n",
        "Authorization: Bearer " KEY "\r\nAuthorization: Bearer wrong-0123456789abc\r\n",
        "Authorization: Bearer wrong-0123456789abc\r\nAuthorization: Bearer " KEY "\r\n",
        "Authorization: Bearer " KEY "\r\nX-API-Key: " KEY "\r\n",
        "Authorization: Basic eDp5\r\nX-API-Key: " KEY "\r\n",
        "X-API-Key: " KEY "\r\nX-API-Key: " KEY "\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct response r = ask("POST /tokenize", fields[i], BODY);
        if (r.status != 401)
            fail_msg("%s: %u", fields[i], r.status);
        assert_refused(&r);
        assert_null(strstr(r.body, KEY));
        response_done(&r);
    }
}

static void a_key_is_asked_for_before_anything_else(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "POST /embed",   "GET /info",      "HEAD /info",
        "GET /embed",    "PUT /tokenize",  "GET /no/such/path",
        "POST /nothing", "OPTIONS /embed", "GET /health/nothing",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct response r = ask(lines[i], "Accept: text/nothing\r\n", NULL);
        if (r.status != 401)
            fail_msg("%s: %u", lines[i], r.status);
        assert_field(&r, "WWW-Authenticate", "Bearer realm=\"elmod\"");
        response_done(&r);
        r = ask(lines[i], "Accept: text/nothing\r\nX-API-Key: " KEY "\r\n", NULL);
        if (r.status == 401 || r.status < 400)
            fail_msg("%s: %u", lines[i], r.status);
        response_done(&r);
    }
}

static void what_machines_and_browsers_look_at_needs_no_key(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/health",       "/health/live",    "/health/ready",    "/metrics",
        "/openapi.yaml", "/v2/health/live", "/v2/health/ready", "/",
        "/docs"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct response r = get(server, paths[i]);
        assert_int_equal(r.status, 200);
        response_done(&r);
        char line[64];
        snprintf(line, sizeof line, "POST %s", paths[i]);
        r = ask(line, "Authorization: Bearer wrong\r\n", NULL); /* nor looks at one */
        assert_int_equal(r.status, 405);
        response_done(&r);
    }
}

static void refusals_are_counted(void **state)
{
    (void)state;
    static const char series[] = "elmod_rejected_total{reason=\"unauthorized\"}";
    double before = metric(server, series);
    struct response r = ask("POST /tokenize", "", BODY);
    assert_refused(&r);
    response_done(&r);
    assert_true(metric(server, series) == before + 1);
    wait_for_metric(server, "elmod_requests_total{path=\"/tokenize\",code=\"other\"}", 0);
}

static void the_connection_lives_on_after_a_short_body(void **state)
{
    (void)state;
    struct client client = client_open(server);
    for (int i = 0; i < 3; i++) {
        client_post(&client, "/tokenize", "", BODY);
        struct response r = client_read(&client);
        assert_refused(&r);
        response_done(&r);
    }
    client_post(&client, "/tokenize", "X-API-Key: " KEY "\r\n", BODY);
    struct response r = client_read(&client);
    assert_int_equal(r.status, 200);
    response_done(&r);
    client_close(&client);
}

static void a_long_body_is_not_waited_for(void **state)
{
    (void)state;
    static const char *const framings[] = {"Content-Length: 900000\r\n",
                                           "Content-Length: 99999999999\r\n",
                                           "Expect: 100-continue\r\nContent-Length: 100\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(framings); i++) {
        char head[256];
        snprintf(head, sizeof head, "POST /embed HTTP/1.1\r\nHost: x\r\n%s\r\n", framings[i]);
        struct client client = client_open(server);
        client_send_text(&client, head);
        struct response r = client_read(&client);
        assert_refused(&r);
        client_expect_close(&client);
        response_done(&r);
        client_close(&client);
    }
}

/* Without a key no more than 64 KiB are read, of the 1,000,000 that one with a key may send. */
static void chunks_without_a_key_are_cut_off(void **state)
{
    (void)state;
    static const char series[] = "elmod_requests_total{path=\"/embed\",code=\"401\"}";
    double before = metric(server, series);
    struct client client = client_open(server);
    char bytes[65536];
    memset(bytes, 'a', sizeof bytes);
    client_send_text(&client, "POST /embed HTTP/1.1\r\nHost: x\r\n"
                              "Transfer-Encoding: chunked\r\n\r\nf4240\r\n");
    client_send(&client, bytes, sizeof bytes);
    client_send(&client, "a", 1);
    struct response r = client_read(&client);
    assert_refused(&r);
    response_done(&r);
    client_close(&client);
    wait_for_metric(server, series, before + 1);
}

static void a_body_without_a_key_that_is_late_is_refused_for_the_key(void **state)
{
    (void)state;
    struct client client = client_open(server);
    client_send_text(&client, "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    struct response r = client_read(&client);
    assert_refused(&r);
    client_expect_close(&client);
    response_done(&r);
    client_close(&client);
}

static void keys_are_nowhere_to_be_read(void **state)
{
    (void)state;
    char *log = server_log(server);
    assert_non_null(strstr(log, "\"event\":\"api_keys\",\"keys\":2"));
    assert_null(strstr(log, KEY));
    assert_null(strstr(log, OTHER_KEY));
    assert_null(strstr(log, "wrong-0123456789abc"));
    assert_null(strstr(log, "secret_file_open_to_others"));
    free(log);
}

static void a_file_that_others_may_read_is_warned_of(void **state)
{
    (void)state;
    assert_int_equal(chmod(key_file, 0644), 0);
    struct server *open = server_start(SERVER_FAKE, (const char *[]){"--api-keys", key_file, NULL});
    assert_int_equal(chmod(key_file, 0600), 0);
    char *log = server_log(open);
    const char *warning =
        strstr(log, "\"level\":\"warn\",\"event\":\"secret_file_open_to_others\"");
    assert_non_null(warning);
    assert_non_null(strstr(warning, key_file));
    free(log);
    server_stop(open);
}

static void write_keys(const char *text)
{
    FILE *file = fopen(key_file, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_status_of_key(const char *key, unsigned status)
{
    char field[128];
    snprintf(field, sizeof field, "X-API-Key: %s\r\n", key);
    struct response r = ask("POST /tokenize", field, BODY);
    assert_int_equal(r.status, status);
    response_done(&r);
}

static void a_hangup_loads_the_keys_anew_unless_they_are_wrong(void **state)
{
    (void)state;
    write_keys("secret\n");
    server_signal(server, SIGHUP);
    wait_for_log(server, "\"event\":\"api_keys_failed\"", 1);
    assert_status_of_key(KEY, 200);
    write_keys(OTHER_KEY "\nthe-newest-key-of-all\n");
    server_signal(server, SIGHUP);
    wait_for_log(server, "\"event\":\"api_keys\"", 2);
    assert_status_of_key(KEY, 401);
    assert_status_of_key(OTHER_KEY, 200);
    assert_status_of_key("the-newest-key-of-all", 200);
    write_keys(KEY "\n" OTHER_KEY "\n");
    server_signal(server, SIGHUP);
    wait_for_log(server, "\"event\":\"api_keys\"", 3);
    assert_status_of_key(KEY, 200);
    char *log = server_log(server);
    assert_null(strstr(log, "secret\""));
    free(log);
}

static void openai_clients_are_refused_in_their_dialect(void **state)
{
    (void)state;
    static const struct {
        const char *line, *body;
    } cases[] = {
        {"POST /v1/embeddings", "\"code\":\"invalid_api_key\""},
        {"GET /v1/models", "\"type\":\"invalid_request_error\""},
        {"GET /v1/nothing", "\"code\":\"invalid_api_key\""},
        {"GET /v2", "{\"error\":\"An API key is needed: Authorization: Bearer KEY.\"}"},
        {"GET /v2/models/x/ready", "{\"error\":\"An API key"},
        {"GET /v2/nothing", "{\"error\":\"An API key"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct response r = ask(cases[i].line, "", NULL);
        assert_int_equal(r.status, 401);
        assert_field(&r, "WWW-Authenticate", "Bearer realm=\"elmod\"");
        if (!strstr(r.body, cases[i].body))
            fail_msg("%s: %s", cases[i].line, r.body);
        response_done(&r);
    }
}

static void a_bad_file_of_keys_ends_the_start(void **state)
{
    (void)state;
    char path[] = "/tmp/elmod-keys-XXXXXX", expected[128], *text;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "#\nsecret\n", 9), 9);
    close(fd);
    const char *const flags[] = {"--listen", "127.0.0.1:0", "--api-keys", path, NULL};
    assert_int_equal(run_elmod(flags, &text), 1);
    unlink(path);
    snprintf(expected, sizeof expected,
             "\"api_keys_failed\",\"reason\":\"%s:2: a key has at least 16 characters\"", path);
    if (!strstr(text, expected) || strstr(text, "secret"))
        fail_msg("%s", text);
    free(text);
}

/* ---- Other origins ---- */

static void a_preflight_of_an_allowed_origin_is_answered_without_a_key(void **state)
{
    (void)state;
    static const struct {
        const char *line, *methods;
    } cases[] = {{"OPTIONS /embed", "POST"},
                 {"OPTIONS /info", "GET, HEAD"},
                 {"OPTIONS /metrics", "GET, HEAD"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct response r = ask(cases[i].line, ORIGIN PREFLIGHT, NULL);
        assert_int_equal(r.status, 204);
        assert_int_equal(r.n_body, 0);
        assert_field(&r, "Access-Control-Allow-Origin", "https://app.example.org");
        assert_field(&r, "Access-Control-Allow-Methods", cases[i].methods);
        assert_field(&r, "Access-Control-Max-Age", "7200");
        assert_field(&r, "Access-Control-Allow-Credentials", NULL);
        assert_field(&r, "Content-Type", NULL);
        assert_true(varies_by_origin(&r));
        char *headers = response_field(&r, "Access-Control-Allow-Headers");
        assert_non_null(headers);
        assert_non_null(strstr(headers, "Authorization"));
        assert_non_null(strstr(headers, "Content-Type"));
        free(headers);
        response_done(&r);
    }
}

static void any_other_options_is_what_it_was(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fields;
    } cases[] = {
        {"OPTIONS /embed", ""},
        {"OPTIONS /embed", ORIGIN},
        {"OPTIONS /embed", PREFLIGHT},
        {"OPTIONS /embed", "Origin: https://evil.example.org\r\n" PREFLIGHT},
        {"OPTIONS /embed", "Origin: null\r\n" PREFLIGHT},
        {"OPTIONS /embed", "Origin: https://app.example.org.evil.org\r\n" PREFLIGHT},
        {"OPTIONS /embed", ORIGIN ORIGIN PREFLIGHT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char fields[512];
        struct response r = ask(cases[i].line, cases[i].fields, NULL);
        assert_refused(&r);
        assert_field(&r, "Access-Control-Allow-Methods", NULL);
        response_done(&r);
        snprintf(fields, sizeof fields, "%sX-API-Key: " KEY "\r\n", cases[i].fields);
        r = ask(cases[i].line, fields, NULL);
        assert_problem(&r, 405, "method_not_allowed");
        assert_field(&r, "Allow", "POST");
        assert_field(&r, "Access-Control-Allow-Methods", NULL);
        response_done(&r);
    }
}

static void answers_say_which_origin_may_read_them(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fields, *reader;
        unsigned status;
    } cases[] = {
        {"POST /tokenize", ORIGIN "X-API-Key: " KEY "\r\n", "https://app.example.org", 200},
        {"POST /tokenize", ORIGIN, "https://app.example.org", 401},
        {"GET /health/live", "Origin: http://localhost:3000\r\n", "http://localhost:3000", 200},
        {"GET /health/live", "Origin: HTTPS://APP.example.org\r\n", "HTTPS://APP.example.org", 200},
        {"GET /nothing", ORIGIN "X-API-Key: " KEY "\r\n", "https://app.example.org", 404},
        {"GET /health/live", "", NULL, 200},
        {"GET /health/live", "Origin: http://localhost\r\n", NULL, 200},
        {"GET /health/live", "Origin: null\r\n", NULL, 200},
        {"GET /health/live", "Origin: \r\n", NULL, 200},
        {"GET /health/live", ORIGIN "Origin: http://localhost:3000\r\n", NULL, 200},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool is_post = strncmp(cases[i].line, "POST", 4) == 0;
        struct response r = ask(cases[i].line, cases[i].fields, is_post ? BODY : NULL);
        assert_int_equal(r.status, cases[i].status);
        assert_field(&r, "Access-Control-Allow-Origin", cases[i].reader);
        assert_field(&r, "Access-Control-Expose-Headers",
                     cases[i].reader ? "X-Request-Id, Server-Timing, Retry-After" : NULL);
        assert_true(varies_by_origin(&r));
        response_done(&r);
    }
}

/* Answers that libmicrohttpd does not write: the body is late. */
static void a_late_answer_says_it_too(void **state)
{
    (void)state;
    struct client client = client_open(server);
    client_send_text(&client, "POST /embed HTTP/1.1\r\nHost: x\r\nX-API-Key: " KEY "\r\n" ORIGIN
                              "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{");
    struct response r = client_read(&client);
    assert_problem(&r, 408, "body_timeout");
    assert_field(&r, "Access-Control-Allow-Origin", "https://app.example.org");
    response_done(&r);
    client_close(&client);
}

static void without_a_list_there_is_not_a_word_of_it(void **state)
{
    (void)state;
    struct server *common = server;
    server = server_start(SERVER_FAKE, NULL);
    struct response r = ask("OPTIONS /embed", ORIGIN PREFLIGHT, NULL);
    assert_problem(&r, 405, "method_not_allowed");
    assert_null(strstr(r.head, "Access-Control"));
    assert_false(varies_by_origin(&r));
    response_done(&r);
    r = ask("POST /tokenize", ORIGIN "Authorization: Basic eDp5\r\n", BODY);
    assert_int_equal(r.status, 200); /* a proxy's, perhaps */
    assert_null(strstr(r.head, "Access-Control"));
    response_done(&r);
    server_stop(server);
    server = common;
}

static void a_star_is_any_origin(void **state)
{
    (void)state;
    struct server *common = server;
    server = server_start(SERVER_FAKE, (const char *[]){"--cors-origins", "*", NULL});
    struct response r = ask("OPTIONS /embed", "Origin: null\r\n" PREFLIGHT, NULL);
    assert_int_equal(r.status, 204);
    assert_field(&r, "Access-Control-Allow-Origin", "*");
    response_done(&r);
    r = ask("POST /tokenize", ORIGIN, BODY);
    assert_int_equal(r.status, 200);
    assert_field(&r, "Access-Control-Allow-Origin", "*");
    assert_false(varies_by_origin(&r));
    response_done(&r);
    server_stop(server);
    server = common;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_lets_in),
        cmocka_unit_test(nothing_else_lets_in),
        cmocka_unit_test(a_key_is_asked_for_before_anything_else),
        cmocka_unit_test(what_machines_and_browsers_look_at_needs_no_key),
        cmocka_unit_test(refusals_are_counted),
        cmocka_unit_test(the_connection_lives_on_after_a_short_body),
        cmocka_unit_test(a_long_body_is_not_waited_for),
        cmocka_unit_test(chunks_without_a_key_are_cut_off),
        cmocka_unit_test(a_body_without_a_key_that_is_late_is_refused_for_the_key),
        cmocka_unit_test(keys_are_nowhere_to_be_read),
        cmocka_unit_test(a_file_that_others_may_read_is_warned_of),
        cmocka_unit_test(a_hangup_loads_the_keys_anew_unless_they_are_wrong),
        cmocka_unit_test(openai_clients_are_refused_in_their_dialect),
        cmocka_unit_test(a_bad_file_of_keys_ends_the_start),
        cmocka_unit_test(a_preflight_of_an_allowed_origin_is_answered_without_a_key),
        cmocka_unit_test(any_other_options_is_what_it_was),
        cmocka_unit_test(answers_say_which_origin_may_read_them),
        cmocka_unit_test(a_late_answer_says_it_too),
        cmocka_unit_test(without_a_list_there_is_not_a_word_of_it),
        cmocka_unit_test(a_star_is_any_origin),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

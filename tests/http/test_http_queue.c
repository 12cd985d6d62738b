/* While the model is loading or busy, and when the server is to end. The gate of the fake model
 * holds a run for as long as a test likes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "harness.h"

#define BODY "{\"inputs\":\"a b c\"}" /* costs 3 + 2 */

static char *field_of(const struct response *r, const char *name)
{
    char *value = response_field(r, name);
    if (!value)
        fail_msg("no %s in %s", name, r->head);
    return value;
}

static void assert_status(struct client *client, unsigned status, const char *code)
{
    struct response r = client_read(client);
    if (code)
        assert_problem(&r, status, code);
    assert_int_equal(r.status, status);
    response_done(&r);
}

/* Sends a request and waits until a worker runs it behind the shut gate. */
static struct client hold_worker(struct server *server)
{
    struct client client = client_open(server);
    server_tell(server, 's');
    client_post(&client, "/embed", "", BODY);
    server_tell(server, 'w');
    return client;
}

/* Sends a request and waits until it is the nth in the queue. */
static struct client wait_in_queue(struct server *server, const char *more, double nth)
{
    struct client client = client_open(server);
    client_post(&client, "/embed", more, BODY);
    wait_for_metric(server, "elmod_queue_requests", nth);
    return client;
}

/* ---- Full, late ---- */

static void a_full_queue_asks_to_come_back(void **state)
{
    (void)state;
    const char *const flags[] = {
        "--queue-tokens", "10", "--max-request-tokens", "10", "--retry-after-ms", "1500", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client held = hold_worker(server);
    struct client first = wait_in_queue(server, "", 1), second = wait_in_queue(server, "", 2);
    assert_true(metric(server, "elmod_queue_tokens") == 10);

    struct response r = post(server, "/sentiment", BODY);
    assert_problem(&r, 429, "queue_full");
    char *retry_after = field_of(&r, "Retry-After");
    assert_string_equal(retry_after, "2"); /* 1.5 s, rounded up */
    json_t *problem = response_json(&r);
    assert_int_equal(json_integer_value(json_object_get(problem, "retry_after_ms")), 1500);
    json_decref(problem);
    free(retry_after);
    response_done(&r);
    r = get(server, "/health/ready"); /* full, but fine */
    assert_int_equal(r.status, 200);
    response_done(&r);
    r = post(server, "/tokenize", BODY); /* needs no place */
    assert_int_equal(r.status, 200);
    response_done(&r);

    server_tell(server, 'o');
    assert_status(&held, 200, NULL);
    assert_status(&first, 200, NULL);
    assert_status(&second, 200, NULL);
    r = post(server, "/sentiment", BODY);
    assert_int_equal(r.status, 200);
    response_done(&r);
    assert_true(metric(server, "elmod_rejected_total{reason=\"queue_full\"}") == 1);
    client_close(&held);
    client_close(&first);
    client_close(&second);
    server_stop(server);
}

static void answers_under_way_have_a_limit_of_memory(void **state)
{
    (void)state;
    const char *const flags[] = {"--answer-bytes", "1", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client held = hold_worker(server); /* nothing else is under way: any size is taken */
    struct response r = post(server, "/embed", BODY);
    assert_problem(&r, 429, "queue_full");
    free(field_of(&r, "Retry-After"));
    response_done(&r);
    server_tell(server, 'o');
    assert_status(&held, 200, NULL);
    wait_for_metric(server, "elmod_inflight_requests", 1); /* the scrape itself */
    r = post(server, "/embed", BODY);
    assert_int_equal(r.status, 200);
    response_done(&r);
    client_close(&held);
    server_stop(server);
}

/* One token so long that its answer fills the sockets. */
static void an_answer_that_nobody_reads_counts_as_under_way(void **state)
{
    (void)state;
    enum { TOKEN_BYTES = 30000000 };
    const char *const flags[] = {"--answer-bytes", "1", "--max-body-bytes", "40000000", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    static const char before[] = "{\"inputs\":[[\"", after[] = "\"]]}";
    char *body = malloc(sizeof before + TOKEN_BYTES + sizeof after);
    assert_non_null(body);
    memcpy(body, before, sizeof before - 1);
    memset(body + sizeof before - 1, 'a', TOKEN_BYTES);
    memcpy(body + sizeof before - 1 + TOKEN_BYTES, after, sizeof after);
    struct client silent = client_open(server);
    double runs = metric(server, "elmod_batch_requests_count");
    client_post(&silent, "/embed", "", body);
    free(body);
    wait_for_metric(server, "elmod_batch_requests_count", runs + 1);
    struct response r = post(server, "/embed", BODY);
    assert_problem(&r, 429, "queue_full");
    response_done(&r);
    client_close(&silent);
    wait_for_metric(server, "elmod_inflight_requests", 1); /* the scrape itself */
    r = post(server, "/embed", BODY);
    assert_int_equal(r.status, 200);
    response_done(&r);
    server_stop(server);
}

static void what_waited_runs_as_one_batch(void **state)
{
    (void)state;
    struct server *server = server_start(SERVER_FAKE, NULL);
    struct client clients[6];
    clients[0] = hold_worker(server);
    double batches = metric(server, "elmod_batch_requests_count");
    for (int i = 1; i < 6; i++)
        clients[i] = wait_in_queue(server, "", i);
    server_tell(server, 'o');
    for (int i = 0; i < 6; i++) {
        assert_status(&clients[i], 200, NULL);
        client_close(&clients[i]);
    }
    assert_true(metric(server, "elmod_batch_requests_count") == batches + 1);
    server_stop(server);
}

static void a_deadline_that_passes_in_the_queue_is_told_at_once(void **state)
{
    (void)state;
    struct server *server = server_start(SERVER_FAKE, NULL);
    struct client held = hold_worker(server), late = client_open(server);
    client_post(&late, "/embed", "X-Request-Timeout-Ms: 50\r\n", BODY);
    assert_status(&late, 504, "deadline_exceeded"); /* the gate is still shut */
    server_tell(server, 'o');
    assert_status(&held, 200, NULL);
    client_close(&held);
    client_close(&late);
    server_stop(server);
}

static void the_deadline_of_the_server_holds_for_all(void **state)
{
    (void)state;
    const char *const flags[] = {"--request-timeout-ms", "50", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client held = hold_worker(server), late = client_open(server);
    client_post(&late, "/embed", "X-Request-Timeout-Ms: 3600000\r\n", BODY);
    assert_status(&late, 504, "deadline_exceeded");
    server_tell(server, 'o');
    assert_status(&held, 200, NULL); /* its computing had begun in time */
    client_close(&held);
    client_close(&late);
    server_stop(server);
}

static void clients_that_leave_do_no_harm(void **state)
{
    (void)state;
    /* The library may notice the end of a stream that comes with the last bytes only at a timeout.
     */
    const char *const flags[] = {"--header-timeout-ms", "500", "--body-timeout-ms", "500", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client running = hold_worker(server);
    struct client waiting = wait_in_queue(server, "", 1), staying = wait_in_queue(server, "", 2);
    const struct linger reset = {.l_onoff = 1};
    setsockopt(running.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_close(&running); /* with a reset */
    client_close(&waiting); /* in good order */
    struct client half = client_open(server);
    client_send_text(&half, "POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"inp");
    client_close(&half); /* in the middle of its body */
    server_tell(server, 'o');
    assert_status(&staying, 200, NULL);
    client_close(&staying);
    wait_for_metric(server, "elmod_inflight_requests", 1); /* the scrape itself */
    server_stop(server);
}

/* ---- Loading ---- */

static void while_the_model_loads_the_server_is_alive_but_not_ready(void **state)
{
    (void)state;
    struct server *server = server_start_unloaded(SERVER_FAKE, NULL);
    static const char *const gets[] = {"/health/ready", "/health", "/info"};
    static const char *const posts[] = {"/embed", "/sentiment", "/tokenize"};
    for (int i = 0; i < 3; i++) {
        struct response r = get(server, gets[i]);
        assert_problem(&r, 503, "loading");
        free(field_of(&r, "Retry-After"));
        response_done(&r);
        r = post(server, posts[i], BODY);
        assert_problem(&r, 503, "loading");
        response_done(&r);
    }
    struct response r = get(server, "/metrics");
    assert_int_equal(r.status, 200);
    response_done(&r);
    server_tell(server, 'l');
    time_t give_up = time(NULL) + 60;
    do {
        r = get(server, "/health/ready");
        unsigned status = r.status;
        response_done(&r);
        if (status == 200)
            break;
    } while (time(NULL) < give_up);
    r = post(server, "/embed", BODY);
    assert_int_equal(r.status, 200);
    response_done(&r);
    server_stop(server);
}

static void a_model_without_a_head_has_no_sentiment(void **state)
{
    (void)state;
    setenv("FAKE_ELMO_HEADLESS", "1", 1);
    struct server *server = server_start(SERVER_FAKE, NULL);
    unsetenv("FAKE_ELMO_HEADLESS");
    struct response r = post(server, "/sentiment", BODY);
    assert_problem(&r, 501, "not_in_model");
    response_done(&r);
    server_stop(server);
}

static void a_result_that_is_not_finite_blames_the_mix_or_us(void **state)
{
    (void)state;
    struct server *server = server_start(SERVER_FAKE, NULL);
    struct response r = post(server, "/embed", "{\"inputs\":\"NaN\",\"mix\":{\"gamma\":2}}");
    assert_problem(&r, 422, "invalid_value");
    assert_non_null(strstr(r.body, "\"#/mix\""));
    response_done(&r);
    r = post(server, "/embed", "{\"inputs\":\"NaN\"}");
    assert_problem(&r, 500, "internal");
    response_done(&r);
    r = post(server, "/embed", "{\"inputs\":\"lost\"}");
    assert_problem(&r, 500, "internal");
    response_done(&r);
    server_stop(server);
}

/* ---- The end ---- */

static void everything_accepted_is_answered_before_the_end(void **state)
{
    (void)state;
    const char *const flags[] = {"--drain-grace-ms", "300", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client held = hold_worker(server), queued = wait_in_queue(server, "", 1);
    struct client idle = client_open(server), talking = client_open(server);
    client_get(&talking, "/health/ready", "");
    assert_status(&talking, 200, NULL);
    server_signal(server, SIGTERM);
    struct response r = {0};
    while (r.status != 503) { /* until the signal has arrived */
        response_done(&r);
        r = get(server, "/health/ready");
    }
    assert_problem(&r, 503, "draining");
    free(field_of(&r, "Retry-After"));
    char *connection = field_of(&r, "Connection");
    assert_string_equal(connection, "close");
    free(connection);
    response_done(&r);
    client_post(&talking, "/tokenize", "", BODY); /* still served in the grace, then closed */
    assert_status(&talking, 200, NULL);
    client_expect_close(&talking);
    server_tell(server, 'o');
    assert_status(&held, 200, NULL);
    assert_status(&queued, 200, NULL);
    client_expect_close(&held);
    client_expect_close(&queued);
    client_expect_close(&idle);
    assert_int_equal(server_wait(server), 0);
    client_close(&held);
    client_close(&queued);
    client_close(&idle);
    client_close(&talking);
}

static void sigint_ends_it_as_well(void **state)
{
    (void)state;
    struct server *server = server_start(SERVER_FAKE, NULL);
    server_signal(server, SIGINT);
    assert_int_equal(server_wait(server), 0);
}

static void a_second_signal_ends_it_at_once(void **state)
{
    (void)state;
    struct server *server = server_start(SERVER_FAKE, NULL);
    struct client held = hold_worker(server);
    server_signal(server, SIGTERM);
    struct response r = {0};
    while (r.status != 503) {
        char *log = server_log(server);
        r.status = strstr(log, "\"draining\"") ? 503 : 0;
        free(log);
    }
    server_signal(server, SIGINT);
    assert_int_equal(server_wait(server), 128 + SIGINT);
    client_close(&held);
}

/* The kernel lets clients connect before elmod looks: with elmod stopped, all of these wait in the
 * listener's backlog, and SIGTERM is there as soon as it goes on. */
static void who_has_connected_before_the_listener_closes_is_answered(void **state)
{
    (void)state;
    enum { N_CLIENTS = 64 };
    struct client clients[N_CLIENTS];
    struct server *server = server_start(SERVER_FAKE, NULL);
    server_signal(server, SIGSTOP);
    for (size_t k = 0; k < N_CLIENTS; k++) {
        clients[k] = client_open(server);
        client_post(&clients[k], "/tokenize", "", BODY);
    }
    server_signal(server, SIGTERM);
    server_signal(server, SIGCONT);
    for (size_t k = 0; k < N_CLIENTS; k++) {
        assert_status(&clients[k], 200, NULL);
        client_close(&clients[k]);
    }
    assert_int_equal(server_wait(server), 0);
}

static void what_takes_longer_than_the_drain_timeout_is_given_up(void **state)
{
    (void)state;
    const char *const flags[] = {"--drain-timeout-ms", "200", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client held = hold_worker(server);
    server_signal(server, SIGTERM);
    assert_int_equal(server_wait(server), 1);
    client_close(&held);
}

/* Of those that close in the middle of a body a few are not noticed until the body's time is up. */
static void clients_that_left_half_way_are_not_waited_for(void **state)
{
    (void)state;
    const char *const flags[] = {"--drain-timeout-ms", "10000", NULL}; /* a body has 30 s */
    struct server *server = server_start(SERVER_FAKE, flags);
    for (int i = 0; i < 300; i++) {
        struct client client = client_open(server);
        client_send_text(&client,
                         "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         "Content-Length: 100\r\n\r\n{\"inputs\":");
        client_close(&client);
    }
    server_stop(server);
}

static void new_connections_are_refused_once_it_no_longer_listens(void **state)
{
    (void)state;
    struct server *server = server_start(SERVER_FAKE, NULL);
    struct client held = hold_worker(server), last = client_open(server);
    client_get(&last, "/health/live", "");
    assert_status(&last, 200, NULL);
    server_signal(server, SIGTERM);
    client_expect_close(&last); /* kept connections are let go after the listener is closed */
    assert_false(server_accepts(server));
    server_tell(server, 'o');
    assert_status(&held, 200, NULL);
    assert_int_equal(server_wait(server), 0);
    client_close(&held);
    client_close(&last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_asks_to_come_back),
        cmocka_unit_test(answers_under_way_have_a_limit_of_memory),
        cmocka_unit_test(an_answer_that_nobody_reads_counts_as_under_way),
        cmocka_unit_test(what_waited_runs_as_one_batch),
        cmocka_unit_test(a_deadline_that_passes_in_the_queue_is_told_at_once),
        cmocka_unit_test(the_deadline_of_the_server_holds_for_all),
        cmocka_unit_test(clients_that_leave_do_no_harm),
        cmocka_unit_test(while_the_model_loads_the_server_is_alive_but_not_ready),
        cmocka_unit_test(a_model_without_a_head_has_no_sentiment),
        cmocka_unit_test(a_result_that_is_not_finite_blames_the_mix_or_us),
        cmocka_unit_test(everything_accepted_is_answered_before_the_end),
        cmocka_unit_test(sigint_ends_it_as_well),
        cmocka_unit_test(a_second_signal_ends_it_at_once),
        cmocka_unit_test(who_has_connected_before_the_listener_closes_is_answered),
        cmocka_unit_test(what_takes_longer_than_the_drain_timeout_is_given_up),
        cmocka_unit_test(clients_that_left_half_way_are_not_waited_for),
        cmocka_unit_test(new_connections_are_refused_once_it_no_longer_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

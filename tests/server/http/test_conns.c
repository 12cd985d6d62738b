#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/conns.h"
#include "util/clock.h"

#define SOON_MS  30
#define NEVER_MS 3600000

/* A connection whose other end the test holds. */
struct pair {
    int ours, theirs;
    struct conn *conn;
};

static void write_late(void *request, struct buffer *out)
{
    buffer_append_text(out, request);
}

static struct conns *start(uint64_t header_ms, uint64_t body_ms, uint64_t idle_ms)
{
    struct conns *conns =
        conns_start(&(struct conns_options){header_ms, body_ms, idle_ms, write_late});
    assert_non_null(conns);
    return conns;
}

static struct pair open_pair(struct conns *conns)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct pair pair = {fds[0], fds[1], conns_add(conns, fds[0])};
    assert_non_null(pair.conn);
    return pair;
}

static void close_pair(struct conns *conns, struct pair *pair)
{
    conns_remove(conns, pair->conn);
    close(pair->ours);
    close(pair->theirs);
}

/* Waits for the end of the stream and returns what came before it. */
static size_t read_all(int fd, char *bytes, size_t capacity)
{
    size_t n = 0;
    ssize_t r;
    while ((r = read(fd, bytes + n, capacity - n)) > 0)
        n += (size_t)r;
    assert_int_equal(r, 0);
    return n;
}

static void assert_cut_with(const struct pair *pair, const char *expected)
{
    char bytes[256];
    size_t n = read_all(pair->theirs, bytes, sizeof bytes);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(bytes, expected, n);
}

static bool is_open(const struct pair *pair)
{
    char byte;
    return recv(pair->theirs, &byte, 1, MSG_DONTWAIT) < 0;
}

static void a_silent_new_connection_is_cut(void **state)
{
    (void)state;
    struct conns *conns = start(SOON_MS, NEVER_MS, NEVER_MS);
    struct pair pair = open_pair(conns);
    assert_cut_with(&pair, "");
    assert_false(conn_enter(conns, pair.conn, CONN_HEAD, NULL));
    close_pair(conns, &pair);
    conns_stop(conns);
}

static void a_late_body_is_told_so(void **state)
{
    (void)state;
    struct conns *conns = start(NEVER_MS, SOON_MS, NEVER_MS);
    struct pair pair = open_pair(conns);
    char answer[] = "408 of this request";
    assert_true(conn_enter(conns, pair.conn, CONN_HEAD, NULL));
    assert_true(conn_enter(conns, pair.conn, CONN_BODY, answer));
    assert_cut_with(&pair, answer);
    assert_false(conn_enter(conns, pair.conn, CONN_BUSY, NULL));
    close_pair(conns, &pair);
    conns_stop(conns);
}

static void an_idle_kept_connection_is_cut(void **state)
{
    (void)state;
    struct conns *conns = start(NEVER_MS, NEVER_MS, SOON_MS);
    struct pair pair = open_pair(conns);
    assert_true(conn_enter(conns, pair.conn, CONN_HEAD, NULL));
    assert_true(conn_enter(conns, pair.conn, CONN_BUSY, NULL));
    assert_true(conn_enter(conns, pair.conn, CONN_ANSWER, NULL));
    assert_true(conn_enter(conns, pair.conn, CONN_KEPT, NULL));
    assert_cut_with(&pair, "");
    close_pair(conns, &pair);
    conns_stop(conns);
}

static void the_head_of_a_later_request_has_its_own_time(void **state)
{
    (void)state;
    struct conns *conns = start(SOON_MS, NEVER_MS, NEVER_MS);
    struct pair pair = open_pair(conns);
    assert_true(conn_enter(conns, pair.conn, CONN_BUSY, NULL));
    assert_true(conn_enter(conns, pair.conn, CONN_KEPT, NULL));
    assert_true(conn_enter(conns, pair.conn, CONN_HEAD, NULL));
    assert_cut_with(&pair, "");
    close_pair(conns, &pair);
    conns_stop(conns);
}

/* Two connections: when the one with a deadline is cut, the busy one has had as much time. */
static void work_of_ours_is_never_cut(void **state)
{
    (void)state;
    struct conns *conns = start(SOON_MS, SOON_MS, SOON_MS);
    struct pair busy = open_pair(conns), answering = open_pair(conns);
    assert_true(conn_enter(conns, busy.conn, CONN_BUSY, NULL));
    assert_true(conn_enter(conns, answering.conn, CONN_ANSWER, NULL));
    struct pair silent = open_pair(conns);
    assert_cut_with(&silent, "");
    assert_true(is_open(&busy));
    assert_true(is_open(&answering));
    close_pair(conns, &silent);
    close_pair(conns, &busy);
    close_pair(conns, &answering);
    conns_stop(conns);
}

static void a_cut_by_hand_sends_a_last_answer(void **state)
{
    (void)state;
    struct conns *conns = start(NEVER_MS, NEVER_MS, NEVER_MS);
    struct pair pair = open_pair(conns);
    AUTO(buffer_done) struct buffer last = {0};
    buffer_append_text(&last, "too large");
    conn_cut(pair.conn, &last);
    conn_cut(pair.conn, &last); /* the second time there is nothing left to cut */
    assert_cut_with(&pair, "too large");
    close_pair(conns, &pair);
    conns_stop(conns);
}

static void draining_shortens_the_wait_of_the_idle(void **state)
{
    (void)state;
    struct conns *conns = start(NEVER_MS, NEVER_MS, NEVER_MS);
    struct pair fresh = open_pair(conns), kept = open_pair(conns), busy = open_pair(conns);
    assert_true(conn_enter(conns, kept.conn, CONN_KEPT, NULL));
    assert_true(conn_enter(conns, busy.conn, CONN_BUSY, NULL));
    conns_drain(conns);
    assert_cut_with(&fresh, "");
    assert_cut_with(&kept, "");
    assert_true(is_open(&busy));
    assert_true(conn_enter(conns, busy.conn, CONN_KEPT, NULL));
    assert_cut_with(&busy, "");
    close_pair(conns, &fresh);
    close_pair(conns, &kept);
    close_pair(conns, &busy);
    assert_true(conns_wait_empty(conns, clock_now_ns()));
    conns_stop(conns);
}

static void waiting_for_empty_ends_at_the_deadline(void **state)
{
    (void)state;
    struct conns *conns = start(NEVER_MS, NEVER_MS, NEVER_MS);
    struct pair pair = open_pair(conns);
    assert_false(conns_wait_empty(conns, clock_now_ns() + SOON_MS * NS_PER_MS));
    close_pair(conns, &pair);
    assert_true(conns_wait_empty(conns, clock_now_ns() + NEVER_MS * NS_PER_MS));
    conns_stop(conns);
}

struct churn {
    struct conns *conns;
    int fd;
};

static void *add_and_remove(void *arg)
{
    struct churn *churn = arg;
    for (int i = 0; i < 2000; i++) {
        struct conn *conn = conns_add(churn->conns, churn->fd);
        conn_enter(churn->conns, conn, CONN_BODY, "x");
        conn_enter(churn->conns, conn, CONN_KEPT, NULL);
        conns_remove(churn->conns, conn);
    }
    return NULL;
}

/* For the thread sanitizer: phases change while the reaper looks at them. */
static void connections_come_and_go_under_the_reaper(void **state)
{
    (void)state;
    struct conns *conns = start(1, 1, 1);
    struct pair pair = open_pair(conns);
    struct churn churn = {conns, pair.ours};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_remove, &churn), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    close_pair(conns, &pair);
    conns_stop(conns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_new_connection_is_cut),
        cmocka_unit_test(a_late_body_is_told_so),
        cmocka_unit_test(an_idle_kept_connection_is_cut),
        cmocka_unit_test(the_head_of_a_later_request_has_its_own_time),
        cmocka_unit_test(work_of_ours_is_never_cut),
        cmocka_unit_test(a_cut_by_hand_sends_a_last_answer),
        cmocka_unit_test(draining_shortens_the_wait_of_the_idle),
        cmocka_unit_test(waiting_for_empty_ends_at_the_deadline),
        cmocka_unit_test(connections_come_and_go_under_the_reaper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#pragma once
/* All open connections and the thread that cuts off the slow ones. libmicrohttpd's own timeout
 * counts inactivity, so a client that sends one byte a second never meets it; here every phase of
 * reading has a deadline of its own.
 *
 *     NEW    accepted, no request yet      header_timeout, for the request line and the headers
 *     HEAD   a request line came           NEW's deadline if it is the first request of its
 *                                          connection, else header_timeout from now
 *     BODY   the headers came              body_timeout; the client is told so (408)
 *     BUSY   the request is here           none: ours to answer
 *     ANSWER the answer is being sent      none: libmicrohttpd cuts who does not read
 *     KEPT   the answer is sent            idle_timeout, for the next request line
 *     CUT    shut down by us; the socket is still open until the owner closes it
 *
 * When the first bytes of a request line arrive cannot be seen from outside of libmicrohttpd: so a
 * first request is timed from the connection's start, and the trickle of a later request line may
 * take idle_timeout.
 *
 * Every connection has a lock, which its requests meet nobody at but the thread; it is held for
 * pointer moves, for shutdown(2) and for one short send to a socket whose buffer is empty. One more
 * lock guards the list. */
#include <stdint.h>

#include "util/buffer.h"

struct conns_options {
    uint64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms;
    /* Appends the last answer to a client whose body did not arrive in time: a whole HTTP response.
     * Called under the lock with what conn_enter got, and sent as it is. NULL: none is sent,
     * as with TLS, where only the connection's own thread may send. */
    void (*write_late_answer)(void *request, struct buffer *out);
};

enum conn_phase {
    CONN_NEW,
    CONN_HEAD,
    CONN_BODY,
    CONN_BUSY,
    CONN_ANSWER,
    CONN_KEPT,
    CONN_CUT,
};

struct conns;
struct conn;

/* Starts the thread; NULL: there is no memory, or no thread. */
struct conns *conns_start(const struct conns_options *options);
/* All connections must be removed. NULL is fine. */
void conns_stop(struct conns *conns);
DEFINE_AUTO(conns_stop, struct conns *);

/* A connection was accepted on the socket `fd`, which is borrowed until conns_remove. NULL: out of
 * memory. */
struct conn *conns_add(struct conns *conns, int fd);
/* Call it before the socket is closed: a number that is used again must not be cut. NULL is
 * fine. */
void conns_remove(struct conns *conns, struct conn *conn);

/* The connection is in this phase from now on. `request` belongs to the phase: it may be used until
 * the next conn_enter. False: the connection was cut and nothing may be sent any more. */
bool conn_enter(struct conns *conns, struct conn *conn, enum conn_phase phase, void *request);

/* Sends the bytes, as far as the socket takes them at once, and cuts the connection. */
void conn_cut(struct conn *conn, const struct buffer *last_answer);

/* No connection is worth keeping from now on: those without a request get one more second to send
 * one that may be on its way. */
void conns_drain(struct conns *conns);
/* Waits until no connection is open; false: the deadline passed. */
bool conns_wait_empty(struct conns *conns, uint64_t deadline_ns);

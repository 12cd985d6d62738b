#include "conns.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "util/clock.h"

#define DRAIN_PATIENCE_MS 1000
#define DRAIN_LOOK_MS     100 /* between looks at who is gone */

struct conn {
    struct conn *next, *prev; /* guarded by conns->mu */
    int fd;                   /* borrowed */
    pthread_mutex_t mu;       /* guards everything below; conns->mu is never taken under it */
    enum conn_phase phase;
    uint64_t deadline_ns; /* of the phase; UINT64_MAX: none */
    void *request;        /* of the phase */
};

struct conns {
    struct conns_options options; /* const */
    pthread_t reaper;
    /* The deadline that the reaper sleeps until; UINT64_MAX also while it looks for it, so that
     * whoever sets an earlier one meanwhile comes to wake it. */
    _Atomic uint64_t watched_ns;
    atomic_bool draining;
    pthread_mutex_t mu;      /* guards everything below */
    pthread_cond_t sooner;   /* the reaper waits: an earlier deadline came, or it must stop */
    pthread_cond_t is_empty; /* conns_wait_empty waits */
    struct conn *head;
    bool stopping;
};

static uint64_t after_ms(uint64_t ms)
{
    return clock_now_ns() + ms * NS_PER_MS;
}

/* A deadline was set: wakes the reaper where it sleeps too long for it. No lock is held. */
static void note_deadline(struct conns *conns, uint64_t deadline_ns)
{
    if (deadline_ns >= atomic_load(&conns->watched_ns))
        return;
    pthread_mutex_lock(&conns->mu);
    pthread_cond_signal(&conns->sooner);
    pthread_mutex_unlock(&conns->mu);
}

/* conn->mu is held. */
static void cut(struct conn *conn, const struct buffer *last_answer)
{
    if (last_answer && !last_answer->failed && last_answer->n_bytes > 0)
        (void)send(conn->fd, last_answer->bytes, last_answer->n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(conn->fd, SHUT_RDWR); /* its owner sees the end of the stream and closes it */
    conn->phase = CONN_CUT;
    conn->deadline_ns = UINT64_MAX;
}

/* conn->mu is held. */
static void cut_late(struct conns *conns, struct conn *conn)
{
    AUTO(buffer_done) struct buffer answer = {0};
    if (conn->phase == CONN_BODY && conns->options.write_late_answer)
        conns->options.write_late_answer(conn->request, &answer);
    cut(conn, &answer);
}

/* The client has closed in the middle of a request: all that it sent is read, and no more will
 * come. libmicrohttpd misses that where the end arrives together with the last bytes: it takes a
 * short read for all there is, and epoll tells of an edge only once. */
static bool is_abandoned(const struct conn *conn)
{
    char byte;
    return (conn->phase == CONN_HEAD || conn->phase == CONN_BODY) &&
           recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Cuts who is late and, in a drain, who is gone; returns when to look again. conns->mu is held. */
static uint64_t reap(struct conns *conns, uint64_t now_ns)
{
    bool draining = atomic_load(&conns->draining);
    uint64_t earliest_ns = draining ? now_ns + DRAIN_LOOK_MS * NS_PER_MS : UINT64_MAX;
    for (struct conn *conn = conns->head; conn; conn = conn->next) {
        pthread_mutex_lock(&conn->mu);
        if (conn->deadline_ns <= now_ns)
            cut_late(conns, conn);
        else if (draining && is_abandoned(conn))
            cut(conn, NULL); /* else the drain would wait for its deadline */
        if (conn->deadline_ns < earliest_ns)
            earliest_ns = conn->deadline_ns;
        pthread_mutex_unlock(&conn->mu);
    }
    return earliest_ns;
}

static void *reaper_main(void *arg)
{
    struct conns *conns = arg;
    pthread_mutex_lock(&conns->mu);
    while (!conns->stopping) {
        atomic_store(&conns->watched_ns, UINT64_MAX);
        uint64_t watched_ns = reap(conns, clock_now_ns());
        atomic_store(&conns->watched_ns, watched_ns);
        struct timespec until = clock_timespec(watched_ns);
        if (watched_ns == UINT64_MAX)
            pthread_cond_wait(&conns->sooner, &conns->mu);
        else
            pthread_cond_timedwait(&conns->sooner, &conns->mu, &until);
    }
    pthread_mutex_unlock(&conns->mu);
    return NULL;
}

static void conns_free(struct conns *conns)
{
    pthread_cond_destroy(&conns->sooner);
    pthread_cond_destroy(&conns->is_empty);
    pthread_mutex_destroy(&conns->mu);
    free(conns);
}

struct conns *conns_start(const struct conns_options *options)
{
    struct conns *conns = calloc(1, sizeof *conns);
    if (!conns)
        return NULL;
    conns->options = *options;
    atomic_init(&conns->watched_ns, UINT64_MAX);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&conns->mu, NULL);
    pthread_cond_init(&conns->sooner, &attr);
    pthread_cond_init(&conns->is_empty, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&conns->reaper, NULL, reaper_main, conns)) {
        conns_free(conns);
        return NULL;
    }
    return conns;
}

void conns_stop(struct conns *conns)
{
    if (!conns)
        return;
    assert(!conns->head);
    pthread_mutex_lock(&conns->mu);
    conns->stopping = true;
    pthread_cond_signal(&conns->sooner);
    pthread_mutex_unlock(&conns->mu);
    pthread_join(conns->reaper, NULL);
    conns_free(conns);
}

struct conn *conns_add(struct conns *conns, int fd)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    uint64_t deadline_ns = after_ms(conns->options.header_timeout_ms);
    conn->fd = fd;
    conn->phase = CONN_NEW;
    conn->deadline_ns = deadline_ns;
    pthread_mutex_init(&conn->mu, NULL);
    pthread_mutex_lock(&conns->mu);
    conn->next = conns->head;
    if (conn->next)
        conn->next->prev = conn;
    conns->head = conn;
    pthread_mutex_unlock(&conns->mu);
    note_deadline(conns, deadline_ns);
    return conn;
}

void conns_remove(struct conns *conns, struct conn *conn)
{
    if (!conn)
        return;
    pthread_mutex_lock(&conns->mu);
    if (conn->next)
        conn->next->prev = conn->prev;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        conns->head = conn->next;
    if (!conns->head)
        pthread_cond_broadcast(&conns->is_empty);
    pthread_mutex_unlock(&conns->mu);
    pthread_mutex_destroy(&conn->mu);
    free(conn);
}

/* The deadline of a phase that begins now. conn->mu is held. */
static uint64_t phase_deadline(const struct conns *conns, const struct conn *conn,
                               enum conn_phase phase)
{
    switch (phase) {
    case CONN_HEAD:
        return conn->phase == CONN_NEW ? conn->deadline_ns
                                       : after_ms(conns->options.header_timeout_ms);
    case CONN_BODY: return after_ms(conns->options.body_timeout_ms);
    case CONN_KEPT:
        return after_ms(atomic_load(&conns->draining) ? DRAIN_PATIENCE_MS
                                                      : conns->options.idle_timeout_ms);
    case CONN_NEW:
    case CONN_BUSY:
    case CONN_ANSWER:
    case CONN_CUT: break;
    }
    return UINT64_MAX;
}

bool conn_enter(struct conns *conns, struct conn *conn, enum conn_phase phase, void *request)
{
    uint64_t deadline_ns = UINT64_MAX;
    pthread_mutex_lock(&conn->mu);
    bool open = conn->phase != CONN_CUT;
    if (open) {
        deadline_ns = phase_deadline(conns, conn, phase);
        conn->deadline_ns = deadline_ns;
        conn->phase = phase;
    }
    conn->request = request;
    pthread_mutex_unlock(&conn->mu);
    note_deadline(conns, deadline_ns);
    return open;
}

void conn_cut(struct conn *conn, const struct buffer *last_answer)
{
    pthread_mutex_lock(&conn->mu);
    if (conn->phase != CONN_CUT)
        cut(conn, last_answer);
    pthread_mutex_unlock(&conn->mu);
}

void conns_drain(struct conns *conns)
{
    uint64_t soon_ns = after_ms(DRAIN_PATIENCE_MS);
    atomic_store(&conns->draining, true); /* first: who is missed below sees it in conn_enter */
    pthread_mutex_lock(&conns->mu);
    for (struct conn *conn = conns->head; conn; conn = conn->next) {
        pthread_mutex_lock(&conn->mu);
        bool idle = conn->phase == CONN_NEW || conn->phase == CONN_KEPT;
        if (idle && soon_ns < conn->deadline_ns)
            conn->deadline_ns = soon_ns;
        pthread_mutex_unlock(&conn->mu);
    }
    pthread_cond_signal(&conns->sooner); /* it looks more often from now on */
    pthread_mutex_unlock(&conns->mu);
}

bool conns_wait_empty(struct conns *conns, uint64_t deadline_ns)
{
    struct timespec until = clock_timespec(deadline_ns);
    int r = 0;
    pthread_mutex_lock(&conns->mu);
    while (conns->head && r == 0)
        r = pthread_cond_timedwait(&conns->is_empty, &conns->mu, &until);
    bool empty = !conns->head;
    pthread_mutex_unlock(&conns->mu);
    return empty;
}

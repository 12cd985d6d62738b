#include "conns.h"

#include <assert.h>
#include <pthread.h>
#include <sys/socket.h>

#include "clock.h"

#define DRAIN_PATIENCE_MS 1000

struct conn {
    struct conn *next, *prev;
    int fd; /* borrowed */
    enum conn_phase phase;
    uint64_t deadline_ns; /* of the phase; UINT64_MAX: none */
    void *request;        /* of the phase */
};

struct conns {
    struct conns_options options; /* const */
    pthread_t reaper;
    pthread_mutex_t mu;      /* guards everything below */
    pthread_cond_t sooner;   /* the reaper waits: an earlier deadline came, or it must stop */
    pthread_cond_t is_empty; /* conns_wait_empty waits */
    struct conn *head;
    uint64_t watched_ns; /* the deadline that the reaper sleeps until */
    bool draining, stopping;
};

static uint64_t after_ms(uint64_t ms)
{
    return clock_now_ns() + ms * NS_PER_MS;
}

/* The lock is held. */
static void set_deadline(struct conns *conns, struct conn *conn, uint64_t deadline_ns)
{
    conn->deadline_ns = deadline_ns;
    if (deadline_ns < conns->watched_ns)
        pthread_cond_signal(&conns->sooner);
}

/* The lock is held. */
static void cut(struct conn *conn, const struct buffer *last_answer)
{
    if (last_answer && !last_answer->failed && last_answer->n_bytes > 0)
        (void)send(conn->fd, last_answer->bytes, last_answer->n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(conn->fd, SHUT_RDWR); /* its owner sees the end of the stream and closes it */
    conn->phase = CONN_CUT;
    conn->deadline_ns = UINT64_MAX;
}

/* The lock is held. */
static void cut_late(struct conns *conns, struct conn *conn)
{
    AUTO(buffer_done) struct buffer answer = {0};
    if (conn->phase == CONN_BODY && conns->options.write_late_answer)
        conns->options.write_late_answer(conn->request, &answer);
    cut(conn, &answer);
}

/* Cuts who is late; returns the earliest deadline of the others. The lock is held. */
static uint64_t reap(struct conns *conns, uint64_t now_ns)
{
    uint64_t earliest_ns = UINT64_MAX;
    for (struct conn *conn = conns->head; conn; conn = conn->next) {
        if (conn->deadline_ns <= now_ns)
            cut_late(conns, conn);
        if (conn->deadline_ns < earliest_ns)
            earliest_ns = conn->deadline_ns;
    }
    return earliest_ns;
}

static void *reaper_main(void *arg)
{
    struct conns *conns = arg;
    pthread_mutex_lock(&conns->mu);
    while (!conns->stopping) {
        conns->watched_ns = reap(conns, clock_now_ns());
        struct timespec until = clock_timespec(conns->watched_ns);
        if (conns->watched_ns == UINT64_MAX)
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
    conns->watched_ns = UINT64_MAX;
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
    conn->fd = fd;
    conn->phase = CONN_NEW;
    pthread_mutex_lock(&conns->mu);
    conn->next = conns->head;
    if (conn->next)
        conn->next->prev = conn;
    conns->head = conn;
    set_deadline(conns, conn, after_ms(conns->options.header_timeout_ms));
    pthread_mutex_unlock(&conns->mu);
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
    free(conn);
}

/* The deadline of a phase that begins now. The lock is held. */
static uint64_t phase_deadline(const struct conns *conns, const struct conn *conn,
                               enum conn_phase phase)
{
    switch (phase) {
    case CONN_HEAD:
        return conn->phase == CONN_NEW ? conn->deadline_ns
                                       : after_ms(conns->options.header_timeout_ms);
    case CONN_BODY: return after_ms(conns->options.body_timeout_ms);
    case CONN_KEPT:
        return after_ms(conns->draining ? DRAIN_PATIENCE_MS : conns->options.idle_timeout_ms);
    case CONN_NEW:
    case CONN_BUSY:
    case CONN_ANSWER:
    case CONN_CUT: break;
    }
    return UINT64_MAX;
}

bool conn_enter(struct conns *conns, struct conn *conn, enum conn_phase phase, void *request)
{
    pthread_mutex_lock(&conns->mu);
    bool open = conn->phase != CONN_CUT;
    if (open) {
        set_deadline(conns, conn, phase_deadline(conns, conn, phase));
        conn->phase = phase;
    }
    conn->request = request;
    pthread_mutex_unlock(&conns->mu);
    return open;
}

void conn_cut(struct conns *conns, struct conn *conn, const struct buffer *last_answer)
{
    pthread_mutex_lock(&conns->mu);
    if (conn->phase != CONN_CUT)
        cut(conn, last_answer);
    pthread_mutex_unlock(&conns->mu);
}

void conns_drain(struct conns *conns)
{
    pthread_mutex_lock(&conns->mu);
    conns->draining = true;
    uint64_t soon_ns = after_ms(DRAIN_PATIENCE_MS);
    for (struct conn *conn = conns->head; conn; conn = conn->next) {
        bool idle = conn->phase == CONN_NEW || conn->phase == CONN_KEPT;
        if (idle && soon_ns < conn->deadline_ns)
            set_deadline(conns, conn, soon_ns);
    }
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

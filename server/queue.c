#include "queue.h"

#include <assert.h>
#include <pthread.h>

#include "batch.h"
#include "clock.h"

struct queue {
    struct queue_options options; /* const */
    pthread_mutex_t mu;           /* guards everything below */
    pthread_cond_t not_empty;     /* workers wait: a job came, or it was closed */
    pthread_cond_t sooner;        /* the watch waits: an earlier deadline came, or it was closed */
    struct job_list waiting;
    uint64_t watched_ns; /* the deadline that the watch sleeps until */
    bool closed;
};

int queue_new(struct queue **ret_queue, const struct queue_options *options)
{
    struct queue *q = calloc(1, sizeof *q);
    if (!q)
        return ELMO_E_NOMEM;
    q->options = *options;
    q->watched_ns = UINT64_MAX;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->mu, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    pthread_cond_init(&q->sooner, &attr);
    pthread_condattr_destroy(&attr);
    *ret_queue = q;
    return 0;
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    assert(!q->waiting.head);
    pthread_cond_destroy(&q->sooner);
    pthread_cond_destroy(&q->not_empty);
    pthread_mutex_destroy(&q->mu);
    free(q);
}

/* The lock is held. */
static void show_size(struct queue *q)
{
    if (q->options.metrics)
        metrics_queue_set(q->options.metrics, q->waiting.n_jobs, q->waiting.cost);
}

/* The lock is held. */
static enum queue_verdict admit(const struct queue *q, size_t cost)
{
    if (q->closed)
        return QUEUE_CLOSED;
    if (!q->waiting.head)
        return QUEUE_ACCEPTED;
    bool fits =
        q->waiting.cost <= q->options.max_cost && cost <= q->options.max_cost - q->waiting.cost;
    return fits ? QUEUE_ACCEPTED : QUEUE_FULL;
}

enum queue_verdict queue_submit(struct queue *q, struct job *job)
{
    pthread_mutex_lock(&q->mu);
    enum queue_verdict verdict = admit(q, job_cost(job));
    if (verdict == QUEUE_ACCEPTED) {
        job->queued_ns = clock_now_ns();
        job->taken_ns = 0;
        job_list_push(&q->waiting, job);
        show_size(q);
        pthread_cond_signal(&q->not_empty);
        if (job->deadline_ns < q->watched_ns)
            pthread_cond_signal(&q->sooner);
    }
    pthread_mutex_unlock(&q->mu);
    return verdict;
}

bool queue_take(struct queue *q, struct job_list *ret_batch, struct job_list *ret_expired)
{
    pthread_mutex_lock(&q->mu);
    while (!q->waiting.head && !q->closed)
        pthread_cond_wait(&q->not_empty, &q->mu);
    bool any = q->waiting.head != NULL;
    uint64_t now_ns = clock_now_ns();
    batch_drop_expired(&q->waiting, now_ns, ret_expired);
    batch_take(&q->waiting, q->options.max_batch_cost, ret_batch);
    for (struct job *job = ret_batch->head; job; job = job->next)
        job->taken_ns = now_ns;
    show_size(q);
    pthread_mutex_unlock(&q->mu);
    return any;
}

/* Sleeps until the time or a signal. The lock is held. */
static void watch_until(struct queue *q, uint64_t deadline_ns)
{
    q->watched_ns = deadline_ns;
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&q->sooner, &q->mu);
    } else {
        struct timespec until = clock_timespec(deadline_ns);
        pthread_cond_timedwait(&q->sooner, &q->mu, &until);
    }
}

bool queue_take_expired(struct queue *q, struct job_list *ret_expired)
{
    pthread_mutex_lock(&q->mu);
    while (!q->closed) {
        uint64_t next_ns = batch_drop_expired(&q->waiting, clock_now_ns(), ret_expired);
        if (ret_expired->head)
            break;
        watch_until(q, next_ns);
    }
    bool open = !q->closed;
    show_size(q);
    pthread_mutex_unlock(&q->mu);
    return open;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->mu);
    q->closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->sooner);
    pthread_mutex_unlock(&q->mu);
}

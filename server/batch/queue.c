#include "queue.h"

#include <pthread.h>

#include "error.h"
#include "util/clock.h"

struct queue {
    struct queue_options options; /* const */
    pthread_mutex_t mu;           /* guards everything below */
    pthread_cond_t not_empty;     /* wakes a worker: a job arrived, or the queue was closed */
    pthread_cond_t
        earlier; /* wakes the expiry thread: an earlier deadline, or the queue was closed */
    struct schedule schedule;
    size_t n_asleep;    /* workers that wait for not_empty, without the woken ones */
    size_t n_woken;     /* workers that are signalled and do not have the lock yet */
    uint64_t expiry_ns; /* deadline that the expiry thread waits for */
    bool closed;
};

int queue_new(struct queue **ret_queue, const struct queue_options *options, struct elmo_error *err)
{
    struct queue *q = calloc(1, sizeof *q);
    if (!q)
        return elmo_fail_nomem(err);
    q->options = *options;
    schedule_init(&q->schedule, &options->schedule);
    q->expiry_ns = UINT64_MAX;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->mu, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    pthread_cond_init(&q->earlier, &attr);
    pthread_condattr_destroy(&attr);
    *ret_queue = q;
    return 0;
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    schedule_done(&q->schedule);
    pthread_cond_destroy(&q->earlier);
    pthread_cond_destroy(&q->not_empty);
    pthread_mutex_destroy(&q->mu);
    free(q);
}

/* Called with the lock held. */
static bool is_empty(const struct queue *q)
{
    return schedule_n_jobs(&q->schedule) == 0;
}

struct load { /* what is in the queue */
    size_t n_jobs, cost;
};

/* Called with the lock held. */
static struct load load_of(const struct queue *q)
{
    return (struct load){schedule_n_jobs(&q->schedule), q->schedule.cost};
}

/* Adds the change since `before` to the metrics. Called with the lock held. */
static void count_change(const struct queue *q, struct load before)
{
    struct load now = load_of(q);
    if (q->options.metrics)
        metrics_queue_add(q->options.metrics, (int64_t)now.n_jobs - (int64_t)before.n_jobs,
                          (int64_t)now.cost - (int64_t)before.cost);
}

/* For sentences that have left the queue. Called with the lock held. */
static void settle(const struct queue *q, struct load before)
{
    budget_give(q->options.costs, before.cost - q->schedule.cost);
    count_change(q, before);
}

/* Called with the lock held. */
static enum queue_verdict admit(struct queue *q, struct job *job)
{
    size_t cost = job_cost(job);
    struct load before = load_of(q);
    if (q->closed)
        return QUEUE_CLOSED;
    if (!budget_take(q->options.costs, cost))
        return QUEUE_FULL;
    if (!schedule_push(&q->schedule, job)) {
        budget_give(q->options.costs, cost);
        return QUEUE_FULL;
    }
    count_change(q, before);
    return QUEUE_ACCEPTED;
}

/* Marks a sleeping worker as woken. True: the caller must signal not_empty after it has released
 * the lock, because the worker needs the lock first. Only one worker is woken at a time: if it
 * leaves jobs, it wakes the next one. Called with the lock held. */
static bool wake_worker(struct queue *q)
{
    if (q->n_woken > 0 || q->n_asleep == 0)
        return false;
    q->n_asleep--;
    q->n_woken++;
    return true;
}

enum queue_verdict queue_submit(struct queue *q, struct job *job)
{
    pthread_mutex_lock(&q->mu);
    enum queue_verdict verdict = admit(q, job);
    bool wakes = false;
    if (verdict == QUEUE_ACCEPTED) {
        job->queued_ns = clock_now_ns();
        wakes = wake_worker(q);
        if (job->deadline_ns < q->expiry_ns)
            pthread_cond_signal(&q->earlier);
    }
    pthread_mutex_unlock(&q->mu);
    if (wakes)
        pthread_cond_signal(&q->not_empty);
    return verdict;
}

/* Sleeps until a worker is woken or the queue is closed. The first worker to run counts as the
 * woken one. Called with the lock held. */
static void sleep_until_woken(struct queue *q)
{
    q->n_asleep++;
    while (q->n_woken == 0 && !q->closed)
        pthread_cond_wait(&q->not_empty, &q->mu);
    if (q->n_woken > 0)
        q->n_woken--;
    else
        q->n_asleep--;
}

bool queue_take(struct queue *q, struct batch *ret_batch, struct job_list *ret_expired)
{
    pthread_mutex_lock(&q->mu);
    while (is_empty(q) && !q->closed)
        sleep_until_woken(q);
    bool any = !is_empty(q);
    uint64_t now_ns = clock_now_ns();
    struct load before = load_of(q);
    schedule_expire(&q->schedule, now_ns, ret_expired);
    schedule_take(&q->schedule, now_ns, ret_batch);
    ret_batch->n_idle = is_empty(q) ? q->n_asleep + q->n_woken : 0;
    bool wakes = !is_empty(q) && wake_worker(q); /* for the jobs that are left */
    settle(q, before);
    pthread_mutex_unlock(&q->mu);
    if (wakes)
        pthread_cond_signal(&q->not_empty);
    return any;
}

void queue_finish(struct queue *q, const struct batch *batch, struct job_list *ret_done)
{
    pthread_mutex_lock(&q->mu);
    struct load before = load_of(q);
    schedule_finish(&q->schedule, batch, ret_done);
    settle(q, before);
    pthread_mutex_unlock(&q->mu);
}

/* Sleeps until the deadline or a signal. Called with the lock held. */
static void wait_for_deadline(struct queue *q, uint64_t deadline_ns)
{
    q->expiry_ns = deadline_ns;
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&q->earlier, &q->mu);
    } else {
        struct timespec until = clock_timespec(deadline_ns);
        pthread_cond_timedwait(&q->earlier, &q->mu, &until);
    }
}

bool queue_take_expired(struct queue *q, struct job_list *ret_expired)
{
    pthread_mutex_lock(&q->mu);
    while (!q->closed) {
        struct load before = load_of(q);
        uint64_t next_ns = schedule_expire(&q->schedule, clock_now_ns(), ret_expired);
        settle(q, before);
        if (ret_expired->head)
            break;
        wait_for_deadline(q, next_ns);
    }
    bool open = !q->closed;
    pthread_mutex_unlock(&q->mu);
    return open;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->mu);
    q->closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->earlier);
    pthread_mutex_unlock(&q->mu);
}

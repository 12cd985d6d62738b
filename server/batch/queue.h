#pragma once
/* The bounded queue between requests and workers. Its size is counted in tokens (job_cost), because
 * tokens take time and memory; the number of requests does not matter. Several queues may share the
 * limit.
 *
 * queue_take gives a worker the expired jobs and the next batch (chosen by schedule.h). The expiry
 * thread answers jobs whose deadline passes while all workers are busy. The lock is held only while
 * pointers are moved. */
#include "ops/metrics.h"
#include "schedule.h"
#include "util/budget.h"

struct queue_options {
    struct budget *costs;             /* cost of the waiting jobs; borrowed */
    struct schedule_options schedule; /* at most n_workers threads call queue_take */
    struct metrics *metrics;          /* borrowed; NULL: none */
};

struct queue;

/* 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int queue_new(struct queue **ret_queue, const struct queue_options *options,
                            struct elmo_error *err);
/* The queue must be closed and empty, and no thread may be using it. NULL is fine. */
void queue_free(struct queue *queue);
DEFINE_AUTO(queue_free, struct queue *);

enum queue_verdict {
    QUEUE_ACCEPTED, /* done() will be called, perhaps before queue_submit returns */
    QUEUE_FULL, /* the job is untouched: it does not fit, or memory ran out. An empty queue accepts
                   a job of any size */
    QUEUE_CLOSED, /* the job is untouched */
};

enum queue_verdict queue_submit(struct queue *queue, struct job *job);

/* Waits for jobs. Fills *ret_batch, which the caller must run and pass to queue_finish, and moves
 * expired jobs to the empty list *ret_expired, which the caller must finish; one of the two may be
 * empty. ret_batch->n_idle is the number of workers that wait in queue_take and have no job to
 * take. False: the queue is closed and empty. */
bool queue_take(struct queue *queue, struct batch *ret_batch, struct job_list *ret_expired);
/* Call this after the batch was run and the outcomes of its pieces are set. Moves the completed
 * jobs, with their outcomes, to the empty list *ret_done, which the caller must finish. */
void queue_finish(struct queue *queue, const struct batch *batch, struct job_list *ret_done);
/* Waits until jobs expire and moves them to the empty list *ret_expired. False: the queue is
 * closed; queue_take gets the remaining jobs. */
bool queue_take_expired(struct queue *queue, struct job_list *ret_expired);

/* Refuses further jobs and wakes all waiting threads. */
void queue_close(struct queue *queue);

#pragma once
/* The bounded queue between those who ask and those who compute. Its size is counted in tokens
 * (job_cost), because that is what takes time and memory; the number of requests does not matter.
 * The limit may be shared with other queues.
 *
 * A worker that asks gets the expired jobs and the next batch (schedule.h says which), at once. A
 * watch thread answers jobs whose deadline passes while every worker is busy. The lock is held for
 * pointer moves alone. */
#include "ops/metrics.h"
#include "schedule.h"
#include "util/budget.h"

struct queue_options {
    struct budget *costs;             /* of the jobs that wait; borrowed */
    struct schedule_options schedule; /* its n_workers may wait in queue_take */
    struct metrics *metrics;          /* borrowed; NULL: none */
};

struct queue;

/* 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int queue_new(struct queue **ret_queue, const struct queue_options *options,
                            struct elmo_error *err);
/* It must be closed and empty, and nobody may be in a function of it. NULL is
 * fine. */
void queue_free(struct queue *queue);
DEFINE_AUTO(queue_free, struct queue *);

enum queue_verdict {
    QUEUE_ACCEPTED, /* done() will be called, perhaps before queue_submit returns */
    QUEUE_FULL,     /* the job is untouched; where nothing waits any size is taken. Also where
                       memory for its place ran out */
    QUEUE_CLOSED,   /* the job is untouched */
};

enum queue_verdict queue_submit(struct queue *queue, struct job *job);

/* Waits until there are jobs. Fills *ret_batch, which the caller must run and pass to queue_finish,
 * and moves the expired jobs to the empty list given, which the caller must finish; one of the two
 * may stay empty. ret_batch->n_idle is the number of workers that wait here at this moment with
 * nothing left for them. False: closed and empty, for good. */
bool queue_take(struct queue *queue, struct batch *ret_batch, struct job_list *ret_expired);
/* The batch was run, as the outcomes of its pieces say. Moves the jobs that are complete now, with
 * their outcome, to the empty list given, which the caller must finish. */
void queue_finish(struct queue *queue, const struct batch *batch, struct job_list *ret_done);
/* Waits for a deadline to pass, and moves the expired jobs. False: closed; jobs that are still
 * there are left to queue_take. */
bool queue_take_expired(struct queue *queue, struct job_list *ret_expired);

/* No job is accepted any more; those who wait are woken. */
void queue_close(struct queue *queue);

#pragma once
/* The bounded queue between those who ask and those who compute. Its size is counted in tokens
 * (job_cost), because that is what takes time and memory; the number of requests does not matter.
 *
 * A worker that asks gets the expired jobs and the next batch, at once. A watch thread answers jobs
 * whose deadline passes while every worker is busy. The lock is held for pointer moves alone. */
#include "job.h"
#include "metrics.h"

struct queue_options {
    size_t max_cost;         /* above it new jobs are refused */
    size_t max_batch_cost;   /* of what one worker takes at once, see batch.h */
    struct metrics *metrics; /* borrowed; NULL: none */
};

struct queue;

/* 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int queue_new(struct queue **ret_queue, const struct queue_options *options);
/* It must be closed and empty, and nobody may wait in it. NULL is fine. */
void queue_free(struct queue *queue);
DEFINE_AUTO(queue_free, struct queue *);

enum queue_verdict {
    QUEUE_ACCEPTED, /* done() will be called, perhaps before queue_submit returns */
    QUEUE_FULL,     /* the job is untouched; an empty queue takes a job of any size */
    QUEUE_CLOSED,   /* the job is untouched */
};

enum queue_verdict queue_submit(struct queue *queue, struct job *job);

/* Waits until there are jobs. Moves the expired ones and the next batch to the empty lists given,
 * which the caller must finish; one of the two may stay empty. False: closed and empty, for
 * good. */
bool queue_take(struct queue *queue, struct job_list *ret_batch, struct job_list *ret_expired);
/* The same for expired jobs alone, as soon as their deadline passes. False: closed; jobs that are
 * still there are left to queue_take. */
bool queue_take_expired(struct queue *queue, struct job_list *ret_expired);

/* No job is accepted any more; those who wait are woken. */
void queue_close(struct queue *queue);

#pragma once
/* The threads that compute. Each owns one elmo_session, which may have further threads, takes a
 * batch from the queue, which may hold pieces of jobs, runs it, together with the threads of those
 * that have nothing to do, and calls done() of the jobs that are complete then. Halves of a batch
 * that fails are run on their own, so that a request whose numbers overflow spoils no other. One
 * more thread answers the jobs whose deadline passes while all workers are busy. */
#include "elmo.h"
#include "machine/thread_plan.h"
#include "ops/metrics.h"
#include "queue.h"

struct workers_options { /* everything is borrowed until workers_stop */
    const struct elmo_model *model;
    struct queue *queue;
    struct metrics *metrics; /* NULL: none */
    struct thread_plan plan;
};

struct workers;

/* Makes the sessions, warms each one up with a short sentence, and starts the threads. On failure
 * nothing runs and *err says why. */
ELMO_MUST_USE int workers_start(struct workers **ret_workers, const struct workers_options *options,
                                struct elmo_error *err);
/* Waits for the threads, which finish what is in the queue: it must be closed. NULL is fine. */
void workers_stop(struct workers *workers);
DEFINE_AUTO(workers_stop, struct workers *);

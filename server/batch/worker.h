#pragma once
/* The compute threads. Each worker owns one elmo_session, which may use several threads and borrows
 * those of idle workers. A worker takes a batch (pieces of jobs) from the queue, runs it and calls
 * done() of the completed jobs. If a batch fails, its halves are run separately, so that a request
 * whose values overflow does not fail others. The expiry thread answers the jobs whose deadline
 * passes while all workers are busy. */
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

/* Creates the sessions, runs a short sentence on each to warm it up, and starts the threads. On
 * failure no thread runs. Errors: ELMO_E_NOMEM and those of elmo_session_run. */
ELMO_MUST_USE int workers_start(struct workers **ret_workers, const struct workers_options *options,
                                struct elmo_error *err);
/* Waits until the threads have finished the jobs in the queue, which must be closed. NULL is
 * fine. */
void workers_stop(struct workers *workers);
DEFINE_AUTO(workers_stop, struct workers *);

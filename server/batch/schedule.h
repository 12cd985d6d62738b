#pragma once
/* Which waiting sentences run next: a pure policy without threads, locks and clock, so that tests
 * can simulate hours of it. The cost of an operation does not depend on the number of waiting jobs,
 * except for the heap of deadlines.
 *
 * A job is taken in pieces, sentence by sentence and in order, so that a large job runs on several
 * workers and in several batches. The order is deficit round robin (Shreedhar and Varghese 1995)
 * with new jobs first, like the flows of RFC 8290 (section 4.2):
 *
 * - A fresh job has one turn of TURN_COST positions, first come, first served. Most jobs need no
 *   more, so a short job waits at most one turn of each job before it.
 * - A job that needs more joins the begun jobs, which take such turns in a circle: they share the
 *   workers equally, by positions.
 * - If both kinds wait, the begun jobs get one position in four: a stream of new jobs cannot stop
 *   a long one.
 *
 * A batch ends at max_batch_cost positions, or at an equal share per worker of all that waits if
 * that is less, so that no worker takes what another could compute at the same time. */
#include "deadlines.h"

#define TURN_COST        256 /* positions: about 12 sentences, enough for fast matrix products */
#define BATCH_PIECES_MAX 1024

struct schedule_options {
    size_t max_batch_cost; /* a longer sentence gets a batch of its own */
    size_t n_workers;      /* at least 1 */
};

struct schedule { /* made by schedule_init */
    struct schedule_options options;
    struct job_list fresh;      /* no sentence is taken */
    struct job_list begun;      /* some sentences are taken; the head has the turn */
    struct deadlines deadlines; /* of the fresh jobs: begun jobs do not expire */
    size_t cost;                /* of all waiting sentences */
    size_t passed; /* positions of fresh jobs taken while begun jobs waited, less those that the
                      begun jobs got in return */
};

struct piece { /* sentences of one job, [first, first + n_sentences) */
    struct job *job;
    size_t first, n_sentences;
    enum job_outcome outcome; /* JOB_DONE unless the worker changes it */
};

/* What one worker takes at once. A job has at most one piece in a batch. */
struct batch {
    struct piece pieces[BATCH_PIECES_MAX]; /* [n_pieces] */
    size_t n_pieces;
    size_t cost, n_tokens; /* of all pieces */
    size_t n_idle;         /* idle workers while this batch runs; see queue_take */
};

void schedule_init(struct schedule *schedule, const struct schedule_options *options);
/* No job may wait. */
void schedule_done(struct schedule *schedule);

/* Number of jobs with waiting sentences. */
size_t schedule_n_jobs(const struct schedule *schedule);

/* Borrows the job until schedule_finish or schedule_expire returns it. False: out of memory, and
 * the job is unchanged. */
ELMO_MUST_USE bool schedule_push(struct schedule *schedule, struct job *job);

/* Moves the fresh jobs whose deadline has passed to the end of *expired. Returns the earliest
 * remaining deadline, UINT64_MAX if there is none. */
uint64_t schedule_expire(struct schedule *schedule, uint64_t now_ns, struct job_list *expired);

/* Fills *ret_batch. It is empty only if no job waits. */
void schedule_take(struct schedule *schedule, uint64_t now_ns, struct batch *ret_batch);

/* Call this after the batch was run and the outcomes of its pieces are set. Moves the completed
 * jobs to the end of *done. No further piece of a failed job is taken. */
void schedule_finish(struct schedule *schedule, const struct batch *batch, struct job_list *done);

#pragma once
/* Which waiting sentences run next: a pure policy, without threads, locks and clock, so that tests
 * can simulate hours of it. Every operation moves a few pointers, however many jobs wait.
 *
 * A job is handed out in pieces, sentence by sentence and in order, so that a large one runs on
 * several workers and in several batches. Who is next is deficit round robin (Shreedhar and
 * Varghese 1995) with new jobs ahead, like the flows of RFC 8290 (section 4.2):
 *
 * - A job that came has one turn of TURN_COST positions, first come first served. For most that is
 *   all they need, so a short one waits for a turn of those before it, never for a whole long one.
 * - A job that needs more joins those that have begun, which take such turns in a circle: they
 *   share the workers equally, by positions.
 * - Of four positions, one is for those that have begun where both wait: no stream of new jobs
 *   stops a long one.
 *
 * A batch ends at max_batch_cost positions, or at an equal part of what waits for each worker where
 * that is less, so that no worker takes what another could have computed at the same time. */
#include "deadlines.h"

#define TURN_COST        256 /* positions: a dozen sentences, as many as products need to be fast */
#define BATCH_PIECES_MAX 1024

struct schedule_options {
    size_t max_batch_cost; /* a sentence that is longer runs alone */
    size_t n_workers;      /* at least 1 */
};

struct schedule { /* made by schedule_init */
    struct schedule_options options;
    struct job_list fresh;      /* no sentence is taken yet */
    struct job_list begun;      /* some are; the head is the one whose turn it is */
    struct deadlines deadlines; /* of the fresh ones: what has begun is finished */
    size_t cost;                /* of all sentences that wait */
    size_t passed;              /* positions of fresh jobs that were taken while others had begun,
                                   less what these got for it */
};

struct piece { /* sentences of one job, [first, first + n_sentences) */
    struct job *job;
    size_t first, n_sentences;
    enum job_outcome outcome; /* JOB_DONE until who runs it says otherwise */
};

/* What one worker takes at once; a job has at most one piece in it. */
struct batch {
    struct piece pieces[BATCH_PIECES_MAX]; /* [n_pieces] */
    size_t n_pieces;
    size_t cost, n_tokens; /* of all pieces */
    size_t n_idle;         /* workers that have nothing to do beside this batch; see queue_take */
};

void schedule_init(struct schedule *schedule, const struct schedule_options *options);
/* Nothing may wait. */
void schedule_done(struct schedule *schedule);

/* Jobs with sentences that wait. */
size_t schedule_n_jobs(const struct schedule *schedule);

/* Borrows the job until schedule_finish or schedule_expire gives it back. False, with the job
 * untouched: out of memory. */
ELMO_MUST_USE bool schedule_push(struct schedule *schedule, struct job *job);

/* Moves the jobs whose deadline has passed and of which nothing was taken to the end of *expired.
 * Returns the earliest deadline that is left, UINT64_MAX when there is none. */
uint64_t schedule_expire(struct schedule *schedule, uint64_t now_ns, struct job_list *expired);

/* Fills *ret_batch; it is empty only when nothing waits. */
void schedule_take(struct schedule *schedule, uint64_t now_ns, struct batch *ret_batch);

/* The batch was run, as the outcomes of its pieces say. Moves the jobs that are complete now to the
 * end of *done. Of a job that has failed no further piece is taken. */
void schedule_finish(struct schedule *schedule, const struct batch *batch, struct job_list *done);

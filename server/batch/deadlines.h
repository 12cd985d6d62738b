#pragma once
/* The jobs that may still expire, the earliest deadline first: a binary heap, so that none of
 * thousands has to be looked at in vain. Every job knows its place in it (job->place). */
#include "job.h"

struct deadlines { /* {0} is empty; jobs are borrowed */
    struct job **jobs;
    size_t n_jobs, n_jobs_max;
};

void deadlines_done(struct deadlines *deadlines);

/* False, with nothing changed: out of memory. */
ELMO_MUST_USE bool deadlines_add(struct deadlines *deadlines, struct job *job);
/* The job must be there. */
void deadlines_remove(struct deadlines *deadlines, struct job *job);
struct job *deadlines_first(const struct deadlines *deadlines); /* NULL when empty */

#pragma once
/* The jobs that may still expire, as a binary heap with the earliest deadline first. Adding and
 * removing take O(log n); job->place is the index of a job in the heap. */
#include "job.h"

struct deadlines { /* {0} is empty; jobs are borrowed */
    struct job **jobs;
    size_t n_jobs, n_jobs_max;
};

void deadlines_done(struct deadlines *deadlines);

/* False: out of memory, and nothing has changed. */
ELMO_MUST_USE bool deadlines_add(struct deadlines *deadlines, struct job *job);
/* The job must be in the heap. */
void deadlines_remove(struct deadlines *deadlines, struct job *job);
struct job *deadlines_first(const struct deadlines *deadlines); /* NULL when empty */

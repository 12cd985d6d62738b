#pragma once
/* Which waiting jobs run together: a pure policy, so that tests can set the clock.
 *
 * Whole jobs, in the order they came, for as long as their cost fits, and at least one: a job over
 * the limit runs alone. Nothing waits for company; what arrives meanwhile makes the next batch. */
#include "job.h"

/* Moves the jobs whose deadline has passed from `waiting` to the end of *expired. Returns the
 * earliest deadline of those that stay, UINT64_MAX when none stay. */
uint64_t batch_drop_expired(struct job_list *waiting, uint64_t now_ns, struct job_list *expired);

/* Moves the next batch from the front of `waiting` to the end of *batch. */
void batch_take(struct job_list *waiting, size_t max_cost, struct job_list *batch);

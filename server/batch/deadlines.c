#include "deadlines.h"

#include <assert.h>

#define N_JOBS_MIN 64

void deadlines_done(struct deadlines *d)
{
    free(d->jobs);
    *d = (struct deadlines){0};
}

static void put(struct deadlines *d, size_t place, struct job *job)
{
    d->jobs[place] = job;
    job->place = place;
}

static bool is_earlier(const struct job *a, const struct job *b)
{
    return a->deadline_ns < b->deadline_ns;
}

/* Puts the job at the free `place` or above it. */
static void sift_up(struct deadlines *d, size_t place, struct job *job)
{
    while (place > 0 && is_earlier(job, d->jobs[(place - 1) / 2])) {
        put(d, place, d->jobs[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(d, place, job);
}

/* Puts the job at the free `place` or below it. */
static void sift_down(struct deadlines *d, size_t place, struct job *job)
{
    for (size_t child; (child = 2 * place + 1) < d->n_jobs; place = child) {
        if (child + 1 < d->n_jobs && is_earlier(d->jobs[child + 1], d->jobs[child]))
            child++;
        if (!is_earlier(d->jobs[child], job))
            break;
        put(d, place, d->jobs[child]);
    }
    put(d, place, job);
}

bool deadlines_add(struct deadlines *d, struct job *job)
{
    if (d->n_jobs == d->n_jobs_max) {
        size_t n_max = d->n_jobs_max ? d->n_jobs_max : N_JOBS_MIN, n_bytes;
        if (d->n_jobs_max && !mul_ok(n_max, 2, &n_max))
            return false;
        if (!mul_ok(n_max, sizeof(struct job *), &n_bytes))
            return false;
        struct job **grown = realloc(d->jobs, n_bytes);
        if (!grown)
            return false;
        d->jobs = grown;
        d->n_jobs_max = n_max;
    }
    sift_up(d, d->n_jobs++, job);
    return true;
}

void deadlines_remove(struct deadlines *d, struct job *job)
{
    size_t place = job->place;
    assert(place < d->n_jobs && d->jobs[place] == job);
    struct job *last = d->jobs[--d->n_jobs];
    if (last == job)
        return;
    if (is_earlier(last, job))
        sift_up(d, place, last);
    else
        sift_down(d, place, last);
}

struct job *deadlines_first(const struct deadlines *d)
{
    return d->n_jobs ? d->jobs[0] : NULL;
}

#include "schedule.h"

#include <assert.h>

#define FRESH_PER_BEGUN 3 /* positions of fresh jobs for each position of begun jobs */

void schedule_init(struct schedule *s, const struct schedule_options *options)
{
    assert(options->n_workers > 0);
    *s = (struct schedule){.options = *options};
}

void schedule_done(struct schedule *s)
{
    assert(schedule_n_jobs(s) == 0);
    deadlines_done(&s->deadlines);
}

size_t schedule_n_jobs(const struct schedule *s)
{
    return s->fresh.n_jobs + s->begun.n_jobs;
}

bool schedule_push(struct schedule *s, struct job *job)
{
    assert(job->n_sentences > 0);
    if (!deadlines_add(&s->deadlines, job))
        return false;
    job->outcome = JOB_DONE;
    job->taken_ns = 0;
    job->n_taken = 0;
    job->n_unfinished = job->n_sentences;
    job->cost_waiting = job_cost(job);
    job->allowance = TURN_COST;
    job->piece = 0;
    job_list_push(&s->fresh, job);
    s->cost += job->cost_waiting;
    return true;
}

static void remove_fresh(struct schedule *s, struct job *job)
{
    deadlines_remove(&s->deadlines, job);
    job_list_remove(&s->fresh, job);
}

uint64_t schedule_expire(struct schedule *s, uint64_t now_ns, struct job_list *expired)
{
    struct job *job;
    while ((job = deadlines_first(&s->deadlines)) && job->deadline_ns <= now_ns) {
        remove_fresh(s, job);
        s->cost -= job->cost_waiting;
        job_list_push(expired, job);
    }
    return job ? job->deadline_ns : UINT64_MAX;
}

/* ---- The next batch ---- */

/* A share is at least a turn: smaller matrix products would cost more than another worker gains. */
static size_t batch_limit(const struct schedule *s)
{
    size_t n_parts = s->cost / TURN_COST;
    if (n_parts > s->options.n_workers)
        n_parts = s->options.n_workers;
    if (n_parts == 0)
        n_parts = 1;
    size_t part = s->cost / n_parts + (s->cost % n_parts != 0);
    return part < s->options.max_batch_cost ? part : s->options.max_batch_cost;
}

static bool is_all_taken(const struct job *job)
{
    return job->n_taken == job->n_sentences;
}

static size_t next_cost(const struct job *job)
{
    return sentence_cost(job, job->n_taken);
}

/* Whether the job's next sentence fits. An empty batch takes any sentence. */
static bool has_room(const struct batch *batch, const struct job *job, size_t limit)
{
    if (batch->n_pieces == 0)
        return true;
    return batch->n_pieces < BATCH_PIECES_MAX && batch->cost <= limit &&
           next_cost(job) <= limit - batch->cost;
}

/* The job's piece of this batch; a new one is empty. */
static struct piece *piece_of(struct batch *batch, struct job *job)
{
    if (job->piece < batch->n_pieces && batch->pieces[job->piece].job == job)
        return &batch->pieces[job->piece];
    job->piece = batch->n_pieces++;
    struct piece *piece = &batch->pieces[job->piece];
    *piece = (struct piece){.job = job, .first = job->n_taken, .outcome = JOB_DONE};
    return piece;
}

/* Takes the job's next sentence and returns its cost. */
static size_t take_sentence(struct schedule *s, struct batch *batch, struct job *job)
{
    size_t cost = next_cost(job);
    piece_of(batch, job)->n_sentences++;
    batch->cost += cost;
    batch->n_tokens += job->sentences[job->n_taken].n_tokens;
    job->n_taken++;
    job->cost_waiting -= cost;
    job->allowance -= (int64_t)cost;
    s->cost -= cost;
    return cost;
}

/* Gives turns to fresh jobs while the batch has room. */
static void take_fresh(struct schedule *s, struct batch *batch, uint64_t now_ns, size_t limit)
{
    struct job *job;
    while ((job = s->fresh.head) && has_room(batch, job, limit)) {
        remove_fresh(s, job);
        job->taken_ns = now_ns;
        size_t cost = 0;
        while (!is_all_taken(job) && job->allowance > 0 && has_room(batch, job, limit))
            cost += take_sentence(s, batch, job);
        if (s->begun.head)
            s->passed += cost;
        if (!is_all_taken(job))
            job_list_push(&s->begun, job);
    }
}

/* A turn that took too much shortens the next one, unless no other job has begun. */
static void end_turn(struct schedule *s, struct job *job)
{
    bool alone = s->begun.n_jobs == 1;
    job->allowance = TURN_COST + (alone ? 0 : job->allowance);
    job_list_remove(&s->begun, job);
    job_list_push(&s->begun, job);
}

/* Gives turns to begun jobs while the batch has room; with `owed` only as many positions as fresh
 * jobs owe them. A turn that does not fit in this batch continues in the next. */
static void take_begun(struct schedule *s, struct batch *batch, size_t limit, bool owed)
{
    struct job *job;
    while ((job = s->begun.head)) {
        if (job->allowance <= 0) {
            end_turn(s, job);
            continue;
        }
        if (!has_room(batch, job, limit) || (owed && s->passed / FRESH_PER_BEGUN < next_cost(job)))
            return;
        size_t paid = FRESH_PER_BEGUN * take_sentence(s, batch, job);
        s->passed -= paid < s->passed ? paid : s->passed;
        if (is_all_taken(job))
            job_list_remove(&s->begun, job);
    }
    s->passed = 0;
}

void schedule_take(struct schedule *s, uint64_t now_ns, struct batch *ret_batch)
{
    size_t limit = batch_limit(s);
    ret_batch->n_pieces = ret_batch->cost = ret_batch->n_tokens = 0;
    take_begun(s, ret_batch, limit, true);
    take_fresh(s, ret_batch, now_ns, limit);
    take_begun(s, ret_batch, limit, false);
}

/* ---- The end of a batch ---- */

static void give_up_rest(struct schedule *s, struct job *job)
{
    if (is_all_taken(job))
        return;
    job_list_remove(&s->begun, job);
    s->cost -= job->cost_waiting;
    job->n_unfinished -= job->n_sentences - job->n_taken;
    job->n_taken = job->n_sentences;
    job->cost_waiting = 0;
}

void schedule_finish(struct schedule *s, const struct batch *batch, struct job_list *done)
{
    for (size_t i = 0; i < batch->n_pieces; i++) {
        const struct piece *piece = &batch->pieces[i];
        struct job *job = piece->job;
        job->n_unfinished -= piece->n_sentences;
        if (piece->outcome > job->outcome)
            job->outcome = piece->outcome;
        if (job->outcome != JOB_DONE)
            give_up_rest(s, job);
        if (job->n_unfinished == 0)
            job_list_push(done, job);
    }
}

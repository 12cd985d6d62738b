#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batch/schedule.h"
#include "support/fail_alloc.h"

enum { N_JOBS = 8, N_SENTENCES_MAX = 2000, NEVER = 1000 };

/* Jobs of n_sentences[] sentences of so many tokens each, pushed in order. */
struct fixture {
    struct schedule schedule;
    struct job jobs[N_JOBS];
    struct elmo_sentence sentences[N_JOBS][N_SENTENCES_MAX];
    struct batch batch;
    struct job_list expired, done;
};

static struct fixture f;

static void open_schedule(size_t max_batch_cost, size_t n_workers)
{
    const struct schedule_options options = {max_batch_cost, n_workers};
    f = (struct fixture){0};
    schedule_init(&f.schedule, &options);
}

static struct job *make(size_t index, size_t n_sentences, size_t cost_each)
{
    struct job *job = &f.jobs[index];
    *job = (struct job){.sentences = f.sentences[index],
                        .n_sentences = n_sentences,
                        .n_tokens = n_sentences * (cost_each - 2),
                        .deadline_ns = NEVER};
    for (size_t i = 0; i < n_sentences; i++)
        job->sentences[i].n_tokens = cost_each - 2;
    return job;
}

static struct job *push(size_t index, size_t n_sentences, size_t cost_each)
{
    struct job *job = make(index, n_sentences, cost_each);
    assert_true(schedule_push(&f.schedule, job));
    return job;
}

static void take(void)
{
    schedule_take(&f.schedule, 7, &f.batch);
}

static void finish(void)
{
    schedule_finish(&f.schedule, &f.batch, &f.done);
}

static void close_schedule(void)
{
    while (schedule_n_jobs(&f.schedule) > 0)
        take();
    assert_int_equal(f.schedule.cost, 0);
    schedule_done(&f.schedule);
}

struct part {
    size_t job, first, n_sentences;
};

/* The batch holds exactly these pieces, in this order; its sums are right. */
static void assert_batch(const struct part *parts, size_t n)
{
    size_t cost = 0, n_tokens = 0;
    assert_int_equal(f.batch.n_pieces, n);
    for (size_t i = 0; i < n; i++) {
        const struct piece *piece = &f.batch.pieces[i];
        assert_ptr_equal(piece->job, &f.jobs[parts[i].job]);
        assert_int_equal(piece->first, parts[i].first);
        assert_int_equal(piece->n_sentences, parts[i].n_sentences);
        assert_int_equal(piece->outcome, JOB_DONE);
        for (size_t k = 0; k < piece->n_sentences; k++) {
            cost += sentence_cost(piece->job, piece->first + k);
            n_tokens += piece->job->sentences[piece->first + k].n_tokens;
        }
    }
    assert_int_equal(f.batch.cost, cost);
    assert_int_equal(f.batch.n_tokens, n_tokens);
}

#define ASSERT_BATCH(...)                           \
    do {                                            \
        const struct part parts_[] = {__VA_ARGS__}; \
        assert_batch(parts_, ARRAY_LEN(parts_));    \
    } while (0)

/* ---- One worker, jobs of one turn ---- */

static void jobs_run_together_in_the_order_they_came(void **state)
{
    (void)state;
    open_schedule(60, 1);
    push(0, 1, 10);
    push(1, 2, 10);
    push(2, 1, 30);
    push(3, 1, 3);
    assert_int_equal(schedule_n_jobs(&f.schedule), 4);
    assert_int_equal(f.schedule.cost, 63);
    take();
    ASSERT_BATCH({0, 0, 1}, {1, 0, 2}, {2, 0, 1});
    assert_int_equal(f.jobs[2].taken_ns, 7);
    assert_int_equal(f.jobs[3].taken_ns, 0);
    assert_int_equal(schedule_n_jobs(&f.schedule), 1);
    assert_int_equal(f.schedule.cost, 3);
    close_schedule();
}

static void a_new_job_does_not_overtake_one_that_does_not_fit(void **state)
{
    (void)state;
    open_schedule(69, 1);
    push(0, 1, 10);
    push(1, 1, 60);
    push(2, 1, 5);
    take();
    ASSERT_BATCH({0, 0, 1});
    take();
    ASSERT_BATCH({1, 0, 1}, {2, 0, 1});
    close_schedule();
}

static void a_sentence_over_the_limit_runs_alone(void **state)
{
    (void)state;
    open_schedule(60, 1);
    push(0, 2, 1000);
    push(1, 1, 3);
    take();
    ASSERT_BATCH({0, 0, 1});
    take();
    ASSERT_BATCH({1, 0, 1});
    take();
    ASSERT_BATCH({0, 1, 1});
    close_schedule();
}

static void nothing_comes_from_nothing(void **state)
{
    (void)state;
    open_schedule(60, 1);
    take();
    assert_int_equal(f.batch.n_pieces, 0);
    assert_int_equal(f.batch.cost, 0);
    close_schedule();
}

static void a_batch_has_so_many_pieces_and_no_more(void **state)
{
    (void)state;
    enum { N = BATCH_PIECES_MAX + 1 };
    static struct job jobs[N];
    static struct elmo_sentence empty;
    open_schedule(1000000, 1);
    for (size_t i = 0; i < N; i++) {
        jobs[i] = (struct job){.sentences = &empty, .n_sentences = 1, .deadline_ns = NEVER};
        assert_true(schedule_push(&f.schedule, &jobs[i]));
    }
    take();
    assert_int_equal(f.batch.n_pieces, BATCH_PIECES_MAX);
    take();
    assert_int_equal(f.batch.n_pieces, 1);
    assert_ptr_equal(f.batch.pieces[0].job, &jobs[N - 1]);
    close_schedule();
}

/* ---- Jobs in pieces ---- */

static void a_long_job_is_spread_over_the_workers(void **state)
{
    (void)state;
    open_schedule(8192, 2);
    push(0, 100, 20);
    take(); /* half of 2,000 */
    ASSERT_BATCH({0, 0, 50});
    take(); /* half of what is left: a third worker may be free before the second */
    ASSERT_BATCH({0, 50, 25});
    take(); /* less than two turns are not worth two batches */
    ASSERT_BATCH({0, 75, 25});
    close_schedule();
}

static void no_batch_is_larger_than_the_limit(void **state)
{
    (void)state;
    open_schedule(1000, 2);
    push(0, 150, 20);
    take();
    ASSERT_BATCH({0, 0, 50});
    take();
    ASSERT_BATCH({0, 50, 50});
    take();
    ASSERT_BATCH({0, 100, 25});
    close_schedule();
}

static void a_new_job_goes_before_those_that_have_begun(void **state)
{
    (void)state;
    open_schedule(500, 1);
    push(0, 100, 20);
    take();
    ASSERT_BATCH({0, 0, 25});
    push(1, 2, 20);
    take();
    ASSERT_BATCH({1, 0, 2}, {0, 25, 23});
    close_schedule();
}

/* Turns of 256 positions are of 13 sentences, 12 where it makes up for the 4 too many. */
static void those_that_have_begun_take_turns(void **state)
{
    (void)state;
    open_schedule(2 * 260, 1);
    push(0, 1000, 20);
    push(1, 1000, 20);
    size_t n_0 = 0, n_1 = 0;
    for (int i = 0; i < 30; i++) {
        take();
        n_0 = f.jobs[0].n_taken;
        n_1 = f.jobs[1].n_taken;
        assert_true(20 * n_0 <= 20 * n_1 + TURN_COST + 20);
        assert_true(20 * n_1 <= 20 * n_0 + TURN_COST + 20);
    }
    assert_true(n_0 + n_1 == 30 * 26);
    close_schedule();
}

/* Their sentences are of different lengths: what counts is positions. */
static void turns_are_equal_in_positions(void **state)
{
    (void)state;
    open_schedule(1000, 1);
    push(0, 1500, 10);
    push(1, 20, 700);
    for (int i = 0; i < 12; i++) {
        take();
        size_t cost_0 = 10 * f.jobs[0].n_taken, cost_1 = 700 * f.jobs[1].n_taken;
        assert_true(cost_0 <= cost_1 + TURN_COST + 700);
        assert_true(cost_1 <= cost_0 + TURN_COST + 700);
    }
    close_schedule();
}

static void new_jobs_leave_a_quarter_to_those_that_have_begun(void **state)
{
    (void)state;
    open_schedule(200, 1);
    struct job *long_job = push(0, 1000, 20);
    size_t begun = 0, fresh = 0;
    take();
    begun = long_job->n_taken;
    for (size_t i = 0; i < 400; i++) { /* there are always ten new ones, a batch full */
        for (size_t k = 1; k < N_JOBS; k++)
            if (i == 0 || f.jobs[k].n_taken == 1)
                push(k, 1, 30);
        take();
        fresh += f.batch.n_pieces;
        if (f.jobs[0].n_taken > begun)
            fresh--;
        begun = f.jobs[0].n_taken;
    }
    assert_in_range(20 * begun, 30 * fresh / 3 - 200, 30 * fresh / 3 + 400);
    close_schedule();
}

/* ---- Ends ---- */

static void a_job_is_complete_after_its_last_piece(void **state)
{
    (void)state;
    struct batch first;
    open_schedule(500, 1);
    push(0, 40, 20);
    take();
    first = f.batch;
    push(1, 1, 20);
    take();
    ASSERT_BATCH({1, 0, 1}, {0, 25, 15});
    finish(); /* the second batch ends before the first */
    assert_ptr_equal(job_list_pop(&f.done), &f.jobs[1]);
    assert_null(f.done.head);
    schedule_finish(&f.schedule, &first, &f.done);
    assert_ptr_equal(job_list_pop(&f.done), &f.jobs[0]);
    assert_null(f.done.head);
    assert_int_equal(f.jobs[0].outcome, JOB_DONE);
    close_schedule();
}

static void a_job_that_fails_is_given_up(void **state)
{
    (void)state;
    open_schedule(500, 1);
    push(0, 100, 20);
    push(1, 100, 20);
    take();
    ASSERT_BATCH({0, 0, 13}, {1, 0, 12});
    f.batch.pieces[0].outcome = JOB_NUMERIC;
    finish();
    assert_ptr_equal(job_list_pop(&f.done), &f.jobs[0]);
    assert_int_equal(f.jobs[0].outcome, JOB_NUMERIC);
    assert_int_equal(schedule_n_jobs(&f.schedule), 1);
    assert_int_equal(f.schedule.cost, 88 * 20);
    take();
    ASSERT_BATCH({1, 12, 25});
    close_schedule();
}

static void a_job_that_fails_waits_for_its_other_pieces(void **state)
{
    (void)state;
    struct batch first;
    open_schedule(500, 1);
    push(0, 100, 20);
    take();
    first = f.batch;
    take();
    first.pieces[0].outcome = JOB_FAILED;
    schedule_finish(&f.schedule, &first, &f.done);
    assert_null(f.done.head);
    assert_int_equal(schedule_n_jobs(&f.schedule), 0);
    f.batch.pieces[0].outcome = JOB_NUMERIC;
    finish();
    assert_ptr_equal(job_list_pop(&f.done), &f.jobs[0]);
    assert_int_equal(f.jobs[0].outcome, JOB_FAILED); /* the greater of both */
    close_schedule();
}

/* ---- Deadlines ---- */

static void the_expired_leave_wherever_they_stand(void **state)
{
    (void)state;
    static const uint64_t deadlines[] = {50, 200, 100, 101, 7}; /* exactly now is too late */
    open_schedule(500, 1);
    for (size_t i = 0; i < 5; i++) {
        make(i, 1, 20)->deadline_ns = deadlines[i];
        assert_true(schedule_push(&f.schedule, &f.jobs[i]));
    }
    assert_int_equal(schedule_expire(&f.schedule, 100, &f.expired), 101);
    assert_ptr_equal(job_list_pop(&f.expired), &f.jobs[4]);
    assert_ptr_equal(job_list_pop(&f.expired), &f.jobs[0]);
    assert_ptr_equal(job_list_pop(&f.expired), &f.jobs[2]);
    assert_null(f.expired.head);
    assert_int_equal(f.schedule.cost, 40);
    take();
    ASSERT_BATCH({1, 0, 1}, {3, 0, 1});
    assert_true(schedule_expire(&f.schedule, 100, &f.expired) == UINT64_MAX);
    close_schedule();
}

static void what_has_begun_does_not_expire(void **state)
{
    (void)state;
    open_schedule(500, 1);
    push(0, 100, 20);
    take();
    assert_true(schedule_expire(&f.schedule, NEVER, &f.expired) == UINT64_MAX);
    assert_null(f.expired.head);
    assert_int_equal(schedule_n_jobs(&f.schedule), 1);
    close_schedule();
}

static void a_job_without_memory_for_its_place_is_refused(void **state)
{
    (void)state;
    open_schedule(500, 1);
    make(0, 1, 20);
    fail_alloc_after(0);
    bool pushed = schedule_push(&f.schedule, &f.jobs[0]);
    fail_alloc_stop();
    assert_false(pushed);
    assert_int_equal(schedule_n_jobs(&f.schedule), 0);
    assert_int_equal(f.schedule.cost, 0);
    close_schedule();
}

/* Jobs come and go in an order without a pattern; the first is always the one that a search finds.
 */
static void the_first_deadline_is_the_earliest_of_many(void **state)
{
    (void)state;
    enum { N = 300, N_STEPS = 20000 };
    static struct job jobs[N];
    static bool there[N];
    struct deadlines deadlines = {0};
    uint64_t random = 1;
    for (int step = 0; step < N_STEPS; step++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        size_t i = (random >> 33) % N;
        if (there[i]) {
            deadlines_remove(&deadlines, &jobs[i]);
        } else {
            jobs[i].deadline_ns = random >> 56;
            assert_true(deadlines_add(&deadlines, &jobs[i]));
        }
        there[i] = !there[i];
        uint64_t earliest = UINT64_MAX;
        for (size_t k = 0; k < N; k++)
            if (there[k] && jobs[k].deadline_ns < earliest)
                earliest = jobs[k].deadline_ns;
        const struct job *first = deadlines_first(&deadlines);
        assert_true((first ? first->deadline_ns : UINT64_MAX) == earliest);
    }
    deadlines_done(&deadlines);
}

static void a_sentence_costs_its_tokens_and_two_more(void **state)
{
    (void)state;
    struct elmo_sentence sentences[] = {{.n_tokens = 1}, {.n_tokens = 6}, {.n_tokens = 0}};
    struct job job = {.sentences = sentences, .n_sentences = 3, .n_tokens = 7};
    assert_int_equal(job_cost(&job), 13);
    assert_int_equal(sentence_cost(&job, 1), 8);
    job.extra_cost = 7;
    assert_int_equal(job_cost(&job), 8 * 13);
    assert_int_equal(sentence_cost(&job, 1), 8 * 8);
}

/* Of two that have begun, the one whose positions cost four times as much has a quarter of them. */
static void costly_positions_share_the_workers_by_their_cost(void **state)
{
    (void)state;
    enum { N = 600 };
    static struct elmo_sentence sentences[N];
    struct schedule s;
    struct batch batch;
    size_t n[2] = {0};
    struct job jobs[2] = {{.extra_cost = 0}, {.extra_cost = 3}};
    const struct schedule_options options = {.max_batch_cost = 1024, .n_workers = 1};
    for (size_t k = 0; k < N; k++)
        sentences[k].n_tokens = 6;
    schedule_init(&s, &options);
    for (size_t i = 0; i < 2; i++) {
        jobs[i].sentences = sentences;
        jobs[i].n_sentences = N;
        jobs[i].n_tokens = (size_t)N * 6;
        jobs[i].deadline_ns = UINT64_MAX;
        assert_true(schedule_push(&s, &jobs[i]));
    }
    while (n[0] < N && n[1] < N) { /* until one of them is all taken */
        schedule_take(&s, 0, &batch);
        assert_true(batch.n_pieces > 0 && batch.cost <= 1024);
        for (size_t i = 0; i < batch.n_pieces; i++)
            n[batch.pieces[i].job - jobs] += batch.pieces[i].n_sentences;
        struct job_list done = {0};
        schedule_finish(&s, &batch, &done);
    }
    assert_int_equal(n[0], N);
    assert_in_range(n[1], N / 4 - 32, N / 4 + 32);
    while (schedule_n_jobs(&s) > 0) {
        struct job_list done = {0};
        schedule_take(&s, 0, &batch);
        schedule_finish(&s, &batch, &done);
    }
    schedule_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_together_in_the_order_they_came),
        cmocka_unit_test(a_new_job_does_not_overtake_one_that_does_not_fit),
        cmocka_unit_test(a_sentence_over_the_limit_runs_alone),
        cmocka_unit_test(nothing_comes_from_nothing),
        cmocka_unit_test(a_batch_has_so_many_pieces_and_no_more),
        cmocka_unit_test(a_long_job_is_spread_over_the_workers),
        cmocka_unit_test(no_batch_is_larger_than_the_limit),
        cmocka_unit_test(a_new_job_goes_before_those_that_have_begun),
        cmocka_unit_test(those_that_have_begun_take_turns),
        cmocka_unit_test(turns_are_equal_in_positions),
        cmocka_unit_test(new_jobs_leave_a_quarter_to_those_that_have_begun),
        cmocka_unit_test(a_job_is_complete_after_its_last_piece),
        cmocka_unit_test(a_job_that_fails_is_given_up),
        cmocka_unit_test(a_job_that_fails_waits_for_its_other_pieces),
        cmocka_unit_test(the_expired_leave_wherever_they_stand),
        cmocka_unit_test(what_has_begun_does_not_expire),
        cmocka_unit_test(a_job_without_memory_for_its_place_is_refused),
        cmocka_unit_test(the_first_deadline_is_the_earliest_of_many),
        cmocka_unit_test(a_sentence_costs_its_tokens_and_two_more),
        cmocka_unit_test(costly_positions_share_the_workers_by_their_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

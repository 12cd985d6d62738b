#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batch.h"

enum { N_JOBS = 6 };

/* Jobs of the given costs (one sentence each, so cost - 2 tokens), all waiting in order. */
struct fixture {
    struct job jobs[N_JOBS];
    struct job_list waiting, batch, expired;
};

static void line_up(struct fixture *f, const size_t *costs, size_t n)
{
    *f = (struct fixture){0};
    for (size_t i = 0; i < n; i++) {
        f->jobs[i].n_sentences = 1;
        f->jobs[i].n_tokens = costs[i] - 2;
        f->jobs[i].deadline_ns = 1000;
        job_list_push(&f->waiting, &f->jobs[i]);
    }
}

/* The list holds exactly the jobs with these indices, in this order; its sums are right. */
static void assert_list(const struct fixture *f, const struct job_list *list, const size_t *indices,
                        size_t n)
{
    size_t cost = 0;
    const struct job *job = list->head;
    for (size_t i = 0; i < n; i++, job = job->next) {
        assert_ptr_equal(job, &f->jobs[indices[i]]);
        assert_true(job->next != NULL || list->tail == job);
        cost += job_cost(job);
    }
    assert_null(job);
    assert_int_equal(list->n_jobs, n);
    assert_int_equal(list->cost, cost);
    if (n == 0)
        assert_null(list->tail);
}

#define ASSERT_LIST(f, list, ...)                                               \
    do {                                                                        \
        const size_t indices_[] = {__VA_ARGS__};                                \
        assert_list((f), (list), indices_, sizeof indices_ / sizeof *indices_); \
    } while (0)

static void takes_whole_jobs_in_order_while_they_fit(void **state)
{
    (void)state;
    struct fixture f;
    line_up(&f, (size_t[]){10, 20, 30, 40}, 4);
    batch_take(&f.waiting, 60, &f.batch);
    ASSERT_LIST(&f, &f.batch, 0, 1, 2);
    ASSERT_LIST(&f, &f.waiting, 3);
}

static void stops_at_the_first_job_that_does_not_fit(void **state)
{
    (void)state;
    struct fixture f;
    line_up(&f, (size_t[]){10, 60, 5, 5}, 4); /* the small ones do not overtake */
    batch_take(&f.waiting, 69, &f.batch);
    ASSERT_LIST(&f, &f.batch, 0);
    ASSERT_LIST(&f, &f.waiting, 1, 2, 3);
}

static void takes_at_least_one_job_however_large(void **state)
{
    (void)state;
    struct fixture f;
    line_up(&f, (size_t[]){1000, 3}, 2);
    batch_take(&f.waiting, 60, &f.batch);
    ASSERT_LIST(&f, &f.batch, 0);
    ASSERT_LIST(&f, &f.waiting, 1);
}

static void takes_nothing_from_nothing(void **state)
{
    (void)state;
    struct fixture f = {0};
    batch_take(&f.waiting, 60, &f.batch);
    assert_null(f.batch.head);
    assert_int_equal(f.batch.n_jobs, 0);
}

static void takes_all_when_all_fit_exactly(void **state)
{
    (void)state;
    struct fixture f;
    line_up(&f, (size_t[]){20, 20, 20}, 3);
    batch_take(&f.waiting, 60, &f.batch);
    ASSERT_LIST(&f, &f.batch, 0, 1, 2);
    assert_null(f.waiting.head);
    assert_null(f.waiting.tail);
    assert_int_equal(f.waiting.cost, 0);
}

static void drops_the_expired_wherever_they_stand(void **state)
{
    (void)state;
    struct fixture f;
    line_up(&f, (size_t[]){10, 10, 10, 10, 10}, 5);
    f.jobs[0].deadline_ns = 50;
    f.jobs[2].deadline_ns = 100; /* exactly now is too late */
    f.jobs[3].deadline_ns = 101;
    f.jobs[4].deadline_ns = 7;
    assert_int_equal(batch_drop_expired(&f.waiting, 100, &f.expired), 101);
    ASSERT_LIST(&f, &f.expired, 0, 2, 4);
    ASSERT_LIST(&f, &f.waiting, 1, 3);
}

static void tells_that_no_deadline_is_left(void **state)
{
    (void)state;
    struct fixture f;
    line_up(&f, (size_t[]){10}, 1);
    assert_true(batch_drop_expired(&f.waiting, 5000, &f.expired) == UINT64_MAX);
    ASSERT_LIST(&f, &f.expired, 0);
    assert_null(f.waiting.head);
}

static void a_sentence_costs_its_tokens_and_two_more(void **state)
{
    (void)state;
    const struct job job = {.n_sentences = 3, .n_tokens = 7};
    assert_int_equal(job_cost(&job), 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_whole_jobs_in_order_while_they_fit),
        cmocka_unit_test(stops_at_the_first_job_that_does_not_fit),
        cmocka_unit_test(takes_at_least_one_job_however_large),
        cmocka_unit_test(takes_nothing_from_nothing),
        cmocka_unit_test(takes_all_when_all_fit_exactly),
        cmocka_unit_test(drops_the_expired_wherever_they_stand),
        cmocka_unit_test(tells_that_no_deadline_is_left),
        cmocka_unit_test(a_sentence_costs_its_tokens_and_two_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "clock.h"
#include "queue.h"

static struct queue *open_queue(size_t max_cost, size_t max_batch_cost)
{
    struct queue *q;
    const struct queue_options options = {.max_cost = max_cost, .max_batch_cost = max_batch_cost};
    assert_int_equal(queue_new(&q, &options), 0);
    return q;
}

/* One sentence of so many tokens; it never expires. */
static struct job job_of(size_t n_tokens)
{
    return (struct job){.n_sentences = 1, .n_tokens = n_tokens, .deadline_ns = UINT64_MAX};
}

static void empty_and_free(struct queue *q)
{
    struct job_list batch = {0}, expired = {0};
    queue_close(q);
    while (queue_take(q, &batch, &expired))
        batch = expired = (struct job_list){0};
    queue_free(q);
}

static void accepts_until_the_tokens_are_full(void **state)
{
    (void)state;
    struct queue *q = open_queue(20, 100);
    struct job a = job_of(8), b = job_of(8), c = job_of(0);
    assert_int_equal(queue_submit(q, &a), QUEUE_ACCEPTED); /* 10 of 20 */
    assert_int_equal(queue_submit(q, &b), QUEUE_ACCEPTED); /* exactly full */
    assert_int_equal(queue_submit(q, &c), QUEUE_FULL);
    empty_and_free(q);
}

static void taking_makes_room_again(void **state)
{
    (void)state;
    struct queue *q = open_queue(20, 10);
    struct job a = job_of(8), b = job_of(8), c = job_of(8);
    struct job_list batch = {0}, expired = {0};
    assert_int_equal(queue_submit(q, &a), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &b), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &c), QUEUE_FULL);
    assert_true(queue_take(q, &batch, &expired));
    assert_ptr_equal(batch.head, &a);
    assert_ptr_equal(batch.tail, &a);
    assert_true(a.taken_ns >= a.queued_ns && a.queued_ns > 0);
    assert_int_equal(queue_submit(q, &c), QUEUE_ACCEPTED);
    empty_and_free(q);
}

static void an_empty_queue_takes_a_job_of_any_size(void **state)
{
    (void)state;
    struct queue *q = open_queue(20, 10);
    struct job large = job_of(1000), small = job_of(1);
    assert_int_equal(queue_submit(q, &large), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &small), QUEUE_FULL);
    empty_and_free(q);
}

static void expired_jobs_come_apart_from_the_batch(void **state)
{
    (void)state;
    struct queue *q = open_queue(100, 100);
    struct job late = job_of(3), good = job_of(3);
    struct job_list batch = {0}, expired = {0};
    late.deadline_ns = 1;
    assert_int_equal(queue_submit(q, &late), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &good), QUEUE_ACCEPTED);
    assert_true(queue_take(q, &batch, &expired));
    assert_ptr_equal(expired.head, &late);
    assert_int_equal(late.taken_ns, 0);
    assert_ptr_equal(batch.head, &good);
    empty_and_free(q);
}

static void a_closed_queue_refuses_jobs_and_gives_out_the_rest(void **state)
{
    (void)state;
    struct queue *q = open_queue(100, 5);
    struct job a = job_of(3), b = job_of(3), c = job_of(3);
    struct job_list batch = {0}, expired = {0};
    assert_int_equal(queue_submit(q, &a), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &b), QUEUE_ACCEPTED);
    queue_close(q);
    assert_int_equal(queue_submit(q, &c), QUEUE_CLOSED);
    assert_true(queue_take(q, &batch, &expired));
    assert_ptr_equal(batch.head, &a);
    batch = (struct job_list){0};
    assert_true(queue_take(q, &batch, &expired));
    assert_ptr_equal(batch.head, &b);
    batch = (struct job_list){0};
    assert_false(queue_take(q, &batch, &expired));
    assert_null(batch.head);
    queue_free(q);
}

static void *take_one(void *arg)
{
    struct job_list batch = {0}, expired = {0};
    return queue_take(arg, &batch, &expired) ? batch.head : NULL;
}

static void *take_one_expired(void *arg)
{
    struct job_list expired = {0};
    return queue_take_expired(arg, &expired) ? expired.head : NULL;
}

static void a_waiting_worker_gets_the_job(void **state)
{
    (void)state;
    struct queue *q = open_queue(100, 100);
    struct job job = job_of(3);
    pthread_t worker;
    void *got;
    assert_int_equal(pthread_create(&worker, NULL, take_one, q), 0);
    assert_int_equal(queue_submit(q, &job), QUEUE_ACCEPTED);
    pthread_join(worker, &got);
    assert_ptr_equal(got, &job);
    empty_and_free(q);
}

static void closing_wakes_those_who_wait(void **state)
{
    (void)state;
    struct queue *q = open_queue(100, 100);
    pthread_t worker, watch;
    void *got_worker, *got_watch;
    assert_int_equal(pthread_create(&worker, NULL, take_one, q), 0);
    assert_int_equal(pthread_create(&watch, NULL, take_one_expired, q), 0);
    queue_close(q);
    pthread_join(worker, &got_worker);
    pthread_join(watch, &got_watch);
    assert_null(got_worker);
    assert_null(got_watch);
    queue_free(q);
}

/* Nobody takes batches here: the watch alone must notice, though it first sleeps towards a deadline
 * that is an hour away. */
static void the_watch_wakes_for_the_earliest_deadline(void **state)
{
    (void)state;
    struct queue *q = open_queue(100, 100);
    struct job patient = job_of(1), hasty = job_of(1);
    pthread_t watch;
    void *got;
    patient.deadline_ns = clock_now_ns() + 3600 * NS_PER_SEC;
    assert_int_equal(queue_submit(q, &patient), QUEUE_ACCEPTED);
    assert_int_equal(pthread_create(&watch, NULL, take_one_expired, q), 0);
    hasty.deadline_ns = clock_now_ns() + 20 * NS_PER_MS;
    assert_int_equal(queue_submit(q, &hasty), QUEUE_ACCEPTED);
    pthread_join(watch, &got);
    assert_ptr_equal(got, &hasty);
    assert_true(clock_now_ns() >= hasty.deadline_ns);
    empty_and_free(q);
}

enum { N_PRODUCERS = 4, N_CONSUMERS = 3, N_EACH = 2000 };

struct producer {
    struct queue *queue;
    struct job *jobs; /* [N_EACH] */
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (size_t i = 0; i < N_EACH; i++) {
        p->jobs[i] = job_of(i % 7);
        while (queue_submit(p->queue, &p->jobs[i]) == QUEUE_FULL)
            sched_yield();
    }
    return NULL;
}

static void *consume(void *arg)
{
    for (;;) {
        struct job_list batch = {0}, expired = {0};
        if (!queue_take(arg, &batch, &expired))
            return NULL;
        struct job *job;
        while ((job = job_list_pop(&batch)))
            job->finished_ns++; /* counts how often it was taken */
    }
}

static void every_job_is_taken_exactly_once(void **state)
{
    (void)state;
    struct queue *q = open_queue(500, 100);
    struct producer producers[N_PRODUCERS];
    pthread_t producing[N_PRODUCERS], consuming[N_CONSUMERS];
    for (size_t i = 0; i < N_CONSUMERS; i++)
        assert_int_equal(pthread_create(&consuming[i], NULL, consume, q), 0);
    for (size_t i = 0; i < N_PRODUCERS; i++) {
        producers[i] = (struct producer){q, calloc(N_EACH, sizeof(struct job))};
        assert_non_null(producers[i].jobs);
        assert_int_equal(pthread_create(&producing[i], NULL, produce, &producers[i]), 0);
    }
    for (size_t i = 0; i < N_PRODUCERS; i++)
        pthread_join(producing[i], NULL);
    queue_close(q);
    for (size_t i = 0; i < N_CONSUMERS; i++)
        pthread_join(consuming[i], NULL);
    for (size_t i = 0; i < N_PRODUCERS; i++) {
        for (size_t k = 0; k < N_EACH; k++)
            assert_int_equal(producers[i].jobs[k].finished_ns, 1);
        free(producers[i].jobs);
    }
    queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_until_the_tokens_are_full),
        cmocka_unit_test(taking_makes_room_again),
        cmocka_unit_test(an_empty_queue_takes_a_job_of_any_size),
        cmocka_unit_test(expired_jobs_come_apart_from_the_batch),
        cmocka_unit_test(a_closed_queue_refuses_jobs_and_gives_out_the_rest),
        cmocka_unit_test(a_waiting_worker_gets_the_job),
        cmocka_unit_test(closing_wakes_those_who_wait),
        cmocka_unit_test(the_watch_wakes_for_the_earliest_deadline),
        cmocka_unit_test(every_job_is_taken_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batch/queue.h"
#include "util/clock.h"

static struct budget costs; /* of the queue that is open */

static struct queue *open_queue(size_t max_cost, size_t max_batch_cost)
{
    struct queue *q;
    costs = (struct budget){.max = max_cost};
    const struct queue_options options = {
        .costs = &costs, .schedule = {.max_batch_cost = max_batch_cost, .n_workers = 1}};
    assert_int_equal(queue_new(&q, &options, NULL), 0);
    return q;
}

enum { N_TOKENS_MAX = 1000 };
static struct elmo_sentence sentences[N_TOKENS_MAX + 1]; /* [n] has n tokens */

static int make_sentences(void **state)
{
    (void)state;
    for (size_t n = 0; n <= N_TOKENS_MAX; n++)
        sentences[n].n_tokens = n;
    return 0;
}

/* One sentence of so many tokens; it never expires. */
static struct job job_of(size_t n_tokens)
{
    return (struct job){.sentences = &sentences[n_tokens],
                        .n_sentences = 1,
                        .n_tokens = n_tokens,
                        .deadline_ns = UINT64_MAX};
}

static struct job *only_job_of(const struct batch *batch)
{
    return batch->n_pieces == 1 ? batch->pieces[0].job : NULL;
}

static void empty_and_free(struct queue *q)
{
    struct batch batch;
    struct job_list expired = {0};
    queue_close(q);
    while (queue_take(q, &batch, &expired))
        expired = (struct job_list){0};
    queue_free(q);
    assert_int_equal(costs.used, 0);
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
    struct batch batch;
    struct job_list expired = {0};
    assert_int_equal(queue_submit(q, &a), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &b), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &c), QUEUE_FULL);
    assert_true(queue_take(q, &batch, &expired));
    assert_ptr_equal(only_job_of(&batch), &a);
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

static void queues_share_a_limit(void **state)
{
    (void)state;
    struct queue *q = open_queue(20, 100), *other;
    const struct queue_options options = {.costs = &costs,
                                          .schedule = {.max_batch_cost = 100, .n_workers = 1}};
    struct job a = job_of(8), b = job_of(8), c = job_of(0);
    struct batch batch;
    struct job_list expired = {0};
    assert_int_equal(queue_new(&other, &options, NULL), 0);
    assert_int_equal(queue_submit(q, &a), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(other, &b), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &c), QUEUE_FULL);
    assert_true(queue_take(other, &batch, &expired));
    assert_int_equal(queue_submit(q, &c), QUEUE_ACCEPTED);
    queue_close(other);
    queue_free(other);
    empty_and_free(q);
}

static void expired_jobs_come_apart_from_the_batch(void **state)
{
    (void)state;
    struct queue *q = open_queue(100, 100);
    struct job late = job_of(3), good = job_of(3);
    struct batch batch;
    struct job_list expired = {0};
    late.deadline_ns = 1;
    assert_int_equal(queue_submit(q, &late), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &good), QUEUE_ACCEPTED);
    assert_true(queue_take(q, &batch, &expired));
    assert_ptr_equal(expired.head, &late);
    assert_int_equal(late.taken_ns, 0);
    assert_ptr_equal(only_job_of(&batch), &good);
    empty_and_free(q);
}

static void a_closed_queue_refuses_jobs_and_gives_out_the_rest(void **state)
{
    (void)state;
    struct queue *q = open_queue(100, 5);
    struct job a = job_of(3), b = job_of(3), c = job_of(3);
    struct batch batch;
    struct job_list expired = {0};
    assert_int_equal(queue_submit(q, &a), QUEUE_ACCEPTED);
    assert_int_equal(queue_submit(q, &b), QUEUE_ACCEPTED);
    queue_close(q);
    assert_int_equal(queue_submit(q, &c), QUEUE_CLOSED);
    assert_true(queue_take(q, &batch, &expired));
    assert_ptr_equal(only_job_of(&batch), &a);
    assert_true(queue_take(q, &batch, &expired));
    assert_ptr_equal(only_job_of(&batch), &b);
    assert_false(queue_take(q, &batch, &expired));
    assert_int_equal(batch.n_pieces, 0);
    queue_free(q);
}

static void *take_one(void *arg)
{
    struct batch batch;
    struct job_list expired = {0};
    return queue_take(arg, &batch, &expired) ? only_job_of(&batch) : NULL;
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
    pthread_t worker, expiry_thread;
    void *got_worker, *got_expired;
    assert_int_equal(pthread_create(&worker, NULL, take_one, q), 0);
    assert_int_equal(pthread_create(&expiry_thread, NULL, take_one_expired, q), 0);
    queue_close(q);
    pthread_join(worker, &got_worker);
    pthread_join(expiry_thread, &got_expired);
    assert_null(got_worker);
    assert_null(got_expired);
    queue_free(q);
}

/* No worker takes batches here: only the expiry thread can notice, although it first waits for a
 * deadline that is an hour away. */
static void the_expiry_thread_wakes_for_the_earliest_deadline(void **state)
{
    (void)state;
    struct queue *q = open_queue(100, 100);
    struct job patient = job_of(1), hasty = job_of(1);
    pthread_t expiry_thread;
    void *got;
    patient.deadline_ns = clock_now_ns() + 3600 * NS_PER_SEC;
    assert_int_equal(queue_submit(q, &patient), QUEUE_ACCEPTED);
    assert_int_equal(pthread_create(&expiry_thread, NULL, take_one_expired, q), 0);
    hasty.deadline_ns = clock_now_ns() + 20 * NS_PER_MS;
    assert_int_equal(queue_submit(q, &hasty), QUEUE_ACCEPTED);
    pthread_join(expiry_thread, &got);
    assert_ptr_equal(got, &hasty);
    assert_true(clock_now_ns() >= hasty.deadline_ns);
    empty_and_free(q);
}

static void *take_something(void *arg)
{
    struct batch batch;
    struct job_list expired = {0};
    return queue_take(arg, &batch, &expired) && batch.n_pieces > 0 ? arg : NULL;
}

/* The worker that gets the job takes a part and wakes the other worker for the rest. */
static void one_job_wakes_all_workers_that_it_can_use(void **state)
{
    (void)state;
    enum { N_WORKERS = 3 };
    static struct elmo_sentence long_text[90];
    struct job job = {.sentences = long_text, .n_sentences = 90, .deadline_ns = UINT64_MAX};
    struct queue *q;
    costs = (struct budget){.max = 100};
    const struct queue_options options = {
        .costs = &costs, .schedule = {.max_batch_cost = 10000, .n_workers = N_WORKERS}};
    pthread_t workers[N_WORKERS];
    void *got;
    for (size_t i = 0; i < 90; i++)
        long_text[i].n_tokens = 18;
    job.n_tokens = 90 * 18;
    assert_int_equal(queue_new(&q, &options, NULL), 0);
    for (size_t i = 0; i < N_WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, take_something, q), 0);
    assert_int_equal(queue_submit(q, &job), QUEUE_ACCEPTED);
    for (size_t i = 0; i < N_WORKERS; i++) {
        pthread_join(workers[i], &got);
        assert_ptr_equal(got, q);
    }
    empty_and_free(q);
}

struct idle_watch {
    struct queue *queue;
    atomic_size_t n_taken, n_idle_max;
};

static void *note_idle(void *arg)
{
    struct idle_watch *watch = arg;
    struct batch batch;
    struct job_list expired = {0}, done = {0};
    while (queue_take(watch->queue, &batch, &expired)) {
        if (batch.n_idle > watch->n_idle_max)
            watch->n_idle_max = batch.n_idle;
        queue_finish(watch->queue, &batch, &done);
        done = (struct job_list){0};
        watch->n_taken += batch.n_pieces;
    }
    return NULL;
}

/* One of two workers takes the only job: sooner or later the other one waits at that moment. */
static void who_takes_learns_how_many_have_nothing_to_do(void **state)
{
    (void)state;
    struct idle_watch watch = {.queue = open_queue(100, 100)};
    pthread_t workers[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, note_idle, &watch), 0);
    for (size_t n = 1; watch.n_idle_max == 0; n++) {
        struct job job = job_of(5);
        assert_int_equal(queue_submit(watch.queue, &job), QUEUE_ACCEPTED);
        while (watch.n_taken < n)
            sched_yield();
    }
    assert_int_equal(watch.n_idle_max, 1);
    queue_close(watch.queue);
    for (size_t i = 0; i < 2; i++)
        pthread_join(workers[i], NULL);
    queue_free(watch.queue);
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
        struct batch batch;
        struct job_list expired = {0}, done = {0};
        if (!queue_take(arg, &batch, &expired))
            return NULL;
        queue_finish(arg, &batch, &done);
        struct job *job;
        while ((job = job_list_pop(&done)))
            job->finished_ns++; /* counts how often it was done */
    }
}

static void every_job_is_done_exactly_once(void **state)
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
        cmocka_unit_test(queues_share_a_limit),
        cmocka_unit_test(expired_jobs_come_apart_from_the_batch),
        cmocka_unit_test(a_closed_queue_refuses_jobs_and_gives_out_the_rest),
        cmocka_unit_test(a_waiting_worker_gets_the_job),
        cmocka_unit_test(closing_wakes_those_who_wait),
        cmocka_unit_test(the_expiry_thread_wakes_for_the_earliest_deadline),
        cmocka_unit_test(one_job_wakes_all_workers_that_it_can_use),
        cmocka_unit_test(who_takes_learns_how_many_have_nothing_to_do),
        cmocka_unit_test(every_job_is_done_exactly_once),
    };
    return cmocka_run_group_tests(tests, make_sentences, NULL);
}

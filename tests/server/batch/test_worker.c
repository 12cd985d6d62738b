#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batch/worker.h"
#include "support/fake_elmo.h"
#include "util/clock.h"

static const struct elmo_token words[] = {{"one", 3}, {"two", 3}};
static const struct elmo_token nan_word[] = {{"NaN", 3}};
static const struct elmo_token lost_word[] = {{"lost", 4}};

/* A job with one sentence that wants its pooled vector, and a way to wait for its end. */
struct task {
    struct job job; /* first: done() gets a pointer to it */
    struct elmo_sentence sentence;
};

static pthread_mutex_t done_mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_cond = PTHREAD_COND_INITIALIZER;
static size_t n_done;

static void count_done(struct job *job)
{
    assert_true(job->finished_ns >= job->queued_ns);
    pthread_mutex_lock(&done_mu);
    n_done++;
    pthread_cond_signal(&done_cond);
    pthread_mutex_unlock(&done_mu);
}

static void wait_for_done(size_t n)
{
    pthread_mutex_lock(&done_mu);
    while (n_done < n)
        pthread_cond_wait(&done_cond, &done_mu);
    n_done -= n;
    pthread_mutex_unlock(&done_mu);
}

static void task_init(struct task *task, const struct elmo_token *tokens, size_t n_tokens)
{
    *task = (struct task){.sentence = {.tokens = tokens, .n_tokens = n_tokens}};
    task->job = (struct job){.sentences = &task->sentence,
                             .n_sentences = 1,
                             .n_tokens = n_tokens,
                             .wants = {.pooled = true},
                             .deadline_ns = UINT64_MAX,
                             .done = count_done};
}

static void task_submit(struct task *task, struct queue *queue, const struct elmo_token *tokens,
                        size_t n_tokens)
{
    task_init(task, tokens, n_tokens);
    assert_int_equal(queue_submit(queue, &task->job), QUEUE_ACCEPTED);
}

struct fixture {
    struct budget costs;
    struct queue *queue;
    struct workers *workers;
};

static void start(struct fixture *f, const struct fake_elmo *fake, size_t n_workers)
{
    struct elmo_error err = {0};
    f->costs = (struct budget){.max = 5000};
    const struct queue_options queue_options = {
        .costs = &f->costs, .schedule = {.max_batch_cost = 5000, .n_workers = n_workers}};
    assert_int_equal(queue_new(&f->queue, &queue_options, NULL), 0);
    const struct workers_options options = {
        .model = fake_elmo_model(fake), .queue = f->queue, .plan = {n_workers, 1, n_workers}};
    assert_int_equal(workers_start(&f->workers, &options, &err), 0);
}

static void stop(struct fixture *f)
{
    queue_close(f->queue);
    workers_stop(f->workers);
    queue_free(f->queue);
    assert_int_equal(fake_elmo_n_sessions(), 0);
}

static void a_job_gets_its_outputs(void **state)
{
    (void)state;
    struct fixture f;
    struct task task;
    start(&f, &(struct fake_elmo){0}, 1);
    task_submit(&task, f.queue, words, 2);
    wait_for_done(1);
    assert_int_equal(task.job.outcome, JOB_DONE);
    assert_float_equal(task.sentence.pooled[0], 2, 0);
    assert_true(task.job.queued_ns <= task.job.taken_ns);
    assert_true(task.job.taken_ns <= task.job.finished_ns);
    job_release_outputs(&task.job);
    stop(&f);
}

static void every_worker_is_warm_before_the_first_job(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct fake_elmo){0}, 3);
    assert_int_equal(fake_elmo_n_runs(), 3);
    assert_int_equal(fake_elmo_n_sessions(), 3);
    stop(&f);
}

/* The first job is held inside the model; what arrives meanwhile runs as one batch after it. */
static void what_waits_runs_as_one_batch(void **state)
{
    (void)state;
    struct fixture f;
    struct task first, others[5];
    start(&f, &(struct fake_elmo){0}, 1);
    fake_elmo_shut_gate();
    task_submit(&first, f.queue, words, 1);
    fake_elmo_wait_at_gate(1);
    for (size_t i = 0; i < 5; i++)
        task_submit(&others[i], f.queue, words, i % 3);
    fake_elmo_open_gate();
    wait_for_done(6);
    assert_int_equal(fake_elmo_n_runs(), 3); /* warm-up, the first, the others */
    assert_int_equal(fake_elmo_last_n_sentences(), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(others[i].job.outcome, JOB_DONE);
        assert_float_equal(others[i].sentence.pooled[0], (float)(i % 3), 0);
        job_release_outputs(&others[i].job);
    }
    job_release_outputs(&first.job);
    stop(&f);
}

/* A worker uses the threads of a sleeping worker too, but not those of a computing one. */
static void idle_workers_lend_their_threads(void **state)
{
    (void)state;
    struct fixture f;
    struct task alone, beside;
    start(&f, &(struct fake_elmo){0}, 2);
    do { /* until both sleep when the job arrives */
        task_submit(&alone, f.queue, words, 1);
        wait_for_done(1);
        job_release_outputs(&alone.job);
    } while (fake_elmo_last_n_threads() != 2);
    fake_elmo_shut_gate();
    task_submit(&alone, f.queue, words, 1);
    fake_elmo_wait_at_gate(1);
    task_submit(&beside, f.queue, words, 1);
    fake_elmo_wait_at_gate(2);
    assert_int_equal(fake_elmo_last_n_threads(), 1);
    fake_elmo_open_gate();
    wait_for_done(2);
    job_release_outputs(&alone.job);
    job_release_outputs(&beside.job);
    stop(&f);
}

static void a_failing_job_spoils_no_other_of_its_batch(void **state)
{
    (void)state;
    struct fixture f;
    struct task first, good_1, bad, lost, good_2;
    start(&f, &(struct fake_elmo){0}, 1);
    fake_elmo_shut_gate();
    task_submit(&first, f.queue, words, 1);
    fake_elmo_wait_at_gate(1);
    task_submit(&good_1, f.queue, words, 1);
    task_submit(&bad, f.queue, nan_word, 1);
    task_submit(&lost, f.queue, lost_word, 1);
    task_submit(&good_2, f.queue, words, 2);
    fake_elmo_open_gate();
    wait_for_done(5);
    assert_int_equal(good_1.job.outcome, JOB_DONE);
    assert_int_equal(bad.job.outcome, JOB_NUMERIC);
    assert_int_equal(lost.job.outcome, JOB_FAILED);
    assert_int_equal(good_2.job.outcome, JOB_DONE);
    assert_float_equal(good_1.sentence.pooled[0], 1, 0);
    assert_float_equal(good_2.sentence.pooled[0], 2, 0);
    job_release_outputs(&first.job);
    job_release_outputs(&good_1.job);
    job_release_outputs(&bad.job);
    job_release_outputs(&lost.job);
    job_release_outputs(&good_2.job);
    stop(&f);
}

static void a_late_job_is_answered_while_every_worker_is_busy(void **state)
{
    (void)state;
    struct fixture f;
    struct task first, late;
    start(&f, &(struct fake_elmo){0}, 1);
    fake_elmo_shut_gate();
    task_submit(&first, f.queue, words, 1);
    fake_elmo_wait_at_gate(1);
    task_init(&late, words, 1);
    late.job.deadline_ns = clock_now_ns() + NS_PER_MS;
    assert_int_equal(queue_submit(f.queue, &late.job), QUEUE_ACCEPTED);
    wait_for_done(1); /* the gate is still shut */
    assert_int_equal(late.job.outcome, JOB_EXPIRED);
    assert_null(late.job.outputs);
    fake_elmo_open_gate();
    wait_for_done(1);
    assert_int_equal(first.job.outcome, JOB_DONE);
    job_release_outputs(&first.job);
    stop(&f);
}

static void stopping_finishes_what_was_accepted(void **state)
{
    (void)state;
    struct fixture f;
    struct task tasks[20];
    start(&f, &(struct fake_elmo){0}, 2);
    for (size_t i = 0; i < 20; i++)
        task_submit(&tasks[i], f.queue, words, 2);
    stop(&f);
    wait_for_done(20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(tasks[i].job.outcome, JOB_DONE);
        job_release_outputs(&tasks[i].job);
    }
}

static void a_start_that_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    const struct fake_elmo fakes[] = {{.new_session_fails = true}, {.first_run_fails = true}};
    for (size_t i = 0; i < 2; i++) {
        struct queue *queue;
        struct workers *workers = NULL;
        struct elmo_error err = {0};
        struct budget costs = {.max = 10};
        const struct queue_options queue_options = {
            .costs = &costs, .schedule = {.max_batch_cost = 10, .n_workers = 2}};
        assert_int_equal(queue_new(&queue, &queue_options, NULL), 0);
        const struct workers_options options = {
            .model = fake_elmo_model(&fakes[i]), .queue = queue, .plan = {2, 1, 2}};
        assert_int_equal(workers_start(&workers, &options, &err), ELMO_E_NOMEM);
        assert_true(err.message[0] != '\0');
        assert_null(workers);
        assert_int_equal(fake_elmo_n_sessions(), 0);
        queue_free(queue);
    }
}

/* ---- Requests of many sentences ---- */

enum { N_LONG = 100, N_WORDS = 18 };

static const struct elmo_token long_words[N_WORDS] = {{"one", 3}, {"two", 3}};

struct long_task {
    struct job job; /* first, as in a task */
    struct elmo_sentence sentences[N_LONG];
};

static void long_task_init(struct long_task *task)
{
    *task = (struct long_task){.job = {.sentences = task->sentences,
                                       .n_sentences = N_LONG,
                                       .n_tokens = N_LONG * N_WORDS,
                                       .wants = {.pooled = true},
                                       .deadline_ns = UINT64_MAX,
                                       .done = count_done}};
    for (size_t i = 0; i < N_LONG; i++)
        task->sentences[i] = (struct elmo_sentence){.tokens = long_words, .n_tokens = N_WORDS};
}

static void long_task_end(struct long_task *task, enum job_outcome outcome)
{
    wait_for_done(1);
    assert_int_equal(task->job.outcome, outcome);
    for (size_t i = 0; i < N_LONG && outcome == JOB_DONE; i++)
        assert_float_equal(task->sentences[i].pooled[0], N_WORDS, 0);
    job_release_outputs(&task->job);
}

static void all_idle_workers_compute_one_long_job(void **state)
{
    (void)state;
    enum { N_WORKERS = 3 };
    struct fixture f;
    static struct long_task task;
    start(&f, &(struct fake_elmo){0}, N_WORKERS);
    fake_elmo_shut_gate();
    long_task_init(&task);
    assert_int_equal(queue_submit(f.queue, &task.job), QUEUE_ACCEPTED);
    fake_elmo_wait_at_gate(N_WORKERS);
    fake_elmo_open_gate();
    long_task_end(&task, JOB_DONE);
    stop(&f);
}

static void a_long_job_fails_as_a_whole_and_alone(void **state)
{
    (void)state;
    static const struct {
        const struct elmo_token *word;
        enum job_outcome outcome;
    } failures[] = {{nan_word, JOB_NUMERIC}, {lost_word, JOB_FAILED}};
    static struct long_task task;
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        struct task good;
        start(&f, &(struct fake_elmo){0}, 2);
        long_task_init(&task);
        task.sentences[N_LONG - 1].tokens = failures[i].word;
        task.sentences[N_LONG - 1].n_tokens = 1;
        task.job.n_tokens -= N_WORDS - 1;
        assert_int_equal(queue_submit(f.queue, &task.job), QUEUE_ACCEPTED);
        task_submit(&good, f.queue, words, 2);
        wait_for_done(1);
        long_task_end(&task, failures[i].outcome);
        assert_int_equal(good.job.outcome, JOB_DONE);
        assert_float_equal(good.sentence.pooled[0], 2, 0);
        job_release_outputs(&good.job);
        stop(&f);
    }
}

/* More outputs than fit in memory. */
static void a_job_whose_outputs_have_no_memory_fails_alone(void **state)
{
    (void)state;
    struct fixture f;
    struct task first, good;
    static struct long_task task;
    start(&f, &(struct fake_elmo){0}, 1);
    fake_elmo_shut_gate();
    task_submit(&first, f.queue, words, 1);
    fake_elmo_wait_at_gate(1);
    long_task_init(&task);
    task.job.wants.elmo = true;
    task.sentences[1].n_tokens = SIZE_MAX / 8;
    task.job.n_tokens += SIZE_MAX / 8 - N_WORDS;
    assert_int_equal(queue_submit(f.queue, &task.job), QUEUE_ACCEPTED);
    fake_elmo_open_gate();
    wait_for_done(1);
    long_task_end(&task, JOB_FAILED);
    assert_null(task.job.outputs);
    task_submit(&good, f.queue, words, 2); /* there is room: the rest was given up */
    wait_for_done(1);
    assert_int_equal(good.job.outcome, JOB_DONE);
    job_release_outputs(&good.job);
    job_release_outputs(&first.job);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_gets_its_outputs),
        cmocka_unit_test(every_worker_is_warm_before_the_first_job),
        cmocka_unit_test(what_waits_runs_as_one_batch),
        cmocka_unit_test(idle_workers_lend_their_threads),
        cmocka_unit_test(a_failing_job_spoils_no_other_of_its_batch),
        cmocka_unit_test(a_late_job_is_answered_while_every_worker_is_busy),
        cmocka_unit_test(all_idle_workers_compute_one_long_job),
        cmocka_unit_test(a_long_job_fails_as_a_whole_and_alone),
        cmocka_unit_test(a_job_whose_outputs_have_no_memory_fails_alone),
        cmocka_unit_test(stopping_finishes_what_was_accepted),
        cmocka_unit_test(a_start_that_fails_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

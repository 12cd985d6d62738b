#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "batch/live_models.h"
#include "error.h"
#include "support/fail_alloc.h"
#include "support/fake_elmo.h"

/* ---- The model files: none; these say what is at the path. ---- */

static atomic_bool is_bad;     /* a load fails */
static atomic_uint n_loads;    /* so far; the mark of the last model */
static atomic_size_t n_most;   /* models at once */
static atomic_bool load_waits; /* a load stops half way */

int elmo_model_open(struct elmo_model **ret_model, const char *path,
                    const struct elmo_model_settings *settings, struct elmo_error *err)
{
    (void)settings;
    assert_string_equal(path, "the path");
    if (is_bad)
        return elmo_fail(err, ELMO_E_FORMAT, "bad file");
    unsigned mark = ++n_loads;
    while (load_waits)
        sched_yield();
    *ret_model = fake_elmo_model_new(&(struct fake_elmo){.mark = mark});
    if (fake_elmo_n_models() > n_most)
        n_most = fake_elmo_n_models();
    return *ret_model ? 0 : elmo_fail_nomem(err);
}

int elmo_model_open_default(struct elmo_model **ret_model,
                            const struct elmo_model_settings *settings, struct elmo_error *err)
{
    return elmo_model_open(ret_model, "the path", settings, err);
}

void elmo_model_free(struct elmo_model *model)
{
    fake_elmo_model_free(model);
}

/* ---- Fixture ---- */

static struct config config = {.model = "the path",
                               .word_cache_vocab = "",
                               .kernel = "",
                               .threads = 2,
                               .batch_tokens = 1000,
                               .drain_timeout_ms = 600000};
static atomic_int stop;
static struct budget queue_tokens = {.max = 1000};
static struct live_model_options options = {
    .config = &config, .queue_tokens = &queue_tokens, .stop = &stop};

static const char *other_path(size_t index)
{
    (void)index;
    return "other";
}

static int make_models(void **state)
{
    struct live_models *models = NULL;
    int r = live_models_new(&models, &options, NULL);
    *state = models;
    return r;
}

static int set_up(void **state)
{
    static const struct metrics_options metrics_options = {
        .path = other_path, .n_paths = 1, .version = "", .commit = "", .root = ""};
    if (metrics_new(&options.metrics, &metrics_options, NULL))
        return -1;
    is_bad = load_waits = false;
    n_loads = 0;
    n_most = 0;
    stop = 0;
    config.drain_timeout_ms = 600000;
    return make_models(state);
}

static int tear_down(void **state)
{
    live_models_stop(*state);
    live_models_free(*state);
    metrics_free(options.metrics);
    return fake_elmo_n_models() + fake_elmo_n_sessions() > 0 ? -1 : 0;
}

static struct live_models *start(void **state)
{
    struct live_model_failure failure;
    assert_int_equal(live_models_start(*state, &failure), 0);
    return *state;
}

static const char *sha256_of(const struct live_model *live)
{
    return elmo_model_info(live->model)->sha256;
}

static unsigned mark_of(const struct live_model *live)
{
    return (unsigned)strtoul(sha256_of(live) + 16, NULL, 10);
}

static unsigned current_mark(struct live_models *models)
{
    struct live_model *live = live_models_use(models);
    unsigned mark = mark_of(live);
    live_model_release(live);
    return mark;
}

static double n_reloads(const char *result)
{
    AUTO(buffer_done) struct buffer text = {0};
    metrics_write(options.metrics, &(struct metrics_now){0}, &text);
    buffer_append_char(&text, '\0');
    assert_false(text.failed);
    char series[64];
    snprintf(series, sizeof series, "\nelmod_model_reloads_total{result=\"%s\"} ", result);
    const char *found = strstr(text.bytes, series);
    assert_non_null(found);
    return strtod(found + strlen(series), NULL);
}

static void wait_for_reloads(const char *result, double n)
{
    while (n_reloads(result) < n)
        sched_yield();
}

static void wait_for_models(size_t n)
{
    while (fake_elmo_n_models() != n)
        sched_yield();
}

/* ---- Tests ---- */

static void there_is_no_model_before_the_start_and_after_the_end(void **state)
{
    struct live_models *models = *state;
    assert_null(live_models_use(models));
    live_model_release(NULL);
    start(state);
    assert_int_equal(current_mark(models), 1);
    live_models_stop(models);
    assert_null(live_models_use(models));
    assert_int_equal(fake_elmo_n_models(), 0);
    live_models_free(models); /* another one for tear_down, which stops it again */
    assert_int_equal(make_models(state), 0);
}

static void a_start_that_fails_says_why(void **state)
{
    struct live_model_failure failure;
    is_bad = true;
    assert_int_equal(live_models_start(*state, &failure), ELMO_E_FORMAT);
    assert_string_equal(failure.event, "model_failed");
    assert_string_equal(failure.err.message, "bad file");
    assert_null(live_models_use(*state));
}

static void words_that_cannot_be_read_fail_the_start(void **state)
{
    struct live_model_failure failure;
    config.word_cache_vocab = "/no/such/words";
    assert_int_equal(live_models_start(*state, &failure), ELMO_E_IO);
    config.word_cache_vocab = "";
    assert_string_equal(failure.event, "word_cache_failed");
    assert_int_equal(fake_elmo_n_models(), 0);
}

struct task {
    struct job job; /* first: done() gets a pointer to it */
    struct elmo_sentence sentence;
    atomic_bool is_done;
};

static void note_done(struct job *job)
{
    atomic_store(&((struct task *)job)->is_done, true);
}

static void compute(struct live_model *live, struct task *task)
{
    static const struct elmo_token word[] = {{"one", 3}};
    task->is_done = false;
    task->sentence = (struct elmo_sentence){.tokens = word, .n_tokens = 1};
    task->job = (struct job){.sentences = &task->sentence,
                             .n_sentences = 1,
                             .n_tokens = 1,
                             .wants = {.pooled = true},
                             .deadline_ns = UINT64_MAX,
                             .done = note_done};
    assert_int_equal(queue_submit(live->queue, &task->job), QUEUE_ACCEPTED);
    while (!task->is_done)
        sched_yield();
    assert_int_equal(task->job.outcome, JOB_DONE);
    assert_float_equal(task->sentence.pooled[2], (float)mark_of(live), 0);
    job_release_outputs(&task->job);
}

static void who_uses_a_model_keeps_it_over_a_reload(void **state)
{
    struct live_models *models = start(state);
    struct live_model *first = live_models_use(models), *second;
    struct task task;
    live_models_reload(models);
    wait_for_reloads("ok", 1);
    second = live_models_use(models);
    assert_ptr_not_equal(first, second);
    assert_int_equal(mark_of(second), 2);
    compute(first, &task);
    compute(second, &task);
    assert_int_equal(fake_elmo_n_models(), 2);
    live_model_release(first);
    wait_for_models(1);
    compute(second, &task);
    live_model_release(second);
    assert_int_equal(current_mark(models), 2);
}

static void a_model_that_nobody_uses_is_freed_at_once(void **state)
{
    struct live_models *models = start(state);
    live_models_reload(models);
    wait_for_reloads("ok", 1);
    wait_for_models(1);
    assert_int_equal(current_mark(models), 2);
}

static void a_bad_file_leaves_the_old_model(void **state)
{
    struct live_models *models = start(state);
    is_bad = true;
    live_models_reload(models);
    wait_for_reloads("failed", 1);
    assert_int_equal(current_mark(models), 1);
    is_bad = false;
    live_models_reload(models);
    wait_for_reloads("ok", 1);
    assert_int_equal(current_mark(models), 2);
}

/* All requests during a reload share one further reload, which reads the file of that time. */
static void reloads_that_are_asked_for_meanwhile_are_one(void **state)
{
    struct live_models *models = start(state);
    load_waits = true;
    live_models_reload(models);
    while (n_loads < 2)
        sched_yield();
    for (int i = 0; i < 5; i++)
        live_models_reload(models);
    load_waits = false;
    wait_for_reloads("ok", 2);
    wait_for_models(1);
    assert_int_equal(current_mark(models), 3);
}

static void there_are_never_three_models(void **state)
{
    struct live_models *models = start(state);
    struct live_model *first = live_models_use(models);
    live_models_reload(models);
    wait_for_reloads("ok", 1);
    live_models_reload(models); /* waits for the first to be given back */
    assert_int_equal(n_loads, 2);
    live_model_release(first);
    wait_for_reloads("ok", 2);
    assert_int_equal(current_mark(models), 3);
    assert_int_equal(n_most, 2);
}

static void a_reload_does_not_wait_for_ever(void **state)
{
    config.drain_timeout_ms = 1;
    struct live_models *models = start(state);
    struct live_model *first = live_models_use(models);
    live_models_reload(models);
    wait_for_reloads("ok", 1);
    live_models_reload(models);
    wait_for_reloads("failed", 1);
    assert_int_equal(current_mark(models), 2);
    live_model_release(first);
    wait_for_models(1);
    live_models_reload(models);
    wait_for_reloads("ok", 2);
}

static void a_load_is_given_up_when_the_service_ends(void **state)
{
    struct live_models *models = start(state);
    load_waits = true;
    live_models_reload(models);
    while (n_loads < 2)
        sched_yield();
    stop = 15;
    load_waits = false;
    wait_for_reloads("failed", 1);
    assert_int_equal(current_mark(models), 1);
    live_models_reload(models); /* is not even begun */
    wait_for_reloads("failed", 2);
    assert_int_equal(n_loads, 2);
}

static void who_waits_for_a_reload_learns_what_came_of_it(void **state)
{
    struct live_models *models = start(state);
    struct live_models_result result;
    live_models_reload_now(models, &result);
    assert_true(result.ok);
    assert_string_equal(result.model, "fake \"elmo\"");
    assert_string_equal(result.sha256, "0123456789abcdef" /* and the mark */
                                       "000000000000000000000000000000000000000000000002");
    is_bad = true;
    live_models_reload_now(models, &result);
    assert_false(result.ok);
    assert_string_equal(result.reason, "bad file");
    assert_int_equal(strtoul(result.sha256 + 16, NULL, 10), 2);
}

static void *reload_now(void *arg)
{
    struct live_models_result result;
    live_models_reload_now(arg, &result);
    assert_false(result.ok);
    assert_string_equal(result.reason, "the server is shutting down");
    return NULL;
}

static void who_waits_is_told_when_the_service_ends(void **state)
{
    struct live_models *models = start(state);
    struct live_model *first = live_models_use(models);
    pthread_t waiter;
    live_models_reload(models);
    wait_for_reloads("ok", 1);
    assert_int_equal(pthread_create(&waiter, NULL, reload_now, models), 0); /* the first is used */
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    stop = 15;
    live_models_drain(models);
    pthread_join(waiter, NULL);
    live_model_release(first);
}

/* Each fake model reports 30 and 4. */
static void the_word_caches_are_counted_over_all_models(void **state)
{
    struct live_models *models = *state;
    assert_int_equal(live_models_cache_stats(models).n_hits, 0);
    start(state);
    struct live_model *first = live_models_use(models);
    assert_int_equal(live_models_cache_stats(models).n_hits, 30);
    live_models_reload(models);
    wait_for_reloads("ok", 1);
    assert_int_equal(live_models_cache_stats(models).n_hits, 60);
    live_model_release(first);
    wait_for_models(1);
    const struct elmo_cache_stats stats = live_models_cache_stats(models);
    assert_int_equal(stats.n_hits, 60);
    assert_int_equal(stats.n_misses, 8);
    assert_int_equal(stats.n_places, 1000);
}

enum { N_USERS = 4, N_RELOADS = 30 };

static atomic_bool users_end;

static void *use_again_and_again(void *arg)
{
    struct live_models *models = arg;
    struct task task;
    unsigned last = 0;
    while (!users_end) {
        struct live_model *live = live_models_use(models);
        assert_true(mark_of(live) >= last);
        last = mark_of(live);
        compute(live, &task);
        live_model_release(live);
        assert_true(live_models_cache_stats(models).n_hits >= 30);
    }
    return NULL;
}

static void users_of_all_threads_meet_one_model_each_time(void **state)
{
    struct live_models *models = start(state);
    pthread_t users[N_USERS];
    users_end = false;
    for (size_t i = 0; i < N_USERS; i++)
        assert_int_equal(pthread_create(&users[i], NULL, use_again_and_again, models), 0);
    for (unsigned n = 1; n <= N_RELOADS; n++) {
        live_models_reload(models);
        wait_for_reloads("ok", n);
    }
    users_end = true;
    for (size_t i = 0; i < N_USERS; i++)
        pthread_join(users[i], NULL);
    wait_for_models(1);
    assert_int_equal(current_mark(models), 1 + N_RELOADS);
    assert_true(n_most <= 2);
}

static void running_out_of_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    struct live_model *live = NULL;
    size_t n_good = 0;
    for (int r = ELMO_E_NOMEM; r; n_good++) {
        struct live_model_failure failure;
        fail_alloc_after(n_good);
        r = live_model_new(&live, &options, false, &failure);
        fail_alloc_stop();
        if (r) {
            assert_int_equal(r, ELMO_E_NOMEM);
            assert_int_equal(failure.err.status, r);
            assert_true(failure.err.message[0] != '\0');
            assert_null(live);
            assert_int_equal(fake_elmo_n_models() + fake_elmo_n_sessions(), 0);
        }
    }
    assert_true(n_good > 4); /* the model of the service, the file's, the queue, the workers */
    live_model_free(live);
    fail_alloc_after(0);
    struct live_models *none = NULL;
    struct elmo_error err = {0};
    int r = live_models_new(&none, &options, &err);
    assert_int_equal(fail_alloc_stop(), 1);
    assert_int_equal(r, ELMO_E_NOMEM);
    assert_int_equal(err.status, r);
    assert_null(none);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(there_is_no_model_before_the_start_and_after_the_end),
        TEST(a_start_that_fails_says_why),
        TEST(words_that_cannot_be_read_fail_the_start),
        TEST(who_uses_a_model_keeps_it_over_a_reload),
        TEST(a_model_that_nobody_uses_is_freed_at_once),
        TEST(a_bad_file_leaves_the_old_model),
        TEST(reloads_that_are_asked_for_meanwhile_are_one),
        TEST(there_are_never_three_models),
        TEST(a_reload_does_not_wait_for_ever),
        TEST(a_load_is_given_up_when_the_service_ends),
        TEST(who_waits_for_a_reload_learns_what_came_of_it),
        TEST(who_waits_is_told_when_the_service_ends),
        TEST(the_word_caches_are_counted_over_all_models),
        TEST(users_of_all_threads_meet_one_model_each_time),
        TEST(running_out_of_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

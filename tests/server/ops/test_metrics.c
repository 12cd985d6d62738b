#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/metrics.h"
#include "support/fail_alloc.h"
#include "support/fake_root.h"

enum { PATH_EMBED, PATH_HEALTH, PATH_OTHER, N_PATHS };
static const char *const paths[N_PATHS] = {"/embed", "/health", "other"};
static const char *path(size_t index)
{
    return paths[index];
}
static const struct metrics_options options = {
    .path = path, .n_paths = N_PATHS, .version = "1.2.3", .commit = "abc", .root = ""};

static struct metrics_now now; /* of the next scrape */

static int set_up(void **state)
{
    now = (struct metrics_now){0};
    struct metrics *metrics = NULL;
    int r = metrics_new(&metrics, &options, NULL);
    *state = metrics;
    return r;
}

static int tear_down(void **state)
{
    metrics_free(*state);
    return 0;
}

/* The whole scrape, NUL-terminated; free() it. */
static char *scraped(struct metrics *m)
{
    AUTO(buffer_done) struct buffer b = {0};
    size_t n_bytes;
    metrics_write(m, &now, &b);
    buffer_append_char(&b, '\0');
    char *text = buffer_take(&b, &n_bytes);
    assert_non_null(text);
    return text;
}

/* The value of the series, whose text with labels is given; the test fails where it is missing or
 * there twice. */
static double value_in(const char *text, const char *series)
{
    char line[256];
    assert_in_range(snprintf(line, sizeof line, "\n%s ", series), 1, sizeof line - 1);
    const char *found = strstr(text, line);
    if (!found) {
        fail_msg("no series %s", series);
        return NAN;
    }
    if (strstr(found + 1, line))
        fail_msg("%s is there twice", series);
    return strtod(found + strlen(line), NULL);
}

static double value_of(struct metrics *m, const char *series)
{
    AUTO(mem_free) char *text = scraped(m);
    return value_in(text, series);
}

#define assert_value(m, series, expected) assert_true(value_of(m, series) == (expected))

static void every_series_is_there_before_anything_happened(void **state)
{
    AUTO(mem_free) char *text = scraped(*state);
    static const char *const zero[] = {
        "elmod_requests_total{path=\"/embed\",code=\"200\"}",
        "elmod_requests_total{path=\"other\",code=\"other\"}",
        "elmod_request_duration_seconds_bucket{path=\"/health\",le=\"+Inf\"}",
        "elmod_request_duration_seconds_bucket{path=\"/health\",le=\"0.0001\"}",
        "elmod_request_duration_seconds_bucket{path=\"/health\",le=\"30\"}",
        "elmod_request_duration_seconds_sum{path=\"/health\"}",
        "elmod_request_duration_seconds_count{path=\"/health\"}",
        "elmod_stage_duration_seconds_count{stage=\"parse\"}",
        "elmod_stage_duration_seconds_count{stage=\"queue\"}",
        "elmod_stage_duration_seconds_count{stage=\"compute\"}",
        "elmod_stage_duration_seconds_count{stage=\"write\"}",
        "elmod_queue_tokens",
        "elmod_queue_requests",
        "elmod_batch_tokens_bucket{le=\"1\"}",
        "elmod_batch_tokens_count",
        "elmod_batch_requests_sum",
        "elmod_tokens_total",
        "elmod_word_cache_hits_total",
        "elmod_word_cache_misses_total",
        "elmod_word_vectors_total{outcome=\"known\"}",
        "elmod_word_vectors_total{outcome=\"unknown\"}",
        "elmod_rejected_total{reason=\"queue_full\"}",
        "elmod_inflight_requests",
        "elmod_model_reloads_total{result=\"ok\"}",
        "elmod_model_reloads_total{result=\"failed\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(zero); i++)
        assert_true(value_in(text, zero[i]) == 0);
    assert_true(value_in(text, "elmod_build_info{version=\"1.2.3\",commit=\"abc\"}") == 1);
    static const char *const process[] = {"process_cpu_seconds_total",
                                          "process_resident_memory_bytes", "process_open_fds",
                                          "process_max_fds", "process_start_time_seconds"};
    for (size_t i = 0; i < ARRAY_LEN(process); i++)
        assert_true(value_in(text, process[i]) >= 0);
}

static void every_status_and_reason_of_a_problem_has_a_series(void **state)
{
    struct metrics *m = *state;
    for (enum problem_code code = 1; code < PROBLEM_N_CODES; code++) {
        char series[128];
        snprintf(series, sizeof series, "elmod_requests_total{path=\"/embed\",code=\"%u\"}",
                 problem_status(code));
        double before = value_of(m, series);
        metrics_request_done(m, PATH_EMBED, problem_status(code), 0);
        assert_value(m, series, before + 1);

        snprintf(series, sizeof series, "elmod_rejected_total{reason=\"%s\"}",
                 problem_code_text(code));
        assert_value(m, series, 0);
        metrics_rejected(m, code);
        assert_value(m, series, 1);
    }
    assert_value(m, "elmod_requests_total{path=\"/embed\",code=\"other\"}", 0);
}

static void requests_count_by_path_and_code(void **state)
{
    struct metrics *m = *state;
    metrics_request_done(m, PATH_EMBED, 200, 0.001);
    metrics_request_done(m, PATH_EMBED, 200, 0.001);
    metrics_request_done(m, PATH_EMBED, 418, 0.001);
    metrics_request_done(m, PATH_OTHER, 404, 0.001);
    assert_value(m, "elmod_requests_total{path=\"/embed\",code=\"200\"}", 2);
    assert_value(m, "elmod_requests_total{path=\"/embed\",code=\"other\"}", 1);
    assert_value(m, "elmod_requests_total{path=\"other\",code=\"404\"}", 1);
    assert_value(m, "elmod_requests_total{path=\"/health\",code=\"200\"}", 0);
    assert_value(m, "elmod_request_duration_seconds_count{path=\"/embed\"}", 3);
}

static void buckets_are_cumulative_and_take_their_bound(void **state)
{
    struct metrics *m = *state;
    const double seconds[] = {0, 0.0001, 0.00010001, 0.03, 30, 31};
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++)
        metrics_stage(m, STAGE_COMPUTE, seconds[i]);
#define BUCKET(le) "elmod_stage_duration_seconds_bucket{stage=\"compute\",le=\"" le "\"}"
    assert_value(m, BUCKET("0.0001"), 2);
    assert_value(m, BUCKET("0.00025"), 3);
    assert_value(m, BUCKET("0.025"), 3);
    assert_value(m, BUCKET("0.05"), 4);
    assert_value(m, BUCKET("30"), 5);
    assert_value(m, BUCKET("+Inf"), 6);
#undef BUCKET
    assert_value(m, "elmod_stage_duration_seconds_count{stage=\"compute\"}", 6);
    assert_value(m, "elmod_stage_duration_seconds_count{stage=\"parse\"}", 0);
    double sum = value_of(m, "elmod_stage_duration_seconds_sum{stage=\"compute\"}");
    assert_true(fabs(sum - 61.03020001) < 1e-6);
}

static void absurd_durations_do_no_harm(void **state)
{
    struct metrics *m = *state;
    metrics_stage(m, STAGE_PARSE, -1);
    metrics_stage(m, STAGE_PARSE, NAN);
    assert_value(m, "elmod_stage_duration_seconds_sum{stage=\"parse\"}", 0);
    metrics_stage(m, STAGE_PARSE, INFINITY);
    assert_value(m, "elmod_stage_duration_seconds_sum{stage=\"parse\"}", 1e9);
    assert_value(m, "elmod_stage_duration_seconds_count{stage=\"parse\"}", 3);
}

static void batches_count_requests_and_tokens(void **state)
{
    struct metrics *m = *state;
    metrics_batch(m, 1, 5);
    metrics_batch(m, 3, 1000000);
    assert_value(m, "elmod_batch_requests_bucket{le=\"1\"}", 1);
    assert_value(m, "elmod_batch_requests_bucket{le=\"4\"}", 2);
    assert_value(m, "elmod_batch_requests_sum", 4);
    assert_value(m, "elmod_batch_tokens_bucket{le=\"4\"}", 0);
    assert_value(m, "elmod_batch_tokens_bucket{le=\"16\"}", 1);
    assert_value(m, "elmod_batch_tokens_bucket{le=\"+Inf\"}", 2);
    assert_value(m, "elmod_tokens_total", 1000005);
    now = (struct metrics_now){
        .n_word_hits = 7, .n_word_misses = 2, .n_vectors_known = 5, .n_vectors_unknown = 3};
    assert_value(m, "elmod_word_cache_hits_total", 7);
    assert_value(m, "elmod_word_cache_misses_total", 2);
    assert_value(m, "elmod_word_vectors_total{outcome=\"known\"}", 5);
    assert_value(m, "elmod_word_vectors_total{outcome=\"unknown\"}", 3);
}

static void gauges_show_the_present(void **state)
{
    struct metrics *m = *state;
    metrics_queue_add(m, 2, 500);
    metrics_queue_add(m, 1, 200);
    metrics_inflight_add(m, 1);
    metrics_inflight_add(m, 1);
    assert_value(m, "elmod_queue_requests", 3);
    assert_value(m, "elmod_queue_tokens", 700);
    assert_value(m, "elmod_inflight_requests", 2);
    metrics_queue_add(m, -3, -700);
    metrics_inflight_add(m, -1);
    assert_value(m, "elmod_queue_requests", 0);
    assert_value(m, "elmod_queue_tokens", 0);
    assert_value(m, "elmod_inflight_requests", 1);
}

static void the_model_is_the_one_that_serves(void **state)
{
    struct metrics *m = *state;
    AUTO(mem_free) char *before = scraped(m);
    assert_null(strstr(before, "elmod_model_info{"));
    now.model = &(struct metrics_model){"a\\b\"c\nd", "00ff", "f16", "f32"};
    assert_value(
        m,
        "elmod_model_info{name=\"a\\\\b\\\"c\\nd\",hash=\"00ff\",dtype=\"f16\",compute_dtype=\"f32\"}",
        1);
    now.model = &(struct metrics_model){"e", "11", "bf16", "int8"};
    AUTO(mem_free) char *after = scraped(m);
    assert_true(
        value_in(
            after,
            "elmod_model_info{name=\"e\",hash=\"11\",dtype=\"bf16\",compute_dtype=\"int8\"}") == 1);
    assert_null(strstr(after, "00ff"));
}

static void reloads_count_by_their_result(void **state)
{
    struct metrics *m = *state;
    metrics_reload(m, true);
    metrics_reload(m, false);
    metrics_reload(m, true);
    assert_value(m, "elmod_model_reloads_total{result=\"ok\"}", 2);
    assert_value(m, "elmod_model_reloads_total{result=\"failed\"}", 1);
}

static void process_metrics_come_from_proc(void **state)
{
    (void)state;
    const char *root = fake_root_new();
    fake_root_write(root, "/proc/self/stat",
                    "7 (elmod) S 1 2 3 4 5 6 7 8 9 10 100 25 13 14 15 16 17 18 50 20 3 22\n");
    fake_root_write(root, "/proc/stat", "btime 1700000000\n");
    struct metrics_options faked = options;
    faked.root = root;
    AUTO(metrics_free) struct metrics *m = NULL;
    assert_int_equal(metrics_new(&m, &faked, NULL), 0);
    assert_non_null(m);
    double ticks = (double)sysconf(_SC_CLK_TCK);
    assert_value(m, "process_cpu_seconds_total", 125 / ticks);
    assert_value(m, "process_start_time_seconds", 1700000000 + 50 / ticks);
    assert_value(m, "process_resident_memory_bytes", 3 * (double)sysconf(_SC_PAGESIZE));
    fake_root_remove(root);
}

/* Fills every kind of series. */
static void do_something(struct metrics *m)
{
    static const struct metrics_model model = {"n\"\\\n", "h", "bf16", "f32"};
    now.model = &model;
    metrics_request_done(m, PATH_EMBED, 200, 0.0123);
    metrics_stage(m, STAGE_PARSE, 0.1);
    metrics_batch(m, 2, 30);
    metrics_rejected(m, PROBLEM_QUEUE_FULL);
    metrics_queue_add(m, 1, 2);
}

static void each_family_has_help_and_type_and_then_its_samples(void **state)
{
    do_something(*state);
    AUTO(mem_free) char *text = scraped(*state);
    char family[64] = "";
    size_t n_families = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            sscanf(line, "# HELP %63s", family);
            n_families++;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_int_equal(strncmp(line + 7, family, strlen(family)), 0);
        } else {
            assert_int_equal(strncmp(line, family, strlen(family)), 0);
            assert_true(isdigit((unsigned char)line[strlen(line) - 1]));
        }
    }
    assert_int_equal(n_families, 21);
}

static void promtool_finds_nothing_to_say(void **state)
{
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("skipped: promtool (Debian's package prometheus) is not installed\n");
        skip();
    }
    do_something(*state);
    AUTO(mem_free) char *text = scraped(*state);
    FILE *promtool = popen("promtool check metrics >&2", "w");
    assert_non_null(promtool);
    assert_true(fputs(text, promtool) >= 0);
    assert_int_equal(pclose(promtool), 0);
}

#define N_THREADS 4
#define N_UPDATES 20000

static void *update_many(void *arg)
{
    struct metrics *m = arg;
    for (int i = 0; i < N_UPDATES; i++) {
        metrics_request_done(m, PATH_HEALTH, 200, 0.000001);
        metrics_inflight_add(m, i % 2 ? -1 : 1);
        metrics_batch(m, 1, 2);
    }
    return NULL;
}

static void no_update_of_any_thread_is_lost(void **state)
{
    struct metrics *m = *state;
    pthread_t threads[N_THREADS];
    for (size_t i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, update_many, m), 0);
    for (int i = 0; i < 20; i++) { /* scrapes meanwhile */
        AUTO(mem_free) char *text = scraped(m);
        assert_true(
            value_in(text, "elmod_request_duration_seconds_count{path=\"/health\"}") ==
            value_in(text, "elmod_request_duration_seconds_bucket{path=\"/health\",le=\"+Inf\"}"));
    }
    for (size_t i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    double n = (double)N_THREADS * N_UPDATES;
    assert_value(m, "elmod_requests_total{path=\"/health\",code=\"200\"}", n);
    assert_value(m, "elmod_request_duration_seconds_count{path=\"/health\"}", n);
    assert_true(fabs(value_of(m, "elmod_request_duration_seconds_sum{path=\"/health\"}") -
                     n * 1e-6) < 1e-9);
    assert_value(m, "elmod_tokens_total", 2 * n);
    assert_value(m, "elmod_inflight_requests", 0);
}

static void running_out_of_memory_is_reported(void **state)
{
    fail_alloc_after(0);
    struct metrics *none = NULL;
    struct elmo_error err = {0};
    int r = metrics_new(&none, &options, &err);
    assert_int_equal(fail_alloc_stop(), 1);
    assert_int_equal(r, ELMO_E_NOMEM);
    assert_int_equal(err.status, r);
    assert_null(none);

    AUTO(buffer_done) struct buffer b = {0};
    fail_alloc_after(2);
    metrics_write(*state, &(struct metrics_now){0}, &b);
    assert_true(fail_alloc_stop() > 0);
    assert_true(b.failed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_series_is_there_before_anything_happened),
        TEST(every_status_and_reason_of_a_problem_has_a_series),
        TEST(requests_count_by_path_and_code),
        TEST(buckets_are_cumulative_and_take_their_bound),
        TEST(absurd_durations_do_no_harm),
        TEST(batches_count_requests_and_tokens),
        TEST(gauges_show_the_present),
        TEST(the_model_is_the_one_that_serves),
        TEST(reloads_count_by_their_result),
        TEST(process_metrics_come_from_proc),
        TEST(each_family_has_help_and_type_and_then_its_samples),
        TEST(promtool_finds_nothing_to_say),
        TEST(no_update_of_any_thread_is_lost),
        TEST(running_out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

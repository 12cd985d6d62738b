#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "ops/log.h"
#include "support/fail_alloc.h"

struct fixture {
    FILE *file;
    char line[2 * LOG_LINE_MAX];
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture.file = tmpfile();
    *state = &fixture;
    return fixture.file ? 0 : -1;
}

static int tear_down(void **state)
{
    log_init(STDERR_FILENO, LOG_FORMAT_JSON, LOG_INFO);
    fclose(((struct fixture *)*state)->file);
    return 0;
}

/* The next line of what was logged, without its newline; NULL at the end. */
static const char *next_line(struct fixture *f)
{
    if (!fgets(f->line, sizeof f->line, f->file))
        return NULL;
    size_t n = strlen(f->line);
    assert_int_equal(f->line[n - 1], '\n');
    f->line[n - 1] = '\0';
    return f->line;
}

static json_t *next_json(struct fixture *f)
{
    const char *line = next_line(f);
    if (!line)
        fail_msg("no line was logged");
    json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    if (!json)
        fail_msg("not JSON: %s", line);
    return json;
}

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void an_event_is_one_json_line(void **state)
{
    struct fixture *f = *state;
    log_init(fileno(f->file), LOG_FORMAT_JSON, LOG_INFO);
    log_event(LOG_INFO, "started",
              LOG_FIELDS(LOG_TEXT("listen", "127.0.0.1:8080"),
                         LOG_UINT("threads", UINT64_C(1) << 40), LOG_MS("took_ms", 1250000),
                         LOG_BOOL("built_in", true), LOG_TEXT("none", NULL)));
    log_event(LOG_ERROR, "bare", NULL);
    rewind(f->file);

    const char *line = next_line(f);
    const char *after_ts = strstr(line, "\",\"level\"");
    assert_non_null(after_ts);
    assert_string_equal(after_ts, "\",\"level\":\"info\",\"event\":\"started\","
                                  "\"listen\":\"127.0.0.1:8080\",\"threads\":1099511627776,"
                                  "\"took_ms\":1.250000,\"built_in\":true,\"none\":null}");
    json_t *json = next_json(f);
    assert_int_equal(json_object_size(json), 3);
    assert_string_equal(text_of(json, "level"), "error");
    assert_string_equal(text_of(json, "event"), "bare");
    json_decref(json);
    assert_null(next_line(f));
}

static void text_format_is_one_line_too(void **state)
{
    struct fixture *f = *state;
    log_init(fileno(f->file), LOG_FORMAT_TEXT, LOG_DEBUG);
    log_event(LOG_DEBUG, "probe", LOG_FIELDS(LOG_TEXT("a", "x\ny \"z\""), LOG_UINT("n", 7)));
    rewind(f->file);
    const char *line = next_line(f);
    assert_non_null(line);
    assert_string_equal(line + strlen("2026-01-31T12:00:00.123Z"),
                        " debug probe a=\"x\\ny \\\"z\\\"\" n=7");
    assert_null(next_line(f));
}

static void time_is_rfc_3339_utc_with_milliseconds(void **state)
{
    struct fixture *f = *state;
    log_init(fileno(f->file), LOG_FORMAT_JSON, LOG_INFO);
    log_event(LOG_INFO, "now", NULL);
    rewind(f->file);
    json_t *json = next_json(f);
    const char *ts = text_of(json, "ts");
    static const char pattern[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    assert_int_equal(strlen(ts), strlen(pattern));
    for (size_t i = 0; pattern[i]; i++)
        assert_true(pattern[i] == 'd' ? ts[i] >= '0' && ts[i] <= '9' : ts[i] == pattern[i]);
    assert_true(strncmp(ts, "2020", 4) > 0);
    json_decref(json);
}

static void levels_above_the_maximum_are_left_out(void **state)
{
    struct fixture *f = *state;
    for (enum log_level max = LOG_ERROR; max <= LOG_DEBUG; max++) {
        rewind(f->file);
        assert_int_equal(ftruncate(fileno(f->file), 0), 0);
        log_init(fileno(f->file), LOG_FORMAT_JSON, max);
        for (enum log_level level = LOG_ERROR; level <= LOG_DEBUG; level++) {
            assert_int_equal(log_enabled(level), level <= max);
            log_event(level, "event", NULL);
        }
        rewind(f->file);
        for (enum log_level level = LOG_ERROR; level <= max; level++)
            assert_non_null(next_line(f));
        assert_null(next_line(f));
    }
}

static void hostile_text_cannot_forge_a_line(void **state)
{
    struct fixture *f = *state;
    log_init(fileno(f->file), LOG_FORMAT_JSON, LOG_INFO);
    static const char hostile[] = "x\"}\n{\"level\":\"error\",\"event\":\"forged\"}\r\x1b[2J\xff";
    log_event(LOG_INFO, "request", LOG_FIELDS(LOG_TEXT("id", hostile)));
    rewind(f->file);
    json_t *json = next_json(f);
    assert_string_equal(text_of(json, "event"), "request");
    assert_memory_equal(text_of(json, "id"), hostile, sizeof hostile - 2); /* all but \xff */
    json_decref(json);
    assert_null(next_line(f));
}

static void assert_fields_were_lost(struct fixture *f)
{
    rewind(f->file);
    json_t *json = next_json(f);
    assert_int_equal(json_object_size(json), 4);
    assert_string_equal(text_of(json, "level"), "warn");
    assert_string_equal(text_of(json, "event"), "big");
    assert_true(json_is_true(json_object_get(json, "fields_lost")));
    json_decref(json);
    assert_null(next_line(f));
}

static void a_line_too_long_keeps_its_event(void **state)
{
    struct fixture *f = *state;
    char text[LOG_LINE_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_init(fileno(f->file), LOG_FORMAT_JSON, LOG_INFO);
    log_event(LOG_WARN, "big", LOG_FIELDS(LOG_TEXT("text", text)));
    assert_fields_were_lost(f);
}

static void a_line_takes_no_memory(void **state)
{
    struct fixture *f = *state;
    log_init(fileno(f->file), LOG_FORMAT_JSON, LOG_INFO);
    fail_alloc_after(0);
    log_event(LOG_WARN, "big", LOG_FIELDS(LOG_UINT("n", 1), LOG_MS("took_ms", 5)));
    assert_int_equal(fail_alloc_stop(), 0);
    rewind(f->file);
    const char *line = next_line(f);
    assert_non_null(line);
    assert_non_null(strstr(line, "\"n\":1,\"took_ms\":0.000005}"));
}

static void a_dead_sink_harms_nobody(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    log_init(fd, LOG_FORMAT_JSON, LOG_INFO);
    errno = 12345;
    log_event(LOG_INFO, "lost", NULL);
    assert_int_equal(errno, 12345);
    close(fd);
    log_event(LOG_INFO, "lost", NULL); /* a closed descriptor */
    assert_int_equal(errno, 12345);
}

#define N_THREADS 4
#define N_EVENTS  500

static void *log_many(void *arg)
{
    char text[301];
    memset(text, *(const char *)arg, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (uint64_t i = 0; i < N_EVENTS; i++)
        log_event(LOG_INFO, "many", LOG_FIELDS(LOG_TEXT("text", text), LOG_UINT("i", i)));
    return NULL;
}

static void lines_of_threads_never_interleave(void **state)
{
    struct fixture *f = *state;
    int fd = fileno(f->file);
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_APPEND), 0);
    log_init(fd, LOG_FORMAT_JSON, LOG_INFO);
    pthread_t threads[N_THREADS];
    for (size_t t = 0; t < N_THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, log_many, &"abcd"[t]), 0);
    for (size_t t = 0; t < N_THREADS; t++)
        pthread_join(threads[t], NULL);
    rewind(f->file);
    for (size_t i = 0; i < N_THREADS * N_EVENTS; i++) {
        json_t *json = next_json(f);
        const char *text = text_of(json, "text");
        assert_int_equal(strlen(text), 300);
        assert_int_equal(strspn(text, (char[]){text[0], '\0'}), 300);
        json_decref(json);
    }
    assert_null(next_line(f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_event_is_one_json_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_format_is_one_line_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_is_rfc_3339_utc_with_milliseconds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_above_the_maximum_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_text_cannot_forge_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_too_long_keeps_its_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_takes_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_sink_harms_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_of_threads_never_interleave, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

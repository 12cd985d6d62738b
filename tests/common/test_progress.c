/* The progress line, on a terminal (a pseudo-terminal here) and elsewhere. The tests say what time
 * it is. */
#define _GNU_SOURCE /* posix_openpt */
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/progress.h"

static struct progress_state at_step(uint64_t step)
{
    return (struct progress_state){.phase = "train",
                                   .step = step,
                                   .epoch = 1,
                                   .epoch_share = 0.25,
                                   .loss = 4.5,
                                   .n_tokens = 2000 * step,
                                   .done_share = (double)step / 1000};
}

static void durations_are_read_by_people(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0:00:00"},      {59.6, "0:01:00"},       {3723, "1:02:03"},
                 {86399, "23:59:59"}, {86400, "1d 00:00"},     {273900, "3d 04:05"},
                 {(double)NAN, "?"},  {(double)INFINITY, "?"}, {-1, "?"},
                 {1e300, "?"}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        char buf[32];
        assert_string_equal(progress_duration(buf, sizeof buf, cases[k].seconds), cases[k].text);
    }
}

static void elsewhere_a_line_comes_now_and_then(void **state)
{
    (void)state;
    char *text;
    size_t n_bytes;
    struct progress p;
    FILE *out = open_memstream(&text, &n_bytes);
    progress_init(&p, out, 30);
    for (uint64_t step = 0; step <= 100; step++) { /* a second each, 2000 tokens/s */
        const struct progress_state s = at_step(step);
        progress_update(&p, 500 + (double)step, &s);
    }
    const struct progress_state last = at_step(101);
    progress_clear(&p); /* nothing to take away */
    progress_end(&p, 601, &last);
    fclose(out);
    assert_string_equal(
        text, "train  step 0  epoch 1 25.0 %  loss 4.5000  left ?\n"
              "train  step 30  epoch 1 25.0 %  loss 4.5000  2000 tokens/s  left 0:16:10\n"
              "train  step 60  epoch 1 25.0 %  loss 4.5000  2000 tokens/s  left 0:15:40\n"
              "train  step 90  epoch 1 25.0 %  loss 4.5000  2000 tokens/s  left 0:15:10\n"
              "train  step 101  epoch 1 25.0 %  loss 4.5000  2000 tokens/s  left 0:14:59\n");
    free(text);
}

static void what_is_not_known_is_left_out(void **state)
{
    (void)state;
    char *text;
    size_t n_bytes;
    struct progress p;
    struct progress_state s = at_step(3);
    FILE *out = open_memstream(&text, &n_bytes);
    s.loss = s.done_share = (double)NAN;
    progress_init(&p, out, 30);
    progress_update(&p, 0, &s);
    s.epoch_share = (double)NAN;
    s.phase = "evaluate";
    progress_end(&p, 1, &s);
    fclose(out);
    assert_string_equal(text, "train  step 3  epoch 1 25.0 %\nevaluate\n");
    free(text);
}

static void a_resumed_run_counts_its_own_time(void **state)
{
    (void)state;
    char *text;
    size_t n_bytes;
    struct progress p;
    struct progress_state s = at_step(900);
    FILE *out = open_memstream(&text, &n_bytes);
    progress_init(&p, out, 10);
    progress_update(&p, 7, &s);
    s = at_step(910);
    progress_update(&p, 27, &s); /* 90 steps of 2 s are left */
    fclose(out);
    assert_non_null(strstr(text, "1000 tokens/s  left 0:03:00\n"));
    free(text);
}

/* Features, then fine-tuning: the second counts from its own beginning. */
static void a_second_job_counts_its_own_time(void **state)
{
    (void)state;
    char *text;
    size_t n_bytes;
    struct progress p;
    FILE *out = open_memstream(&text, &n_bytes);
    progress_init(&p, out, 30);
    for (uint64_t step = 0; step <= 1000; step += 500) {
        const struct progress_state s = at_step(step);
        progress_update(&p, (double)step, &s);
    }
    for (uint64_t step = 0; step <= 60; step += 30) {
        struct progress_state s = at_step(step);
        s.phase = "tune";
        progress_update(&p, 1001 + 2 * (double)step, &s);
    }
    fclose(out);
    assert_string_equal(
        strstr(text, "tune"),
        "tune  step 0  epoch 1 25.0 %  loss 4.5000  left ?\n"
        "tune  step 30  epoch 1 25.0 %  loss 4.5000  1000 tokens/s  left 0:32:20\n"
        "tune  step 60  epoch 1 25.0 %  loss 4.5000  1000 tokens/s  left 0:31:20\n");
    free(text);
}

static void the_speed_follows_changes_smoothly(void **state)
{
    (void)state;
    struct progress p;
    struct progress_state s = at_step(0);
    FILE *out = fopen("/dev/null", "w");
    progress_init(&p, out, 1e9);
    double now_s = 0, before;
    for (int k = 0; k < 60; k++, s.n_tokens += 1000)
        progress_update(&p, now_s++, &s);
    assert_true(fabs(p.tokens_per_s - 1000) < 1e-6);
    for (int k = 0; k < 60; k++, s.n_tokens += 3000) {
        before = p.tokens_per_s;
        progress_update(&p, now_s++, &s);
        assert_true(p.tokens_per_s >= before && p.tokens_per_s < before + 100);
    }
    assert_true(p.tokens_per_s > 2500);
    fclose(out);
}

static void quiet_says_nothing(void **state)
{
    (void)state;
    struct progress p;
    const struct progress_state s = at_step(1);
    progress_init(&p, NULL, 30);
    progress_update(&p, 0, &s);
    progress_clear(&p);
    progress_end(&p, 1, &s);
    assert_false(p.started);
}

/* ---- A terminal ---- */

struct terminal {
    int master;
    FILE *out;
};

static void terminal_open(struct terminal *t, unsigned short columns)
{
    const struct winsize size = {.ws_row = 24, .ws_col = columns};
    t->master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(t->master >= 0);
    assert_int_equal(grantpt(t->master), 0);
    assert_int_equal(unlockpt(t->master), 0);
    int slave = open(ptsname(t->master), O_RDWR | O_NOCTTY); /* never the test's own terminal */
    assert_true(slave >= 0);
    t->out = fdopen(slave, "w");
    assert_non_null(t->out);
    assert_int_equal(ioctl(fileno(t->out), TIOCSWINSZ, &size), 0);
}

/* What was written since the last time, in buf. A bell behind it says when all of it is through. */
static const char *terminal_text(const struct terminal *t, char *buf, size_t buf_bytes)
{
    size_t n_bytes = 0;
    putc('\a', t->out);
    fflush(t->out);
    while (!n_bytes || buf[n_bytes - 1] != '\a') {
        struct pollfd ready = {.fd = t->master, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, 60000), 1);
        ssize_t n = read(t->master, buf + n_bytes, buf_bytes - n_bytes);
        assert_true(n > 0);
        n_bytes += (size_t)n;
    }
    buf[n_bytes - 1] = '\0';
    return buf;
}

static void terminal_close(struct terminal *t)
{
    fclose(t->out);
    close(t->master);
}

static void on_a_terminal_the_line_is_rewritten(void **state)
{
    (void)state;
    struct terminal t;
    struct progress p;
    char buf[4096];
    terminal_open(&t, 120);
    progress_init(&p, t.out, 30);
    struct progress_state s = at_step(500);
    progress_update(&p, 10, &s);
    assert_string_equal(terminal_text(&t, buf, sizeof buf),
                        "\rtrain  [##########..........]  step 500  epoch 1 25.0 %  loss 4.5000  "
                        "left ?\033[K");
    s = at_step(501);
    progress_update(&p, 10.1, &s);
    assert_string_equal(terminal_text(&t, buf, sizeof buf), ""); /* too soon */
    progress_update(&p, 10.3, &s);
    assert_non_null(strstr(terminal_text(&t, buf, sizeof buf), "\rtrain  [##########...."));
    progress_clear(&p);
    assert_string_equal(terminal_text(&t, buf, sizeof buf), "\r\033[K");
    progress_clear(&p);
    assert_string_equal(terminal_text(&t, buf, sizeof buf), "");
    progress_end(&p, 10.4, &s);
    assert_non_null(strstr(terminal_text(&t, buf, sizeof buf), "\033[K\r\n"));
    terminal_close(&t);
}

static void the_line_fits_the_terminal(void **state)
{
    (void)state;
    for (unsigned short columns = 10; columns < 100; columns += 7) {
        struct terminal t;
        struct progress p;
        char buf[4096];
        terminal_open(&t, columns);
        progress_init(&p, t.out, 30);
        struct progress_state s = at_step(500);
        progress_update(&p, 10, &s);
        size_t n_columns = strlen(terminal_text(&t, buf, sizeof buf)) - strlen("\r\033[K");
        assert_true(n_columns < columns);
        assert_true(n_columns == columns - 1u || n_columns > 70);
        terminal_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_by_people),
        cmocka_unit_test(elsewhere_a_line_comes_now_and_then),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(a_resumed_run_counts_its_own_time),
        cmocka_unit_test(a_second_job_counts_its_own_time),
        cmocka_unit_test(the_speed_follows_changes_smoothly),
        cmocka_unit_test(quiet_says_nothing),
        cmocka_unit_test(on_a_terminal_the_line_is_rewritten),
        cmocka_unit_test(the_line_fits_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

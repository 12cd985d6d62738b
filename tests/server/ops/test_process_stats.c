#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "defs.h"
#include "ops/process_stats.h"
#include "support/fake_root.h"

static void numbers_come_from_the_right_fields(void **state)
{
    (void)state;
    const char *root = fake_root_new();
    fake_root_write(
        root, "/proc/self/stat",
        "77 (evil) 1 2) name) S 1 2 3 4 5 6 7 8 9 10 1500 250 13 14 15 16 17 18 30000 20 "
        "1234 22 23\n");
    fake_root_write(root, "/proc/stat", "cpu 1 2 3\nintr 5 0 0\nctxt 1\nbtime 1700000000\nx 1\n");
    static const char *const fds[] = {"/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2",
                                      "/proc/self/fd/3", "/proc/self/fd/4"};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fake_root_write(root, fds[i], "");
    struct process_stats stats = process_stats_read(root);
    double ticks = (double)sysconf(_SC_CLK_TCK);
    assert_true(stats.cpu_seconds == 1750 / ticks);
    assert_true(stats.start_time_seconds == 1700000000 + 30000 / ticks);
    assert_int_equal(stats.resident_bytes, 1234 * sysconf(_SC_PAGESIZE));
    assert_int_equal(stats.open_fds, 4); /* one of the five is the listing's own */
    fake_root_remove(root);
}

static void what_is_not_there_is_zero(void **state)
{
    (void)state;
    static const char *const bad_stats[] = {"", "77", "77 (name", "77 (name) S 1 2 3",
                                            "77 (name) S 1 2 3 4 5 6 7 8 9 10 x 250 13 14"};
    for (size_t i = 0; i <= ARRAY_LEN(bad_stats); i++) {
        const char *root = fake_root_new();
        if (i > 0)
            fake_root_write(root, "/proc/self/stat", bad_stats[i - 1]);
        struct process_stats stats = process_stats_read(root);
        assert_true(stats.cpu_seconds == 0);
        assert_true(stats.start_time_seconds == 0);
        assert_int_equal(stats.resident_bytes, 0);
        assert_int_equal(stats.open_fds, 0);
        fake_root_remove(root);
    }
}

static void this_process_is_described(void **state)
{
    (void)state;
    struct process_stats before = process_stats_read("");
    assert_true(before.resident_bytes > 100000);
    assert_true(before.start_time_seconds > 1.5e9);
    assert_true(before.start_time_seconds <= (double)time(NULL) + 2);
    assert_true(before.open_fds >= 3);

    int fd = open("/dev/null", O_RDONLY);
    assert_true(fd >= 0);
    while (clock() < CLOCKS_PER_SEC / 20) /* some ticks of CPU time */
        ;
    struct process_stats after = process_stats_read("");
    assert_int_equal(after.open_fds, before.open_fds + 1);
    assert_true(after.cpu_seconds > 0);
    assert_true(after.start_time_seconds == before.start_time_seconds);
    close(fd);
}

static void the_limit_is_the_soft_one(void **state)
{
    (void)state;
    struct rlimit old, lower;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    lower = old;
    lower.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lower), 0);
    assert_int_equal(process_stats_read("").max_fds, 100);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_from_the_right_fields),
        cmocka_unit_test(what_is_not_there_is_zero),
        cmocka_unit_test(this_process_is_described),
        cmocka_unit_test(the_limit_is_the_soft_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#define _GNU_SOURCE /* sched_setaffinity */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "machine/cpus.h"
#include "support/fake_root.h"

#define N_FILES 5

struct fake_file {
    const char *path, *content;
};

struct cgroup_case {
    const char *name;
    struct fake_file files[N_FILES];
    size_t quota;
};

#define SELF "/proc/self/cgroup"
#define SYS  "/sys/fs/cgroup"

static const struct cgroup_case cases[] = {
    {"nothing there", {{0}}, 0},
    {"no quota", {{SELF, "0::/\n"}, {SYS "/cpu.max", "max 100000\n"}}, 0},
    {"container root", {{SELF, "0::/\n"}, {SYS "/cpu.max", "200000 100000\n"}}, 2},
    {"rounds up", {{SELF, "0::/\n"}, {SYS "/cpu.max", "150001 100000\n"}}, 2},
    {"less than one", {{SELF, "0::/\n"}, {SYS "/cpu.max", "5000 100000\n"}}, 1},
    {"own is smallest",
     {{SELF, "0::/a/b\n"},
      {SYS "/a/b/cpu.max", "300000 100000\n"},
      {SYS "/a/cpu.max", "max 100000\n"}},
     3},
    {"parent is smallest",
     {{SELF, "0::/a/b\n"},
      {SYS "/a/b/cpu.max", "800000 100000\n"},
      {SYS "/a/cpu.max", "400000 100000\n"},
      {SYS "/cpu.max", "900000 100000\n"}},
     4},
    {"host path in a container",
     {{SELF, "0::/docker/0123\n"}, {SYS "/cpu.max", "600000 100000\n"}},
     6},
    {"path outside of the namespace",
     {{SELF, "0::/../other\n"}, {SYS "/cpu.max", "600000 100000\n"}},
     6},
    {"version 1",
     {{SELF, "5:memory:/m\n4:cpu,cpuacct:/a\n1:name=systemd:/\n"},
      {SYS "/cpu/a/cpu.cfs_quota_us", "250000\n"},
      {SYS "/cpu/a/cpu.cfs_period_us", "100000\n"}},
     3},
    {"version 1, host path in a container",
     {{SELF, "4:cpuacct,cpu:/docker/0123\n"},
      {SYS "/cpu/cpu.cfs_quota_us", "50000\n"},
      {SYS "/cpu/cpu.cfs_period_us", "25000\n"}},
     2},
    {"version 1 without quota",
     {{SELF, "4:cpu:/\n"},
      {SYS "/cpu/cpu.cfs_quota_us", "-1\n"},
      {SYS "/cpu/cpu.cfs_period_us", "100000\n"}},
     0},
    {"version 1 with no period",
     {{SELF, "4:cpu:/\n"}, {SYS "/cpu/cpu.cfs_quota_us", "100000\n"}},
     0},
    {"cpuset is not cpu",
     {{SELF, "4:cpuset:/\n"},
      {SYS "/cpu/cpu.cfs_quota_us", "100000\n"},
      {SYS "/cpu/cpu.cfs_period_us", "100000\n"}},
     0},
    {"both versions: the smaller",
     {{SELF, "4:cpu:/\n0::/\n"},
      {SYS "/cpu/cpu.cfs_quota_us", "700000\n"},
      {SYS "/cpu/cpu.cfs_period_us", "100000\n"},
      {SYS "/cpu.max", "500000 100000\n"}},
     5},
};

static void quota_is_the_smallest_on_the_way_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *root = fake_root_new();
        for (size_t f = 0; f < N_FILES && cases[i].files[f].path; f++)
            fake_root_write(root, cases[i].files[f].path, cases[i].files[f].content);
        size_t quota = cpus_quota(root);
        if (quota != cases[i].quota)
            fail_msg("%s: %zu, not %zu", cases[i].name, quota, cases[i].quota);
        fake_root_remove(root);
    }
}

static void nonsense_is_no_quota(void **state)
{
    (void)state;
    static const char *const cpu_max[] = {
        "",         "\n",        "x",    "max", "100000",     "100000 0",
        "0 100000", "-5 100000", "5 -1", " ",   "100000 max", "99999999999999999999999 1",
    };
    static const char *const self[] = {"", "\n", "0", "0:", "0::", ":::::", "0::/", "cpu:cpu:cpu"};
    for (size_t i = 0; i < ARRAY_LEN(cpu_max); i++) {
        const char *root = fake_root_new();
        fake_root_write(root, SELF, "0::/\n");
        fake_root_write(root, SYS "/cpu.max", cpu_max[i]);
        if (cpus_quota(root) != 0)
            fail_msg("'%s' is a quota of %zu", cpu_max[i], cpus_quota(root));
        fake_root_remove(root);
    }
    for (size_t i = 0; i < ARRAY_LEN(self); i++) {
        const char *root = fake_root_new();
        fake_root_write(root, SELF, self[i]);
        assert_int_equal(cpus_quota(root), 0);
        fake_root_remove(root);
    }
}

static void a_path_too_long_is_no_quota(void **state)
{
    (void)state;
    char *line = malloc(10000);
    assert_non_null(line);
    memset(line, 'a', 10000);
    memcpy(line, "0::/", 4);
    line[9999] = '\0';
    const char *root = fake_root_new();
    fake_root_write(root, SELF, line);
    assert_int_equal(cpus_quota(root), 0);
    fake_root_remove(root);
    free(line);
}

static void available_is_the_smaller_of_affinity_and_quota(void **state)
{
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    size_t n_all = (size_t)CPU_COUNT(&all);

    const char *root = fake_root_new();
    assert_int_equal(cpus_available(root), n_all);
    fake_root_write(root, SELF, "0::/\n");
    fake_root_write(root, SYS "/cpu.max", "10000 100000\n");
    assert_int_equal(cpus_available(root), 1);
    fake_root_write(root, SYS "/cpu.max", "10000000000 100000\n");
    assert_int_equal(cpus_available(root), n_all);

    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(cpus_available(root), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    fake_root_remove(root);
}

static void this_machine_has_at_least_one(void **state)
{
    (void)state;
    assert_in_range(cpus_available(""), 1, 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quota_is_the_smallest_on_the_way_up),
        cmocka_unit_test(nonsense_is_no_quota),
        cmocka_unit_test(a_path_too_long_is_no_quota),
        cmocka_unit_test(available_is_the_smaller_of_affinity_and_quota),
        cmocka_unit_test(this_machine_has_at_least_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

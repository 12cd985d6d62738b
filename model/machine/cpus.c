#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT_S */
#include "cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rooted_file.h"

/* The decimal number at *text, which moves past it; false when there is none or it is too large.
 */
static bool parse_number(char **text, uint64_t *ret_value)
{
    *text += strspn(*text, " ");
    if (**text < '0' || **text > '9') /* strtoull would take a sign */
        return false;
    *ret_value = strtoull(*text, text, 10);
    return *ret_value < ULLONG_MAX;
}

/* Whole CPUs that a quota of time per period is worth; 0: none ("max", -1 or nonsense). */
static size_t cpus_of(char *quota_text, char *period_text)
{
    uint64_t quota, period;
    if (!parse_number(&quota_text, &quota) || !parse_number(&period_text, &period))
        return 0;
    if (quota == 0 || period == 0)
        return 0;
    return (size_t)(quota / period + (quota % period != 0));
}

static bool read_line(const char *root, const char *cgroup, const char *name, char line[static 128])
{
    AUTO(rooted_file_close)
    FILE *file = rooted_file_open(root, "/sys/fs/cgroup%s/%s", cgroup, name);
    return file && fgets(line, 128, file);
}

/* Version 2: "QUOTA PERIOD" or "max PERIOD". */
static size_t quota_v2(const char *root, const char *cgroup)
{
    char line[128];
    if (!read_line(root, cgroup, "cpu.max", line))
        return 0;
    return cpus_of(line, line + strcspn(line, " "));
}

/* Version 1: two files, -1 for none. */
static size_t quota_v1(const char *root, const char *cgroup)
{
    char quota[128], period[128];
    if (!read_line(root, cgroup, "cpu.cfs_quota_us", quota) ||
        !read_line(root, cgroup, "cpu.cfs_period_us", period))
        return 0;
    return cpus_of(quota, period);
}

static size_t smaller_limit(size_t a, size_t b) /* 0: none */
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* The smallest quota from `cgroup` ("/a/b" below the folder `mount`) up to the root. In a container
 * the path may be the host's, which is not there, and only the root is the container's own. */
static size_t quota_upwards(const char *root, const char *mount, const char *cgroup,
                            size_t (*quota_of)(const char *root, const char *cgroup))
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s%s", mount, cgroup);
    if (n < 0 || (size_t)n >= sizeof path)
        return 0;
    size_t smallest = 0;
    for (;;) {
        smallest = smaller_limit(smallest, quota_of(root, path));
        char *slash = strrchr(path, '/');
        if (!slash || slash < path + strlen(mount))
            return smallest;
        *slash = '\0';
    }
}

/* Whether the comma-separated list has `name`. */
static bool has_controller(const char *list, const char *name)
{
    size_t n_name = strlen(name);
    for (const char *item = list; *item; item += strspn(item, ",")) {
        size_t n_item = strcspn(item, ",");
        if (n_item == n_name && memcmp(item, name, n_name) == 0)
            return true;
        item += n_item;
    }
    return false;
}

/* Of one line of /proc/self/cgroup, "HIERARCHY:CONTROLLERS:PATH"; version 2 has no controllers. */
static size_t quota_of_line(const char *root, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *cgroup = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!cgroup)
        return 0;
    *controllers++ = '\0';
    *cgroup++ = '\0';
    if (*controllers == '\0')
        return quota_upwards(root, "", cgroup, quota_v2);
    if (has_controller(controllers, "cpu"))
        return quota_upwards(root, "/cpu", cgroup, quota_v1);
    return 0;
}

size_t cpus_quota(const char *root)
{
    AUTO(rooted_file_close) FILE *file = rooted_file_open(root, "/proc/self/cgroup");
    AUTO(mem_free) char *line = NULL;
    size_t capacity = 0, smallest = 0;
    while (file && getline(&line, &capacity, file) > 0)
        smallest = smaller_limit(smallest, quota_of_line(root, line));
    return smallest;
}

static size_t affinity_count(void)
{
    cpu_set_t sets[8]; /* 8192 CPUs: one set is too small for the largest machines */
    if (sched_getaffinity(0, sizeof sets, sets))
        return 1;
    return (size_t)CPU_COUNT_S(sizeof sets, sets);
}

size_t cpus_available(const char *root)
{
    return smaller_limit(affinity_count(), cpus_quota(root));
}

#include "process_stats.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "machine/rooted_file.h"

/* Boot time in seconds since the epoch, from the line "btime N"; 0: not found. */
static uint64_t read_boot_time(const char *root)
{
    AUTO(rooted_file_close) FILE *file = rooted_file_open(root, "/proc/stat");
    AUTO(mem_free) char *line = NULL;
    size_t capacity = 0;
    uint64_t seconds = 0;
    while (file && getline(&line, &capacity, file) > 0)
        if (sscanf(line, "btime %" SCNu64, &seconds) == 1)
            break;
    return seconds;
}

/* proc(5): fields 14 utime, 15 stime, 22 starttime (all in ticks) and 24 rss (in pages). Field 2 is
 * the name of the program in parentheses and may contain any character, so fields are counted from
 * the last parenthesis. */
static void read_stat(const char *root, struct process_stats *stats)
{
    char line[2048];
    AUTO(rooted_file_close) FILE *file = rooted_file_open(root, "/proc/self/stat");
    if (!file || !fgets(line, sizeof line, file))
        return;
    const char *after_name = strrchr(line, ')');
    uint64_t user, system, start, resident;
    if (!after_name || sscanf(after_name,
                              ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
                              " %*s %*s %*s %*s %*s %*s %" SCNu64 " %*s %" SCNu64,
                              &user, &system, &start, &resident) != 4)
        return;

    double ticks_per_second = (double)sysconf(_SC_CLK_TCK);
    stats->cpu_seconds = (double)(user + system) / ticks_per_second;
    stats->resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t boot_time = read_boot_time(root);
    if (boot_time > 0)
        stats->start_time_seconds = (double)boot_time + (double)start / ticks_per_second;
}

static uint64_t count_open_fds(const char *root)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/self/fd", root);
    DIR *folder = opendir(path);
    if (!folder)
        return 0;
    uint64_t n_entries = 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        n_entries += entry->d_name[0] != '.';
    closedir(folder);
    return n_entries > 0 ? n_entries - 1 : 0; /* without the descriptor of the open directory */
}

struct process_stats process_stats_read(const char *root)
{
    struct process_stats stats = {.open_fds = count_open_fds(root)};
    read_stat(root, &stats);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        stats.max_fds = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    return stats;
}

#pragma once
/* What /proc/self knows of this process, for the standard process_* metrics. */
#include <stddef.h>
#include <stdint.h>

struct process_stats {  /* what could not be read is 0 */
    double cpu_seconds; /* user and system */
    uint64_t resident_bytes;
    uint64_t open_fds;
    uint64_t max_fds;          /* soft limit; UINT64_MAX: unlimited */
    double start_time_seconds; /* since the epoch */
};

/* `root` stands for "/": "" on a real machine, the folder of a fake tree in tests. Any thread. */
struct process_stats process_stats_read(const char *root);

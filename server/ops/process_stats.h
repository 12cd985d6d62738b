#pragma once
/* Values of /proc/self for the standard process_* metrics. */
#include <stddef.h>
#include <stdint.h>

struct process_stats {  /* values that cannot be read are 0 */
    double cpu_seconds; /* user and system */
    uint64_t resident_bytes;
    uint64_t open_fds;
    uint64_t max_fds;          /* soft limit; UINT64_MAX: unlimited */
    double start_time_seconds; /* since the epoch */
};

/* `root` is the parent of /proc: "", or a folder with test files. Any thread. */
struct process_stats process_stats_read(const char *root);

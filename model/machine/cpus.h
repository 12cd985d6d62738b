#pragma once
/* How many CPUs this process may really use: its affinity mask, and the CPU quota of its cgroup
 * (v2 cpu.max or v1 cfs_quota) and of every cgroup above it, rounded up. */
#include <stddef.h>

/* The smallest quota on the way up from this process's cgroup, in whole CPUs; 0: none is set.
 * `root` stands for "/": "" on a real machine, the folder of a fake tree in tests. */
size_t cpus_quota(const char *root);

/* min(affinity, quota), at least 1. */
size_t cpus_available(const char *root);

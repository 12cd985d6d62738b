#pragma once
/* Measures OpenBLAS on this machine, with which benchmarks are compared. */

/* Multiply-adds per second of large square sgemms, one in each of n_threads threads (1..64) at the
 * same time; the median of a few rounds. OpenBLAS must be set to one thread (kernels_init). Aborts
 * if memory or threads are short. */
double sgemm_rate(unsigned n_threads);

double seconds_now(void);                    /* of a monotonic clock */
int ascending(const void *a, const void *b); /* of doubles, for qsort */

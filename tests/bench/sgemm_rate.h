#pragma once
/* What this machine's matrix product gives, as the bound that benchmarks are held to. */

/* Multiply-adds per second of large square sgemms, one in each of n_threads threads (1..64) at
 * once; the median of a few rounds. OpenBLAS must be set to one thread (kernels_init). Aborts
 * where memory or threads are short. */
double sgemm_rate(unsigned n_threads);

double seconds_now(void);                    /* of a clock that only goes on */
int ascending(const void *a, const void *b); /* of doubles, for qsort */

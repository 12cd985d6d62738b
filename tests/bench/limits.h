#pragma once
/* Measures the limits of this machine, with which benchmarks are compared. All threads work at the
 * same time. The time is from the start of the first to the end of the last one. Results are
 * medians of five. Threads are not pinned, like those of elmod: if CPUs are hyper-threads, the
 * kernel places them best. Aborts if memory or threads are short, or if n_threads is not 1..64. */
#include "kernels/lane_tile.h"

/* Multiply-adds in registers per second, of all threads together: float32, pairs of bfloat16
 * (vdpbf16ps), or integer sums of four products of bytes (vpdpbusd). 0: this processor or this
 * build has no such instruction. */
double limits_peak(enum elmo_dtype dtype, unsigned n_threads);

/* The same for AMX tiles of bfloat16, which the trainer uses. 0: there is no AMX. */
double limits_amx_peak(unsigned n_threads);

/* Bytes per second that all threads together read. Each reads a buffer of its own, of about
 * `bytes_per_thread`, again and again. The first pass is not timed, so that the caches are filled.
 */
double limits_read_bandwidth(size_t bytes_per_thread, unsigned n_threads);

/* The name of the instruction set of these loops, as in packed.h; static. */
const char *limits_isa(void);

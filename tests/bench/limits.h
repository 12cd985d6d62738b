#pragma once
/* What this machine can do at most, measured: the bounds that benchmarks are held to. All threads
 * work at once, in the time from the first one's start to the last one's end; medians of five.
 * Threads are not pinned, as ours are not: where CPUs are halves of cores the kernel knows best.
 * Aborts where memory or threads are short, or n_threads is not 1..64. */
#include "kernels/lane_tile.h"

/* Multiply-adds of registers per second, of all threads together: float32 sums of products, of
 * pairs of bfloat16 (vdpbf16ps), integer sums of four products of bytes (vpdpbusd). 0: this
 * processor has no such instruction, or this build does not know it. */
double limits_peak(enum elmo_dtype dtype, unsigned n_threads);

/* The same of AMX's tiles of bfloat16, which the trainer uses; 0: there is no AMX. */
double limits_amx_peak(unsigned n_threads);

/* Bytes per second that all threads together read, each from a buffer of its own of about
 * `bytes_per_thread`, again and again. Once around is untimed, so that what fits a cache is there.
 */
double limits_read_bandwidth(size_t bytes_per_thread, unsigned n_threads);

/* The instruction set of these loops, named as in packed.h; static. */
const char *limits_isa(void);

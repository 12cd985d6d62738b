#pragma once
/* How the threads that compute are divided: workers, each with a batch of its own, and the threads
 * that compute a batch together. Batches side by side need no waiting for one another, but each
 * reads its weights; where the processor's cache does not hold as many, they wait for memory. */
#include <stddef.h>

struct thread_plan {
    size_t n_workers; /* at least 1 */
    size_t n_each;    /* threads of a worker, at least 1 */
    size_t n_threads; /* in all: at least n_workers * n_each */
};

/* n_threads at least 1. n_each 0: chosen; else at most n_threads of it. step_bytes: see
 * elmo_model_info; cache_bytes of the processor. */
struct thread_plan thread_plan(size_t n_threads, size_t n_each, size_t step_bytes,
                               size_t cache_bytes);

/* Of a worker beside which n_idle others have nothing to do: theirs too. */
size_t thread_plan_with_idle(const struct thread_plan *plan, size_t n_idle);

/* The last-level cache of this processor, or a usual size where it is not known. */
size_t thread_plan_cache_bytes(void);

#include "thread_plan.h"

#include <unistd.h> /* _SC_LEVEL3_CACHE_SIZE is glibc's */

#include "defs.h"

#define USUAL_CACHE_BYTES ((size_t)32 << 20)
#define MAX_EACH          64u /* as elmo_session_set_threads */

struct thread_plan thread_plan(size_t n_threads, size_t n_each, size_t step_bytes,
                               size_t cache_bytes)
{
    if (!n_each) {
        /* Half of the cache: it also holds what the batches compute, and is shared with others. */
        size_t n_batches = step_bytes ? cache_bytes / 2 / step_bytes : n_threads;
        n_batches = min_size(n_batches ? n_batches : 1, n_threads);
        n_each = n_threads / n_batches;
    }
    n_each = min_size(min_size(n_each, n_threads), MAX_EACH);
    return (struct thread_plan){n_threads / n_each, n_each, n_threads};
}

size_t thread_plan_with_idle(const struct thread_plan *plan, size_t n_idle)
{
    size_t most = min_size(plan->n_threads, MAX_EACH);
    return n_idle >= most / plan->n_each ? most : min_size((1 + n_idle) * plan->n_each, most);
}

size_t thread_plan_cache_bytes(void)
{
    long n_bytes = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
    n_bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return n_bytes > 0 ? (size_t)n_bytes : USUAL_CACHE_BYTES;
}

#pragma once
/* A limit on what is in use at once, of any unit, shared by threads without a lock. Where nothing
 * is in use it lets anything through, so that what is larger than the limit is served alone. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct budget { /* {.max = ...} is one that nobody uses */
    _Atomic uint64_t used;
    uint64_t max; /* const */
};

/* False: not that much is left, and nothing was taken. */
static inline bool budget_take(struct budget *budget, uint64_t n)
{
    uint64_t others = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (others > 0 && (others > budget->max || n > budget->max - others))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &others, others + n,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Gives back some of what was taken. */
static inline void budget_give(struct budget *budget, uint64_t n)
{
    atomic_fetch_sub_explicit(&budget->used, n, memory_order_relaxed);
}

#pragma once
/* A limit on what is in use at once, in any unit, shared by threads without a lock. If nothing is
 * in use any amount is granted, so that a request larger than the limit runs by itself. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct budget { /* initialise with {.max = n} */
    _Atomic uint64_t used;
    uint64_t max; /* const */
};

/* Takes n. False: less than n is left, and nothing was taken. */
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

/* Returns n of what was taken. */
static inline void budget_give(struct budget *budget, uint64_t n)
{
    atomic_fetch_sub_explicit(&budget->used, n, memory_order_relaxed);
}

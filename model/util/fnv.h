#pragma once
/* FNV-1a in 64 bits (Fowler, Noll and Vo): where it starts, and its step for a byte, or for what
 * else is to count. */
#include <stdint.h>

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static inline uint64_t fnv_step(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * FNV_PRIME;
}

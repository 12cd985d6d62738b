#pragma once
/* Scratch memory of a session: allocate forward, forget all at once. After the first runs it is one
 * block that fits, and nothing is allocated any more. One thread at a time. */
#include "defs.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first; owned */
    size_t used_bytes;          /* since the last reset, over all blocks */
};

/* n_items * item_bytes bytes, aligned to 64, not cleared; NULL: out of memory, or the size
 * overflows. */
void *arena_alloc(struct arena *arena, size_t n_items, size_t item_bytes);
/* Everything allocated before is invalid after it. Keeps one block, big enough for what was used.
 */
void arena_reset(struct arena *arena);
void arena_done(struct arena *arena);

#define ARENA_NEW(arena, type, n) ((type *)arena_alloc((arena), (n), sizeof(type)))

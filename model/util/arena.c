#include "arena.h"

#include "big_alloc.h"

#define ALIGNMENT       64u
#define MIN_BLOCK_BYTES ((size_t)1 << 20)

struct arena_block {
    struct arena_block *next;
    size_t capacity, used; /* bytes after the header */
    _Alignas(ALIGNMENT) unsigned char bytes[];
};

/* Pushes a block of at least `capacity` bytes; false: out of memory. */
static bool push_block(struct arena *arena, size_t capacity)
{
    size_t n_bytes;
    if (capacity < MIN_BLOCK_BYTES)
        capacity = MIN_BLOCK_BYTES;
    if (!add_ok(capacity, sizeof(struct arena_block) + ALIGNMENT, &n_bytes))
        return false;
    n_bytes -= n_bytes % ALIGNMENT;
    struct arena_block *block = big_alloc(n_bytes);
    if (!block)
        return false;
    block->next = arena->blocks;
    block->capacity = n_bytes - sizeof *block;
    block->used = 0;
    arena->blocks = block;
    return true;
}

static void free_blocks(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

void *arena_alloc(struct arena *arena, size_t n_items, size_t item_bytes)
{
    size_t n_bytes;
    if (!mul_ok(n_items, item_bytes, &n_bytes) || !add_ok(n_bytes, ALIGNMENT - 1, &n_bytes))
        return NULL;
    n_bytes -= n_bytes % ALIGNMENT;
    struct arena_block *block = arena->blocks;
    if ((!block || n_bytes > block->capacity - block->used) && !push_block(arena, n_bytes))
        return NULL;
    block = arena->blocks;
    void *memory = block->bytes + block->used;
    block->used += n_bytes;
    arena->used_bytes += n_bytes;
    return memory;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    /* Several blocks: the run outgrew the first. One far too big: an unusual run, give it back. */
    if (block && (block->next || block->capacity / 8 > arena->used_bytes + MIN_BLOCK_BYTES)) {
        free_blocks(arena);
        push_block(arena, arena->used_bytes); /* failing is fine: arena_alloc tries again */
    }
    if (arena->blocks)
        arena->blocks->used = 0;
    arena->used_bytes = 0;
}

void arena_done(struct arena *arena)
{
    free_blocks(arena);
}

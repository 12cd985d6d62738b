#include "word_table.h"

#include <string.h>

#include "util/fnv.h"

#define FIRST_CAPACITY   1024u
#define TEXT_PIECE_BYTES ((size_t)1 << 18)

void word_table_done(struct word_table *table)
{
    free(table->items);
    free(table->slots);
    arena_done(&table->text);
    *table = (struct word_table){0};
}

/* FNV-1a, 64 bits, folded. */
uint32_t word_hash(const char *bytes, size_t n_bytes)
{
    uint64_t h = FNV_BASIS;
    for (size_t k = 0; k < n_bytes; k++)
        h = fnv_step(h, (unsigned char)bytes[k]);
    return (uint32_t)(h ^ h >> 32);
}

/* The slot that holds the word, or the empty one where it would go. */
static size_t find_slot(const struct word_table *t, const char *bytes, size_t n_bytes, uint32_t h)
{
    size_t slot = h & (t->n_slots - 1);
    for (; t->slots[slot]; slot = (slot + 1) & (t->n_slots - 1)) {
        if (t->slots[slot] >> 32 != h)
            continue;
        const struct elmo_token *item = &t->items[(uint32_t)t->slots[slot] - 1];
        if (item->n_bytes == n_bytes && !memcmp(item->bytes, bytes, n_bytes))
            break;
    }
    return slot;
}

/* Room for one more word; false: out of memory. */
static bool grow(struct word_table *t)
{
    size_t capacity = t->capacity ? 2 * t->capacity : FIRST_CAPACITY, n_bytes;
    if (t->n_items < t->capacity)
        return true;
    if (capacity > UINT32_MAX / 2 || !mul_ok(capacity, sizeof *t->items, &n_bytes))
        return false;
    struct elmo_token *items = realloc(t->items, n_bytes);
    if (!items)
        return false;
    t->items = items;
    uint64_t *slots = calloc(2 * capacity, sizeof *slots);
    if (!slots)
        return false;
    for (size_t k = 0; k < t->n_slots; k++) {
        if (!t->slots[k])
            continue;
        size_t slot = t->slots[k] >> 32 & (2 * capacity - 1);
        while (slots[slot])
            slot = (slot + 1) & (2 * capacity - 1);
        slots[slot] = t->slots[k];
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = 2 * capacity;
    t->capacity = capacity;
    return true;
}

/* A copy of the bytes that stays; NULL: out of memory. */
static const char *copy_text(struct word_table *t, const char *bytes, size_t n_bytes)
{
    if (n_bytes > TEXT_PIECE_BYTES / 8) {
        char *own = ARENA_NEW(&t->text, char, n_bytes);
        return own ? memcpy(own, bytes, n_bytes) : NULL;
    }
    if (!t->free_text || n_bytes > t->n_free_text) {
        char *piece = ARENA_NEW(&t->text, char, TEXT_PIECE_BYTES);
        if (!piece)
            return NULL;
        t->free_text = piece;
        t->n_free_text = TEXT_PIECE_BYTES;
    }
    char *copy = t->free_text;
    memcpy(copy, bytes, n_bytes);
    t->free_text += n_bytes;
    t->n_free_text -= n_bytes;
    return copy;
}

uint32_t word_table_add(struct word_table *t, const char *bytes, size_t n_bytes)
{
    uint32_t h = word_hash(bytes, n_bytes);
    if (!grow(t))
        return WORD_NONE;
    size_t slot = find_slot(t, bytes, n_bytes, h);
    if (t->slots[slot])
        return (uint32_t)t->slots[slot] - 1;
    const char *copy = copy_text(t, bytes, n_bytes);
    if (!copy)
        return WORD_NONE;
    t->items[t->n_items++] = (struct elmo_token){copy, n_bytes};
    t->slots[slot] = (uint64_t)h << 32 | t->n_items;
    return (uint32_t)t->n_items - 1;
}

uint32_t word_table_find(const struct word_table *t, const char *bytes, size_t n_bytes)
{
    if (!t->n_slots)
        return WORD_NONE;
    size_t slot = find_slot(t, bytes, n_bytes, word_hash(bytes, n_bytes));
    return t->slots[slot] ? (uint32_t)t->slots[slot] - 1 : WORD_NONE;
}

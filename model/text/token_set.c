#include "token_set.h"

#include <string.h>

#include "char_ids.h"
#include "util/fnv.h"

int token_set_init(struct token_set *ret_set, struct arena *arena, size_t max_tokens, uint64_t seed)
{
    struct token_set set = {.n_slots = 16, .seed = seed};
    while (set.n_slots / 2 < max_tokens)
        if (!mul_ok(set.n_slots, 2, &set.n_slots))
            return ELMO_E_NOMEM;
    set.tokens = ARENA_NEW(arena, const struct elmo_token *, max_tokens);
    set.slots = ARENA_NEW(arena, uint32_t, set.n_slots);
    if (!set.tokens || !set.slots)
        return ELMO_E_NOMEM;
    memset(set.slots, 0, set.n_slots * sizeof *set.slots);
    *ret_set = set;
    return 0;
}

/* FNV-1a's step from a secret start, the upper bits mixed into the lower ones after every byte, so
 * that no bit of the result is free of the seed. */
uint64_t token_hash(const struct elmo_token *token, uint64_t seed)
{
    uint64_t h = seed;
    for (size_t k = 0; k < token->n_bytes; k++) {
        h = fnv_step(h, (unsigned char)token->bytes[k]);
        h ^= h >> 32;
    }
    return h;
}

uint32_t token_set_add(struct token_set *set, const struct elmo_token *token)
{
    size_t slot = (size_t)token_hash(token, set->seed) & (set->n_slots - 1);
    for (; set->slots[slot]; slot = (slot + 1) & (set->n_slots - 1)) {
        uint32_t index = set->slots[slot] - 1;
        if (token_equal(set->tokens[index], token))
            return index;
    }
    set->tokens[set->n_tokens] = token;
    set->slots[slot] = (uint32_t)++set->n_tokens;
    return (uint32_t)set->n_tokens - 1;
}

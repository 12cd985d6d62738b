#pragma once
/* The distinct tokens of a batch: each is encoded once, however often it occurs. */
#include <stdint.h>

#include "elmo.h"
#include "util/arena.h"

struct token_set {
    const struct elmo_token **tokens; /* [n_tokens], in order of first appearance */
    size_t n_tokens;
    uint32_t *slots; /* open addressing: 1 + index of the token, 0 empty */
    size_t n_slots;  /* a power of two, at least twice the tokens */
    uint64_t seed;
};

/* All 64 bits hang on the seed. */
uint64_t token_hash(const struct elmo_token *token, uint64_t seed);

/* Room for max_tokens distinct tokens, in the arena. The seed should be a secret: with it a client
 * could choose tokens that collide, and make a batch cost the square of its length. */
ELMO_MUST_USE int token_set_init(struct token_set *ret_set, struct arena *arena, size_t max_tokens,
                                 uint64_t seed);
/* The token's index, adding it (borrowed) if it is new. */
uint32_t token_set_add(struct token_set *set, const struct elmo_token *token);

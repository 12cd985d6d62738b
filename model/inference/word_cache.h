#pragma once
/* Vectors of words that were encoded before: layer 0 depends only on a token's bytes (README.md,
 * section 4), and texts repeat their words. Bounded in bytes from the start; the word of a set that
 * was not asked for longest makes room. A vector has the same bits as one that is computed again.
 * Any thread. */
#include <stddef.h>
#include <stdint.h>

#include "elmo.h"

struct word_cache;

/* Of vectors [dim], of tokens whose first max_bytes the model sees; n_bytes of memory in all, of
 * which pages are used as words come. *ret_cache is NULL where that is not enough for one set, or
 * where max_bytes is below the 4 that tell </S> from other words. */
ELMO_MUST_USE int word_cache_new(struct word_cache **ret_cache, size_t n_bytes, size_t dim,
                                 size_t max_bytes, struct elmo_error *err);
void word_cache_free(struct word_cache *cache); /* NULL is fine */

/* false: it is not there. NULL has nothing. */
bool word_cache_get(struct word_cache *cache, const struct elmo_token *token, float *ret_vector);
void word_cache_put(struct word_cache *cache, const struct elmo_token *token, const float *vector);

/* For words that have not been asked for yet. has_room: the word is not there, and no other would
 * have to go for it. add: puts it where there is room, and says whether it did; it is given up
 * before any that was put or asked for, the first to come last. Neither counts as a hit or a miss.
 */
bool word_cache_has_room(struct word_cache *cache, const struct elmo_token *token);
bool word_cache_add(struct word_cache *cache, const struct elmo_token *token, const float *vector);

struct elmo_cache_stats word_cache_stats(const struct word_cache *cache); /* NULL: zeros */

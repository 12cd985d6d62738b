#pragma once
/* A token as rows of char_embed (model/inference/README.md, section 3): begin of word, its UTF-8
 * bytes, end of word, then padding. Bytes beyond max_chars - 2 are cut, even inside a code point.
 */
#include <stdint.h>

#include "elmo.h"
#include "file/options.h"

/* ids [max_chars]; returns how many are not padding: bytes + 2. The tokens <S> and </S> stand for
 * the sentence boundaries, as in bilm-tf. */
size_t char_ids(uint16_t *ids, size_t max_chars, const struct elmo_token *token);

/* The same bytes; an empty token may have no memory (bytes NULL). */
bool token_equal(const struct elmo_token *a, const struct elmo_token *b);

extern const struct elmo_token token_bos; /* <S> */
extern const struct elmo_token token_eos; /* </S> */

#include "char_ids.h"

#include <string.h>

const struct elmo_token token_bos = {"<S>", 3};
const struct elmo_token token_eos = {"</S>", 4};

bool token_equal(const struct elmo_token *a, const struct elmo_token *b)
{
    return a->n_bytes == b->n_bytes && (!a->n_bytes || !memcmp(a->bytes, b->bytes, a->n_bytes));
}

/* Writes the ids between the word marks; returns their number. */
static size_t body_ids(uint16_t *ids, size_t max_body, const struct elmo_token *token)
{
    if (token_equal(token, &token_bos) || token_equal(token, &token_eos)) {
        ids[0] = token_equal(token, &token_bos) ? CHAR_BOS : CHAR_EOS;
        return 1;
    }
    size_t n = token->n_bytes < max_body ? token->n_bytes : max_body;
    for (size_t k = 0; k < n; k++)
        ids[k] = (unsigned char)token->bytes[k];
    return n;
}

size_t char_ids(uint16_t *ids, size_t max_chars, const struct elmo_token *token)
{
    ids[0] = CHAR_BOW;
    size_t n = 1 + body_ids(ids + 1, max_chars - 2, token);
    ids[n++] = CHAR_EOW;
    for (size_t k = n; k < max_chars; k++)
        ids[k] = CHAR_PAD;
    return n;
}

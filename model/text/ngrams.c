#include "ngrams.h"

#include <stdlib.h>

#include "util/fnv.h"

/* FNV-1a over the token's bytes. */
static uint64_t hash_token(const struct elmo_token *token)
{
    uint64_t h = FNV_BASIS;
    for (size_t k = 0; k < token->n_bytes; k++) {
        unsigned c = (unsigned char)token->bytes[k];
        h = fnv_step(h, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return h;
}

/* One more token to an n-gram's hash; the order of the tokens counts. splitmix64's mixer. */
static uint64_t append(uint64_t h, uint64_t token)
{
    h = h * FNV_PRIME + token;
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return h ^ h >> 31;
}

int ngram_row_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

size_t ngram_rows_unite(uint32_t *rows, size_t n)
{
    size_t kept = 0;
    if (n)
        qsort(rows, n, sizeof *rows, ngram_row_order);
    for (size_t k = 0; k < n; k++)
        if (!kept || rows[kept - 1] != rows[k])
            rows[kept++] = rows[k];
    return kept;
}

int ngram_list(uint32_t **ret_rows, size_t *ret_n, const struct elmo_token *tokens, size_t n_tokens,
               size_t max_order, size_t n_rows, struct arena *arena)
{
    uint64_t *hashes = ARENA_NEW(arena, uint64_t, n_tokens);
    uint32_t *rows = ARENA_NEW(arena, uint32_t, n_tokens * max_order);
    size_t n = 0;
    if (!hashes || !rows)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < n_tokens; k++)
        hashes[k] = hash_token(&tokens[k]);
    for (size_t first = 0; first < n_tokens; first++) {
        uint64_t h = 0;
        for (size_t order = 1; order <= max_order && order <= n_tokens - first; order++) {
            h = append(h, hashes[first + order - 1]);
            rows[n++] = (uint32_t)(h % n_rows);
        }
    }
    *ret_n = n;
    *ret_rows = rows;
    return 0;
}

int ngram_rows(uint32_t **ret_rows, size_t *ret_n, const struct elmo_token *tokens, size_t n_tokens,
               size_t max_order, size_t n_rows, struct arena *arena)
{
    uint32_t *rows;
    size_t n;
    if (ngram_list(&rows, &n, tokens, n_tokens, max_order, n_rows, arena))
        return ELMO_E_NOMEM;
    *ret_n = ngram_rows_unite(rows, n);
    *ret_rows = rows;
    return 0;
}

#include "lexicon.h"

#include <string.h>

#include "token_encoder.h"

/* The vectors of `n` tokens that the lexicon does not have, each to its place in ret_vectors. */
static int encode_others(float *ret_vectors, const struct elmo_token *const *others,
                         const size_t *places, size_t n, const struct elmo_model *m,
                         struct arena *arena)
{
    size_t P = m->options.proj_dim;
    float *vectors = ARENA_NEW(arena, float, n *P);
    if (!vectors || token_encoder_run(vectors, others, n, &m->options, &m->weights, arena))
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < n; k++)
        memcpy(ret_vectors + places[k] * P, vectors + k * P, P * sizeof *vectors);
    return 0;
}

int lexicon_encode(float *ret_vectors, const struct elmo_token *const *tokens, size_t n_tokens,
                   const struct elmo_model *m, struct arena *arena)
{
    size_t P = m->options.proj_dim, n_others = 0;
    if (!m->weights.lexicon)
        return token_encoder_run(ret_vectors, tokens, n_tokens, &m->options, &m->weights, arena);
    const struct elmo_token **others = ARENA_NEW(arena, const struct elmo_token *, n_tokens);
    size_t *places = ARENA_NEW(arena, size_t, n_tokens);
    if (!others || !places)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < n_tokens; k++) {
        uint32_t row = word_table_find(&m->lexicon, tokens[k]->bytes, tokens[k]->n_bytes);
        if (row == WORD_NONE) {
            others[n_others] = tokens[k];
            places[n_others++] = k;
        } else {
            memcpy(ret_vectors + k * P, m->weights.lexicon + row * P, P * sizeof *ret_vectors);
        }
    }
    return n_others ? encode_others(ret_vectors, others, places, n_others, m, arena) : 0;
}

#include "lexicon.h"

#include <string.h>

#include "token_encoder.h"

/* The vectors of `n` tokens that have to be spelt, each to its place in ret_vectors. */
static int encode_others(float *ret_vectors, const struct elmo_token *const *others,
                         const size_t *places, size_t n, const struct elmo_model *m,
                         const struct subteam *subteam, struct arena *arena)
{
    size_t P = m->options.proj_dim, n_floats = n * P;
    float *vectors = ARENA_NEW(arena, float, n_floats);
    if (!vectors || token_encoder_run(vectors, others, n, &m->options, &m->weights, subteam, arena))
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < n; k++) {
        memcpy(ret_vectors + places[k] * P, vectors + k * P, P * sizeof *vectors);
        word_cache_put(m->words, others[k], vectors + k * P);
    }
    return 0;
}

/* In the lexicon, or among the words that came before. */
static bool find_vector(float *ret_vector, const struct elmo_token *token,
                        const struct elmo_model *m)
{
    size_t P = m->options.proj_dim;
    uint32_t row =
        m->weights.lexicon ? word_table_find(&m->lexicon, token->bytes, token->n_bytes) : WORD_NONE;
    if (row == WORD_NONE)
        return word_cache_get(m->words, token, ret_vector);
    memcpy(ret_vector, m->weights.lexicon + row * P, P * sizeof *ret_vector);
    return true;
}

int lexicon_encode(float *ret_vectors, const struct elmo_token *const *tokens, size_t n_tokens,
                   const struct elmo_model *m, const struct subteam *subteam, struct arena *arena)
{
    size_t P = m->options.proj_dim, n_others = 0;
    if (!m->weights.lexicon && !m->words)
        return token_encoder_run(ret_vectors, tokens, n_tokens, &m->options, &m->weights, subteam,
                                 arena);
    const struct elmo_token **others = ARENA_NEW(arena, const struct elmo_token *, n_tokens);
    size_t *places = ARENA_NEW(arena, size_t, n_tokens);
    if (!others || !places)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < n_tokens; k++) {
        if (find_vector(ret_vectors + k * P, tokens[k], m))
            continue;
        others[n_others] = tokens[k];
        places[n_others++] = k;
    }
    return n_others ? encode_others(ret_vectors, others, places, n_others, m, subteam, arena) : 0;
}

/* elmo_model_warm: the token encoder's vectors of words that have not been asked for yet. */
#include "error.h"
#include "model.h"
#include "token_encoder.h"
#include "util/arena.h"

#define BATCH_WORDS 256u /* many rows: that is what the matrix products live on */

DEFINE_AUTO(arena_done, struct arena *);

static bool is_wanted(const struct elmo_model *m, const struct elmo_token *word)
{
    bool has_vector =
        m->weights.lexicon && word_table_find(&m->lexicon, word->bytes, word->n_bytes) != WORD_NONE;
    return !has_vector && word_cache_has_room(m->words, word);
}

/* Encodes words [n] and adds what still has room; *n_added counts. */
static int add_words(const struct elmo_model *m, const struct elmo_token *const *words, size_t n,
                     size_t *n_added, struct arena *arena)
{
    size_t P = m->options.proj_dim, n_floats = n * P;
    arena_reset(arena);
    float *vectors = ARENA_NEW(arena, float, n_floats);
    if (!vectors ||
        token_encoder_run(vectors, words, n, &m->options, &m->weights, &subteam_of_one, arena))
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < n; k++)
        *n_added += word_cache_add(m->words, words[k], vectors + k * P);
    return 0;
}

int elmo_model_warm(const struct elmo_model *m, const struct elmo_token *words, size_t n_words,
                    size_t *ret_n_added, struct elmo_error *err)
{
    const struct elmo_token *wanted[BATCH_WORDS];
    struct arena memory = {0};
    AUTO(arena_done) struct arena *arena = &memory;
    size_t n_wanted = 0, n_added = 0;
    for (size_t k = 0; k < n_words; k++) {
        if (is_wanted(m, &words[k]))
            wanted[n_wanted++] = &words[k];
        if (n_wanted < BATCH_WORDS)
            continue;
        if (add_words(m, wanted, n_wanted, &n_added, arena))
            return elmo_fail_nomem(err);
        n_wanted = 0;
    }
    if (n_wanted && add_words(m, wanted, n_wanted, &n_added, arena))
        return elmo_fail_nomem(err);
    if (ret_n_added)
        *ret_n_added = n_added;
    return 0;
}

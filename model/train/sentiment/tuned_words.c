#include "tuned_words.h"

#include <string.h>

#include "error.h"
#include "inference/lexicon.h"
#include "text/vocabulary.h"
#include "train/maths/adam.h"
#include "train/maths/loops.h"
#include "util/rng.h"

#define CHUNK 4096 /* words encoded at a time */

/* ---- Which words ---- */

/* A name in the file is a JSON string: no NUL in it, and not so long that it says nothing. */
static bool can_be_named(const struct elmo_token *token)
{
    return token->n_bytes && token->n_bytes <= 64 && !memchr(token->bytes, 0, token->n_bytes);
}

/* Counts of all distinct words of the texts. */
static int count_words(struct word_table *all, uint32_t **ret_counts, const struct tune_text *texts,
                       size_t n_texts, struct elmo_error *err)
{
    AUTO(mem_free) uint32_t *counts = NULL;
    size_t capacity = 0;
    for (size_t k = 0; k < n_texts; k++)
        for (size_t t = 0; t < texts[k].n_tokens; t++) {
            const struct elmo_token *token = &texts[k].tokens[t];
            uint32_t id = word_table_add(all, token->bytes, token->n_bytes);
            if (id == WORD_NONE)
                return elmo_fail_nomem(err);
            if (id >= capacity) {
                size_t more = capacity ? 2 * capacity : 1 << 12;
                uint32_t *moved = realloc(counts, more * sizeof *counts);
                if (!moved)
                    return elmo_fail_nomem(err);
                memset(moved + capacity, 0, (more - capacity) * sizeof *moved);
                counts = moved;
                capacity = more;
            }
            counts[id] += counts[id] < UINT32_MAX;
        }
    *ret_counts = STEAL(counts);
    return 0;
}

static int add_word(struct tuned_words *w, const struct elmo_token *word, struct elmo_error *err)
{
    bool added = word_table_add(&w->words, word->bytes, word->n_bytes) != WORD_NONE;
    return added ? 0 : elmo_fail_nomem(err);
}

/* The marks, the words of a lexicon that the model has already, the frequent ones. */
static int choose_words(struct tuned_words *w, const struct tune_text *texts, size_t n_texts,
                        size_t min_count, struct elmo_error *err)
{
    struct word_table all = {0};
    AUTO(mem_free) uint32_t *counts = NULL;
    const struct word_table *older = &w->model->lexicon;
    int r = count_words(&all, &counts, texts, n_texts, err);
    for (size_t k = 0; !r && k < VOCAB_N_MARKS; k++)
        r = add_word(w, &vocabulary_marks[k], err);
    for (size_t k = 0; !r && k < older->n_items; k++)
        r = add_word(w, &older->items[k], err);
    for (size_t k = 0; !r && k < all.n_items; k++)
        if (counts[k] >= min_count && can_be_named(&all.items[k]))
            r = add_word(w, &all.items[k], err);
    word_table_done(&all);
    return r;
}

/* ---- Their start ---- */

static int encode_words(struct tuned_words *w, struct elmo_error *err)
{
    size_t P = w->model->options.proj_dim;
    const struct elmo_token *tokens[CHUNK];
    for (size_t begin = 0; begin < w->words.n_items; begin += CHUNK) {
        size_t n = w->words.n_items - begin < CHUNK ? w->words.n_items - begin : CHUNK;
        for (size_t k = 0; k < n; k++)
            tokens[k] = &w->words.items[begin + k];
        arena_reset(&w->arena);
        if (lexicon_encode(w->vectors + begin * P, tokens, n, w->model, &subteam_of_one, &w->arena))
            return elmo_fail_nomem(err);
    }
    return 0;
}

int tuned_words_init(struct tuned_words *ret_words, const struct elmo_model *model,
                     const struct tune_text *texts, size_t n_texts, size_t min_count,
                     struct elmo_error *err)
{
    struct tuned_words w = {.model = model};
    int r = choose_words(&w, texts, n_texts, min_count, err);
    size_t n = w.words.n_items * model->options.proj_dim;
    if (!r) {
        w.vectors = calloc(n, sizeof *w.vectors);
        w.first = calloc(n, sizeof *w.first);
        w.second = calloc(n, sizeof *w.second);
        r = w.vectors && w.first && w.second ? encode_words(&w, err) : elmo_fail_nomem(err);
    }
    if (r)
        tuned_words_done(&w);
    else
        *ret_words = w;
    return r;
}

void tuned_words_finish(struct tuned_words *w)
{
    free(w->first);
    free(w->second);
    arena_done(&w->arena);
    w->first = w->second = NULL;
}

void tuned_words_done(struct tuned_words *w)
{
    word_table_done(&w->words);
    free(w->vectors);
    tuned_words_finish(w);
    *w = (struct tuned_words){0};
}

/* ---- A batch ---- */

bool tuned_words_gather(struct tuned_words *w, float *vectors, uint32_t *rows,
                        const struct elmo_token *const *tokens, size_t n)
{
    size_t P = w->model->options.proj_dim, n_others = 0;
    arena_reset(&w->arena);
    const struct elmo_token **others = ARENA_NEW(&w->arena, const struct elmo_token *, n);
    float *spelt = ARENA_NEW(&w->arena, float, n *P);
    if (!others || !spelt)
        return false;
    for (size_t k = 0; k < n; k++) {
        rows[k] = word_table_find(&w->words, tokens[k]->bytes, tokens[k]->n_bytes);
        if (rows[k] == WORD_NONE)
            others[n_others++] = tokens[k];
    }
    if (n_others && lexicon_encode(spelt, others, n_others, w->model, &subteam_of_one, &w->arena))
        return false;
    for (size_t k = 0; k < n; k++) {
        const float *from = rows[k] == WORD_NONE ? spelt : w->vectors + rows[k] * P;
        memcpy(vectors + k * P, from, P * sizeof *vectors);
        spelt += rows[k] == WORD_NONE ? P : 0;
    }
    return true;
}

void tuned_words_drop(float *x, size_t n, size_t P, double dropout, uint64_t seed)
{
    struct rng rng = {seed};
    for (size_t k = 0; k < n && dropout > 0; k++) {
        float factor = rng_uniform(&rng) < dropout ? 0 : (float)(1 / (1 - dropout));
        for (size_t p = 0; p < P; p++)
            x[k * P + p] *= factor;
    }
}

void tuned_words_step(struct tuned_words *w, const uint32_t *rows, const float *gradients, size_t n,
                      double learning_rate)
{
    size_t P = w->model->options.proj_dim;
    const struct adam_rates step = adam_rates_at(++w->n_steps, learning_rate, 1);
    for (size_t k = 0; k < n; k++)
        if (rows[k] != WORD_NONE)
            loops_best()->adam(w->vectors + rows[k] * P, w->first + rows[k] * P,
                               w->second + rows[k] * P, gradients + k * P, P, &step);
}

#include "ngram_texts.h"

#include <assert.h>
#include <string.h>

#include "error.h"
#include "text/ngrams.h"

/* N-grams are counted by 32 bits of their hash, whose last ones are the row: two of ten million
 * n-grams that share all of them are rare. */
#define N_CODES ((size_t)1 << 32)

/* Appends the codes of one text. */
static int append_text(struct ngram_texts *t, size_t *room, const struct elmo_model *model,
                       const struct labelled_text *item, size_t max_order, struct arena *arena,
                       struct elmo_error *err)
{
    struct elmo_token *tokens = NULL;
    uint32_t *codes = NULL;
    size_t n_tokens = 0, n = 0, at = t->begin[t->n_texts];
    arena_reset(arena);
    int r = elmo_tokenize(model, item->text, item->n_bytes, &tokens, &n_tokens, err);
    if (!r && ngram_rows(&codes, &n, tokens, n_tokens, max_order, N_CODES, arena))
        r = elmo_fail_nomem(err);
    if (!r && *room - at < n) {
        size_t more = 2 * *room + n;
        uint32_t *grown = realloc(t->rows, more * sizeof *grown);
        if (!grown)
            r = elmo_fail_nomem(err);
        else
            t->rows = grown, *room = more;
    }
    if (!r) {
        if (n)
            memcpy(t->rows + at, codes, n * sizeof *codes);
        t->begin[++t->n_texts] = at + n;
    }
    free(tokens);
    return r;
}

/* The codes, ascending, that at least min_count of the n given ones are: a text has none twice. */
static int frequent_codes(uint32_t **ret_codes, size_t *ret_n, const uint32_t *codes, size_t n,
                          size_t min_count, struct elmo_error *err)
{
    uint32_t *sorted = malloc((n + 1) * sizeof *sorted);
    size_t n_kept = 0;
    if (!sorted)
        return elmo_fail_nomem(err);
    if (n) {
        memcpy(sorted, codes, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, ngram_row_order);
    }
    for (size_t k = 0, end = 0; k < n; k = end) {
        while (end < n && sorted[end] == sorted[k])
            end++;
        if (end - k >= min_count)
            sorted[n_kept++] = sorted[k];
    }
    *ret_codes = sorted;
    *ret_n = n_kept;
    return 0;
}

/* Puts the frequent ones of the codes first; returns their number. */
static size_t keep_frequent(uint32_t *codes, size_t n, const uint32_t *frequent, size_t n_frequent)
{
    size_t n_kept = 0;
    for (size_t k = 0; k < n; k++)
        if (bsearch(&codes[k], frequent, n_frequent, sizeof codes[k], ngram_row_order))
            codes[n_kept++] = codes[k];
    return n_kept;
}

/* Codes become rows, text by text. */
static void make_rows(struct ngram_texts *t, size_t n_train, size_t n_rows,
                      const uint32_t *frequent, size_t n_frequent)
{
    size_t at = 0;
    if (!t->rows) /* no text has a token */
        return;
    for (size_t text = 0; text < t->n_texts; text++) {
        uint32_t *codes = t->rows + t->begin[text];
        size_t n = t->begin[text + 1] - t->begin[text];
        if (text < n_train)
            n = keep_frequent(codes, n, frequent, n_frequent);
        for (size_t k = 0; k < n; k++)
            codes[k] = (uint32_t)(codes[k] % n_rows);
        n = ngram_rows_unite(codes, n);
        if (n)
            memmove(t->rows + at, codes, n * sizeof *codes);
        t->begin[text] = at;
        at += n;
    }
    t->begin[t->n_texts] = at;
}

int ngram_texts_init(struct ngram_texts *ret_texts, const struct elmo_model *model,
                     const struct labelled_text *items, size_t n_items, size_t n_train,
                     const struct ngram_settings *settings, struct elmo_error *err)
{
    struct ngram_texts t = {.begin = calloc(n_items + 1, sizeof *t.begin)};
    struct arena arena = {0};
    AUTO(mem_free) uint32_t *frequent = NULL;
    size_t room = 0, n_frequent = 0, n_rows = settings->n_rows;
    assert(n_rows && !(n_rows & (n_rows - 1)) && n_train <= n_items);
    int r = t.begin ? 0 : elmo_fail_nomem(err);
    for (size_t k = 0; k < n_items && !r; k++)
        r = append_text(&t, &room, model, &items[k], settings->max_order, &arena, err);
    arena_done(&arena);
    if (!r)
        r = frequent_codes(&frequent, &n_frequent, t.rows, t.begin[n_train], settings->min_count,
                           err);
    if (r) {
        ngram_texts_done(&t);
        return r;
    }
    make_rows(&t, n_train, n_rows, frequent, n_frequent);
    *ret_texts = t;
    return 0;
}

void ngram_texts_done(struct ngram_texts *texts)
{
    free(texts->rows);
    free(texts->begin);
    *texts = (struct ngram_texts){0};
}

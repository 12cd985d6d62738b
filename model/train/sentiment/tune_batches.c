#include "tune_batches.h"

#include <stdlib.h>

#include "error.h"
#include "text/char_ids.h"
#include "text/token_set.h"
#include "util/rng.h"

int tune_batches_init(struct tune_batches *ret_batches, const struct elmo_model *model,
                      const struct labelled_text *items, size_t n_items, size_t batch_tokens,
                      struct elmo_error *err)
{
    struct tune_batches b = {.texts = calloc(n_items + 1, sizeof *b.texts),
                             .cuts = calloc(n_items + 1, sizeof *b.cuts),
                             .ranges = calloc(n_items + 1, sizeof *b.ranges),
                             .batch_tokens = batch_tokens};
    int r = b.texts && b.cuts && b.ranges ? 0 : elmo_fail_nomem(err);
    for (size_t k = 0; k < n_items && !r; k++) {
        struct tune_text *text = &b.texts[b.n_texts];
        text->label = items[k].label;
        r = elmo_tokenize(model, items[k].text, items[k].n_bytes, &text->tokens, &text->n_tokens,
                          err);
        b.n_texts += text->n_tokens > 0;
    }
    if (r)
        tune_batches_done(&b);
    else
        *ret_batches = b;
    return r;
}

void tune_batches_done(struct tune_batches *b)
{
    for (size_t k = 0; k < b->n_texts; k++)
        free(b->texts[k].tokens);
    free(b->texts);
    free(b->cuts);
    free(b->ranges);
    arena_done(&b->arena);
    *b = (struct tune_batches){0};
}

/* ---- An epoch ---- */

static uint32_t cut_length(size_t n_tokens)
{
    if (n_tokens > TUNE_MAX_TOKENS)
        return TUNE_MAX_TOKENS;
    return (uint32_t)(n_tokens < TUNE_LENGTH_STEP ? n_tokens
                                                  : n_tokens - n_tokens % TUNE_LENGTH_STEP);
}

static int by_length(const void *a, const void *b)
{
    const struct tune_cut *x = a, *y = b;
    if (x->n_tokens != y->n_tokens)
        return x->n_tokens < y->n_tokens ? -1 : 1;
    return (x->begin > y->begin) - (x->begin < y->begin); /* begin: its random rank, see below */
}

/* Cuts by length, in random order within a length. */
static void draw_cuts(struct tune_batches *b, struct rng *rng)
{
    for (size_t k = 0; k < b->n_texts; k++)
        b->cuts[k] = (struct tune_cut){(uint32_t)k, (uint32_t)(rng_next(rng) >> 32),
                                       cut_length(b->texts[k].n_tokens)};
    qsort(b->cuts, b->n_texts, sizeof *b->cuts, by_length);
    for (size_t k = 0; k < b->n_texts; k++) {
        struct tune_cut *cut = &b->cuts[k];
        size_t room = b->texts[cut->text].n_tokens - cut->n_tokens;
        cut->begin = (uint32_t)(rng_next(rng) % (room + 1));
    }
}

void tune_batches_epoch(struct tune_batches *b, uint64_t seed, uint64_t epoch)
{
    struct rng rng = {seed ^ epoch << 32};
    draw_cuts(b, &rng);
    b->n_batches = 0;
    for (size_t begin = 0, end = 0; begin < b->n_texts; begin = end) {
        uint32_t n_tokens = b->cuts[begin].n_tokens;
        while (end < b->n_texts && b->cuts[end].n_tokens == n_tokens &&
               (end == begin || (end - begin + 1) * n_tokens <= b->batch_tokens))
            end++;
        b->ranges[b->n_batches++] = (struct tune_range){begin, end};
    }
    rng_shuffle(&rng, b->ranges, b->n_batches, sizeof *b->ranges);
}

/* ---- A batch ---- */

bool tune_batches_fill(struct tune_batches *b, size_t index, struct tune_filled *ret)
{
    const struct tune_range range = b->ranges[index];
    size_t B = range.end - range.begin, n_tokens = b->cuts[range.begin].n_tokens;
    struct token_set set;
    arena_reset(&b->arena);
    uint32_t *positions = ARENA_NEW(&b->arena, uint32_t, B * (n_tokens + 2));
    uint32_t *labels = ARENA_NEW(&b->arena, uint32_t, B);
    if (!positions || !labels || token_set_init(&set, &b->arena, B * (n_tokens + 2), 0))
        return false;
    for (size_t k = 0; k < B; k++) {
        const struct tune_cut *cut = &b->cuts[range.begin + k];
        const struct tune_text *text = &b->texts[cut->text];
        uint32_t *at = positions + k * (n_tokens + 2);
        labels[k] = text->label;
        *at++ = token_set_add(&set, &token_bos);
        for (size_t t = 0; t < n_tokens; t++)
            *at++ = token_set_add(&set, &text->tokens[cut->begin + t]);
        *at = token_set_add(&set, &token_eos);
    }
    *ret = (struct tune_filled){
        .texts = {.n_sentences = B,
                  .n_steps = n_tokens + 1,
                  .positions = positions,
                  .words = (const struct elmo_token *const *)set.tokens,
                  .n_words = set.n_tokens},
        .labels = labels,
    };
    return true;
}

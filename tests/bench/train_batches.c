#include "train_batches.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/rng.h"

#define MAX_LETTERS 10u
#define BOS         0u
#define EOS         1u

/* Predictions per sentence of each batch, from short ones to the longest segment. */
static const size_t steps[] = {121, 17, 73, 153, 41, 105, 9, 57, 137, 25, 89};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static size_t draw_below(struct rng *rng, size_t n)
{
    return (size_t)(rng_uniform(rng) * (double)n);
}

static void make_vocabulary(struct train_batches *t, struct rng *rng)
{
    for (size_t k = 0; k < t->n_vocab; k++) {
        char *bytes = t->text + k * MAX_LETTERS;
        size_t n_bytes = 2 + draw_below(rng, MAX_LETTERS - 1);
        for (size_t i = 0; i < n_bytes; i++)
            bytes[i] = (char)('a' + draw_below(rng, 26));
        t->vocabulary[k] = (struct elmo_token){bytes, n_bytes};
    }
    t->vocabulary[BOS] = (struct elmo_token){"<S>", 3};
    t->vocabulary[EOS] = (struct elmo_token){"</S>", 4};
}

static uint32_t draw_word(const struct train_batches *t, struct rng *rng)
{
    double id = exp(rng_uniform(rng) * log((double)(t->n_vocab - 2))) + 1;
    return (uint32_t)fmin(id, (double)(t->n_vocab - 1));
}

/* Draws batch k into the arrays from index `at`. local_of [n_vocab] is UINT32_MAX before and after.
 */
static void make_batch(struct train_batches *t, size_t k, size_t batch_tokens, size_t at,
                       uint32_t *local_of, struct rng *rng)
{
    size_t T = steps[k], B = batch_tokens / T ? batch_tokens / T : 1, n_words = 0;
    uint32_t *positions = t->positions + at, *vocab_ids = t->vocab_ids + at;
    for (size_t p = 0; p < B * (T + 1); p++) {
        uint32_t id = p % (T + 1) == 0 ? BOS : p % (T + 1) == T ? EOS : draw_word(t, rng);
        if (local_of[id] == UINT32_MAX) {
            local_of[id] = (uint32_t)n_words;
            t->words[at + n_words] = &t->vocabulary[id];
            vocab_ids[n_words++] = id;
        }
        positions[p] = local_of[id];
    }
    for (size_t w = 0; w < n_words; w++)
        local_of[vocab_ids[w]] = UINT32_MAX;
    t->batches[k] = (struct bilm_batch){
        .n_sentences = B,
        .n_steps = T,
        .positions = positions,
        .words = t->words + at,
        .vocab_ids = vocab_ids,
        .n_words = n_words,
    };
}

void train_batches_init(struct train_batches *t, size_t n_vocab, size_t batch_tokens)
{
    struct rng rng = {1};
    /* a sentence has T + 1 positions, at most twice its predictions; there is at least one sentence
     */
    size_t most = 2 * (batch_tokens + 153);
    *t = (struct train_batches){.n_vocab = n_vocab, .n_batches = ARRAY_LEN(steps)};
    t->vocabulary = must(calloc(n_vocab, sizeof *t->vocabulary));
    t->batches = must(calloc(t->n_batches, sizeof *t->batches));
    t->words = must(calloc(t->n_batches * most, sizeof *t->words));
    t->positions = must(calloc(t->n_batches * most, sizeof *t->positions));
    t->vocab_ids = must(calloc(t->n_batches * most, sizeof *t->vocab_ids));
    t->text = must(calloc(n_vocab, MAX_LETTERS));
    uint32_t *local_of = must(malloc(n_vocab * sizeof *local_of));
    memset(local_of, 0xff, n_vocab * sizeof *local_of);
    make_vocabulary(t, &rng);
    for (size_t k = 0; k < t->n_batches; k++)
        make_batch(t, k, batch_tokens, k * most, local_of, &rng);
    free(local_of);
}

void train_batches_done(struct train_batches *t)
{
    free(t->vocabulary);
    free(t->batches);
    free(t->words);
    free(t->positions);
    free(t->vocab_ids);
    free(t->text);
}

void train_batches_print(const struct train_batches *t)
{
    for (size_t k = 0; k < t->n_batches; k++) {
        const struct bilm_batch *b = &t->batches[k];
        printf("%s{\"steps\": %zu, \"sentences\": %zu, \"words\": [", k ? ",\n" : "[", b->n_steps,
               b->n_sentences);
        for (size_t w = 0; w < b->n_words; w++)
            printf("%s\"%.*s\"", w ? ", " : "", (int)b->words[w]->n_bytes, b->words[w]->bytes);
        printf("], \"vocab_ids\": [");
        for (size_t w = 0; w < b->n_words; w++)
            printf("%s%u", w ? ", " : "", b->vocab_ids[w]);
        printf("], \"positions\": [");
        for (size_t p = 0; p < b->n_sentences * (b->n_steps + 1); p++)
            printf("%s%u", p ? ", " : "", b->positions[p]);
        printf("]}");
    }
    printf("]\n");
}

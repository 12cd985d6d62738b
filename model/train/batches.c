#include "batches.h"

#include <string.h>

#include "error.h"
#include "rng.h"
#include "sentences.h"

#define ONE_SENTENCE_SHARE 0.25
#define MIN_TARGET         16u
#define MAX_TARGET         150u
#define FREE_LENGTH        40u /* up to here a segment keeps the length that it has */
#define LENGTH_STEP        8u  /* beyond, it is a multiple of this */
#define HELDOUT_SEED       0x68656c646f7574u

_Static_assert(BATCHES_MAX_TOKENS % LENGTH_STEP == 0,
               "the longest segment has a length of its own");

/* Segments [begin, end) of a length; [BATCHES_MAX_TOKENS + 1], by length. */
struct length_class {
    size_t begin, n_segments;
};

void batches_done(struct batches *b)
{
    free(b->ranges);
    free(b->segments);
    free(b->sentence_ends);
    free(b->local_of);
    free(b->positions);
    free(b->vocab_ids);
    free(b->words);
    *b = (struct batches){0};
}

/* Segments of `length` tokens that make a full batch. */
static size_t full_batch(const struct batches *b, size_t length)
{
    size_t n = b->batch_tokens / (length + 1);
    return n ? n : 1;
}

int batches_init(struct batches *ret_batches, const struct corpus *corpus, uint64_t seed,
                 size_t batch_tokens, struct elmo_error *err)
{
    struct batches b = {.corpus = corpus, .seed = seed, .batch_tokens = batch_tokens};
    /* A segment of n tokens has n + 2 positions for its n + 1 predictions: at most 3 for 2. */
    size_t most = batch_tokens > BATCHES_MAX_TOKENS ? batch_tokens : BATCHES_MAX_TOKENS + 1,
           n_bytes;
    if (!corpus->n_tokens)
        return elmo_fail(err, ELMO_E_INVALID, "the corpus was loaded without its text");
    if (!mul_ok(most, 2 * sizeof *b.words, &n_bytes))
        return elmo_fail_nomem(err);
    b.sentence_ends = sentences_find(corpus);
    b.local_of = malloc(corpus->n_words * sizeof *b.local_of);
    b.positions = malloc(2 * most * sizeof *b.positions);
    b.vocab_ids = malloc(2 * most * sizeof *b.vocab_ids);
    b.words = malloc(n_bytes);
    if (!b.sentence_ends || !b.local_of || !b.positions || !b.vocab_ids || !b.words) {
        batches_done(&b);
        return elmo_fail_nomem(err);
    }
    memset(b.local_of, 0xff, corpus->n_words * sizeof *b.local_of);
    *ret_batches = b;
    return 0;
}

/* ---- Segments ---- */

/* The end of the sentence that token `at` is in, or `limit` if that comes first. */
static size_t sentence_end(const struct batches *b, size_t at, size_t limit)
{
    while (at < limit && !sentences_ends_at(b->sentence_ends, at))
        at++;
    return at < limit ? at + 1 : limit;
}

/* Length of the segment that begins at token `at` of a paragraph that ends before `end`. */
static size_t segment_length(const struct batches *b, size_t at, size_t end, bool in_sentence,
                             struct rng *rng)
{
    size_t left = end - at, limit = left < BATCHES_MAX_TOKENS ? end : at + BATCHES_MAX_TOKENS,
           n = 0, target = 1;
    if (rng_uniform(rng) >= ONE_SENTENCE_SHARE)
        target = MIN_TARGET + (size_t)(rng_uniform(rng) * (MAX_TARGET - MIN_TARGET + 1));
    else if (in_sentence) /* what was left of one, and one */
        target += sentence_end(b, at, limit) - at;
    do
        n = sentence_end(b, at + n, limit) - at;
    while (n < target && at + n < limit);
    if (n > FREE_LENGTH) {
        n -= n % LENGTH_STEP;
        if (n < left && left - n < LENGTH_STEP)
            n -= LENGTH_STEP; /* leaves no crumb at the end of the paragraph */
    }
    return n;
}

/* All segments, in the order of the corpus: counts them by length, or, with `segments`, puts each
 * behind those of its length. */
static void draw_segments(const struct batches *b, struct rng rng, struct length_class *classes,
                          struct segment *segments)
{
    const struct corpus *c = b->corpus;
    for (size_t line = 0; line < c->n_lines; line++) {
        size_t begin = c->line_begins[line], end = c->line_begins[line + 1], n;
        bool in_sentence = false;
        for (size_t at = begin; at < end; at += n) {
            n = segment_length(b, at, end, in_sentence, &rng);
            in_sentence = !sentences_ends_at(b->sentence_ends, at + n - 1);
            struct length_class *class = &classes[n];
            if (segments)
                segments[class->begin + class->n_segments] = (struct segment){at, (uint32_t)n};
            class->n_segments++;
        }
    }
}

/* ---- Batches ---- */

static size_t draw_below(struct rng *rng, size_t n)
{
    return (size_t)(rng_uniform(rng) * (double)n);
}

static void shuffle_segments(struct segment *segments, size_t n, struct rng *rng)
{
    for (; n > 1; n--) {
        size_t k = draw_below(rng, n);
        struct segment swapped = segments[k];
        segments[k] = segments[n - 1];
        segments[n - 1] = swapped;
    }
}

static void shuffle_ranges(struct batch_range *ranges, size_t n, struct rng *rng)
{
    for (; n > 1; n--) {
        size_t k = draw_below(rng, n);
        struct batch_range swapped = ranges[k];
        ranges[k] = ranges[n - 1];
        ranges[n - 1] = swapped;
    }
}

static size_t count_batches(const struct batches *b, const struct length_class *class,
                            size_t length)
{
    size_t full = full_batch(b, length);
    return class->n_segments / full + (class->n_segments % full != 0);
}

/* Splits each class evenly, so that no batch is a mere rest. */
static void make_ranges(struct batches *b, const struct length_class *classes)
{
    b->n_batches = b->n_small_batches = 0;
    for (size_t length = 1; length <= BATCHES_MAX_TOKENS; length++) {
        const struct length_class *class = &classes[length];
        size_t n = count_batches(b, class, length), begin = class->begin;
        for (size_t k = 0; k < n; k++) {
            size_t end = begin + class->n_segments / n + (k < class->n_segments % n);
            b->ranges[b->n_batches++] = (struct batch_range){begin, end};
            b->n_small_batches += (end - begin) * (length + 1) < b->batch_tokens / 2;
            begin = end;
        }
    }
}

/* `array` [n] or NULL: out of memory. */
static void *resize(void *array, size_t n, size_t item_bytes)
{
    size_t n_bytes;
    return mul_ok(n, item_bytes, &n_bytes) ? realloc(array, n_bytes) : NULL;
}

static int make_batches(struct batches *b, struct rng rng, bool shuffled, struct elmo_error *err)
{
    struct length_class classes[BATCHES_MAX_TOKENS + 1] = {{0}};
    size_t n_segments = 0, n_batches = 0;
    draw_segments(b, rng, classes, NULL);
    for (size_t length = 1; length <= BATCHES_MAX_TOKENS; length++) {
        n_batches += count_batches(b, &classes[length], length);
        classes[length].begin = n_segments;
        n_segments += classes[length].n_segments;
        classes[length].n_segments = 0;
    }
    b->n_batches = b->n_segments = b->n_small_batches = 0;
    struct segment *segments = resize(b->segments, n_segments, sizeof *segments);
    b->segments = segments ? segments : b->segments;
    struct batch_range *ranges = resize(b->ranges, n_batches, sizeof *ranges);
    b->ranges = ranges ? ranges : b->ranges;
    if (!segments || !ranges)
        return elmo_fail_nomem(err);
    draw_segments(b, rng, classes, b->segments);
    b->n_segments = n_segments;
    rng_next(&rng); /* the order is drawn from elsewhere than the lengths */
    rng.state = ~rng_next(&rng);
    for (size_t length = 1; shuffled && length <= BATCHES_MAX_TOKENS; length++)
        shuffle_segments(b->segments + classes[length].begin, classes[length].n_segments, &rng);
    make_ranges(b, classes);
    if (shuffled)
        shuffle_ranges(b->ranges, b->n_batches, &rng);
    return 0;
}

int batches_epoch(struct batches *b, uint64_t epoch, struct elmo_error *err)
{
    struct rng rng = {b->seed};
    rng.state = rng_next(&rng) + epoch;
    rng.state = rng_next(&rng);
    return make_batches(b, rng, true, err);
}

int batches_heldout(struct batches *b, struct elmo_error *err)
{
    return make_batches(b, (struct rng){HELDOUT_SEED}, false, err);
}

/* ---- Filling ---- */

/* The word's index in the batch, adding it if it is new. */
static uint32_t local_word(struct batches *b, uint32_t word, size_t *n_words)
{
    if (b->local_of[word] == WORD_NONE) {
        b->words[*n_words] = &b->corpus->words[word];
        b->vocab_ids[*n_words] = b->corpus->vocab_ids[word];
        b->local_of[word] = (uint32_t)(*n_words)++;
    }
    return b->local_of[word];
}

static void forget_words(struct batches *b, size_t n_words)
{
    for (size_t k = 0; k < n_words; k++)
        b->local_of[b->words[k] - b->corpus->words] = WORD_NONE;
}

void batches_fill(struct batches *b, size_t index, struct bilm_batch *ret_batch)
{
    const struct segment *segments = b->segments + b->ranges[index].begin;
    size_t n_segments = b->ranges[index].end - b->ranges[index].begin, n_words = 0;
    uint32_t n_tokens = segments[0].n_tokens, *to = b->positions;
    for (size_t s = 0; s < n_segments; s++) {
        const uint32_t *tokens = b->corpus->tokens + segments[s].begin;
        *to++ = local_word(b, CORPUS_BOS, &n_words);
        for (uint32_t k = 0; k < n_tokens; k++)
            *to++ = local_word(b, tokens[k], &n_words);
        *to++ = local_word(b, CORPUS_EOS, &n_words);
    }
    forget_words(b, n_words);
    *ret_batch = (struct bilm_batch){
        .n_sentences = n_segments,
        .n_steps = n_tokens + 1,
        .positions = b->positions,
        .words = b->words,
        .vocab_ids = b->vocab_ids,
        .n_words = n_words,
    };
}

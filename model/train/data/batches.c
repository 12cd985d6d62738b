#include "batches.h"

#include <math.h>
#include <string.h>

#include "error.h"
#include "sentences.h"
#include "util/rng.h"

#define ONE_SENTENCE_SHARE 0.25
#define MIN_TARGET         16u
#define MAX_TARGET         150u
#define FREE_LENGTH        40u /* up to here a segment keeps the length that it has */
#define LENGTH_STEP        8u  /* beyond, it is a multiple of this */
#define HELDOUT_SEED       0x68656c646f7574u

_Static_assert(BATCHES_MAX_TOKENS % LENGTH_STEP == 0,
               "the longest segment has a length of its own");

struct length_class { /* its segments are [begin, begin + n_segments) */
    size_t begin, n_segments;
};

/* A stage being made. Its segments are added twice: counted first, then, when there is room for
 * them, stored after those of their length. */
struct draft {
    size_t batch_tokens;
    struct length_class classes[BATCHES_MAX_TOKENS + 1]; /* by length */
    size_t n_segments, n_batches, n_small_batches;
    struct segment *segments;   /* [n_segments]; NULL while counting */
    struct batch_range *ranges; /* [n_batches] */
};

void batches_done(struct batches *b)
{
    free(b->weights);
    free(b->ranges);
    free(b->segments);
    free(b->sentence_ends);
    free(b->local_of);
    free(b->positions);
    free(b->vocab_ids);
    free(b->words);
    *b = (struct batches){0};
}

/* False: out of memory. */
static bool reserve_scratch(struct batches *b)
{
    /* A segment of n tokens has n + 2 positions for its n + 1 predictions: at most 3 for 2. */
    size_t most = b->most_batch_tokens, n_bytes, n_words = b->corpus->n_words;
    if (most <= BATCHES_MAX_TOKENS)
        most = BATCHES_MAX_TOKENS + 1;
    if (!mul_ok(most, 2 * sizeof *b->words, &n_bytes))
        return false;
    b->local_of = malloc(n_words * sizeof *b->local_of);
    b->positions = malloc(2 * most * sizeof *b->positions);
    b->vocab_ids = malloc(2 * most * sizeof *b->vocab_ids);
    b->words = malloc(n_bytes);
    if (!b->local_of || !b->positions || !b->vocab_ids || !b->words)
        return false;
    memset(b->local_of, 0xff, n_words * sizeof *b->local_of);
    return true;
}

/* A copy of them, or as many times 1; NULL: out of memory. */
static double *copy_weights(const double *weights, size_t n_parts)
{
    double *copy = calloc(n_parts + 1, sizeof *copy);
    for (size_t k = 0; copy && k < n_parts; k++)
        copy[k] = weights ? weights[k] : 1;
    return copy;
}

int batches_init(struct batches *ret_batches, const struct corpus *corpus, const double *weights,
                 uint64_t seed, size_t most_batch_tokens, struct elmo_error *err)
{
    struct batches b = {.corpus = corpus,
                        .seed = seed,
                        .most_batch_tokens = most_batch_tokens,
                        .position = {.n_stages = 1}};
    if (!corpus->n_tokens)
        return elmo_fail(err, ELMO_E_INVALID, "the corpus was loaded without its text");
    for (size_t k = 0; weights && k < corpus->n_parts; k++)
        if (!corpus_is_weight(weights[k]))
            return elmo_fail(err, ELMO_E_INVALID,
                             "file %zu of the corpus has weight %g: above 0 and at most %d", k + 1,
                             weights[k], CORPUS_MAX_WEIGHT);
    b.weights = copy_weights(weights, corpus->n_parts);
    b.sentence_ends = sentences_find(corpus);
    if (!b.weights || !b.sentence_ends || !reserve_scratch(&b)) {
        batches_done(&b);
        return elmo_fail_nomem(err);
    }
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

static void draft_add(struct draft *d, struct segment segment)
{
    struct length_class *class = &d->classes[segment.n_tokens];
    if (d->segments)
        d->segments[class->begin + class->n_segments] = segment;
    else
        d->n_segments++;
    class->n_segments++;
}

static void draw_line(const struct batches *b, size_t line, struct rng *rng, struct draft *d)
{
    const size_t *begins = b->corpus->line_begins;
    bool in_sentence = false;
    for (size_t at = begins[line], end = begins[line + 1], n; at < end; at += n) {
        n = segment_length(b, at, end, in_sentence, rng);
        in_sentence = !sentences_ends_at(b->sentence_ends, at + n - 1);
        draft_add(d, (struct segment){at, (uint32_t)n});
    }
}

/* How often an epoch takes a line. Each line has a phase of its own, drawn from the seed; each
 * epoch adds the weight to it, and takes the line once for each whole number that it passes. In 64
 * bits of fixed point, where an overflow is the next whole number: no epoch is too late for it. */
static size_t n_copies(double weight, uint64_t phase, uint64_t epoch)
{
    double whole = floor(weight);
    uint64_t part = (uint64_t)((weight - whole) * 0x1p64), before = phase + epoch * part;
    return (size_t)whole + (before + part < part);
}

/* All segments, in the order of the corpus; each line once without weights. */
static void draw_segments(const struct batches *b, const double *weights, uint64_t epoch,
                          struct rng rng, struct draft *d)
{
    struct rng key = {~b->seed};
    uint64_t phases = rng_next(&key);
    for (size_t p = 0; p < b->corpus->n_parts; p++) {
        const struct corpus_part *part = &b->corpus->parts[p];
        for (size_t line = part->begin_line; line < part->end_line; line++) {
            struct rng phase = {phases + line};
            size_t n = weights ? n_copies(weights[p], rng_next(&phase), epoch) : 1;
            while (n--)
                draw_line(b, line, &rng, d);
        }
    }
}

/* The segments of the batches that are not taken. */
static void add_untaken(const struct batches *b, struct draft *d)
{
    for (size_t k = b->n_batches - batches_left(b); k < b->n_batches; k++)
        for (size_t s = b->ranges[k].begin; s < b->ranges[k].end; s++)
            draft_add(d, b->segments[s]);
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

static size_t count_batches(const struct draft *d, size_t length)
{
    size_t full = d->batch_tokens / (length + 1), n_segments = d->classes[length].n_segments;
    if (!full)
        full = 1;
    return n_segments / full + (n_segments % full != 0);
}

/* Splits each class evenly, so that no batch is a mere rest. */
static void make_ranges(struct draft *d)
{
    struct batch_range *range = d->ranges;
    for (size_t length = 1; length <= BATCHES_MAX_TOKENS; length++) {
        const struct length_class *class = &d->classes[length];
        size_t n = count_batches(d, length), begin = class->begin;
        for (size_t k = 0; k < n; k++) {
            size_t end = begin + class->n_segments / n + (k < class->n_segments % n);
            *range++ = (struct batch_range){begin, end};
            d->n_small_batches += (end - begin) * (length + 1) < d->batch_tokens / 2;
            begin = end;
        }
    }
}

/* Room for the segments that were counted and for their batches; nothing to free if it fails. */
static int draft_reserve(struct draft *d, struct elmo_error *err)
{
    size_t begin = 0, n_segment_bytes, n_range_bytes;
    for (size_t length = 1; length <= BATCHES_MAX_TOKENS; length++) {
        d->n_batches += count_batches(d, length);
        d->classes[length].begin = begin;
        begin += d->classes[length].n_segments;
        d->classes[length].n_segments = 0;
    }
    if (!mul_ok(d->n_segments + 1, sizeof *d->segments, &n_segment_bytes) ||
        !mul_ok(d->n_batches + 1, sizeof *d->ranges, &n_range_bytes))
        return elmo_fail_nomem(err);
    d->segments = malloc(n_segment_bytes);
    d->ranges = malloc(n_range_bytes);
    if (d->segments && d->ranges)
        return 0;
    free(d->segments);
    free(d->ranges);
    return elmo_fail_nomem(err);
}

/* Makes the batches of the segments; in order without an rng. */
static void draft_group(struct draft *d, struct rng *rng)
{
    for (size_t length = 1; rng && length <= BATCHES_MAX_TOKENS; length++)
        shuffle_segments(d->segments + d->classes[length].begin, d->classes[length].n_segments,
                         rng);
    make_ranges(d);
    if (rng)
        shuffle_ranges(d->ranges, d->n_batches, rng);
}

/* The draft is the current stage from here on. */
static void take_over(struct batches *b, const struct draft *d)
{
    free(b->segments);
    free(b->ranges);
    b->segments = d->segments;
    b->ranges = d->ranges;
    b->n_segments = d->n_segments;
    b->n_batches = d->n_batches;
    b->n_small_batches = d->n_small_batches;
}

/* ---- Epochs and stages ---- */

static int check_size(const struct batches *b, size_t batch_tokens, struct elmo_error *err)
{
    if (batch_tokens >= 1 && batch_tokens <= b->most_batch_tokens)
        return 0;
    return elmo_fail(err, ELMO_E_INVALID, "batches of %zu tokens: at least 1 and at most %zu",
                     batch_tokens, b->most_batch_tokens);
}

/* The first stage of an epoch; its lengths are drawn from rng. With weights, its order too; without
 * them, it is the held-out text's. */
static int begin_epoch(struct batches *b, const double *weights, uint64_t epoch,
                       size_t batch_tokens, struct rng rng, struct elmo_error *err)
{
    struct draft d = {.batch_tokens = batch_tokens};
    int r = check_size(b, batch_tokens, err);
    if (r)
        return r;
    draw_segments(b, weights, epoch, rng, &d);
    if (!d.n_segments)
        return elmo_fail(err, ELMO_E_INVALID,
                         "epoch %llu has not one line: the weights of the corpus are too small",
                         (unsigned long long)epoch);
    r = draft_reserve(&d, err);
    if (r)
        return r;
    draw_segments(b, weights, epoch, rng, &d);
    rng_next(&rng); /* the order is drawn from elsewhere than the lengths */
    rng.state = ~rng_next(&rng);
    draft_group(&d, weights ? &rng : NULL);
    take_over(b, &d);
    b->position = (struct batches_position){epoch, 1, {{batch_tokens, 0}}};
    b->n_taken_predictions = b->n_predictions = 0;
    for (size_t length = 1; length <= BATCHES_MAX_TOKENS; length++)
        b->n_predictions += d.classes[length].n_segments * (length + 1);
    return 0;
}

static struct rng epoch_rng(const struct batches *b, uint64_t epoch)
{
    struct rng rng = {b->seed};
    rng.state = rng_next(&rng) + epoch;
    rng.state = rng_next(&rng);
    return rng;
}

int batches_epoch(struct batches *b, uint64_t epoch, size_t batch_tokens, struct elmo_error *err)
{
    return begin_epoch(b, b->weights, epoch, batch_tokens, epoch_rng(b, epoch), err);
}

int batches_heldout(struct batches *b, size_t batch_tokens, struct elmo_error *err)
{
    return begin_epoch(b, NULL, 0, batch_tokens, (struct rng){HELDOUT_SEED}, err);
}

/* Of the stage that follows n_stages others. */
static struct rng stage_rng(const struct batches *b, size_t batch_tokens, size_t n_stages)
{
    struct rng rng = epoch_rng(b, b->position.epoch);
    rng.state = rng_next(&rng) + batch_tokens;
    rng.state = rng_next(&rng) + n_stages;
    rng.state = rng_next(&rng);
    return rng;
}

int batches_resize(struct batches *b, size_t batch_tokens, struct elmo_error *err)
{
    struct batches_position *at = &b->position;
    struct draft d = {.batch_tokens = batch_tokens};
    struct rng rng = stage_rng(b, batch_tokens, at->n_stages);
    int r = check_size(b, batch_tokens, err);
    if (r || batch_tokens == batches_size(b))
        return r;
    if (at->n_stages == BATCHES_MAX_STAGES)
        return elmo_fail(err, ELMO_E_INVALID,
                         "the size of the batches changes too often: at most %u times an epoch",
                         BATCHES_MAX_STAGES - 1);
    add_untaken(b, &d);
    r = draft_reserve(&d, err);
    if (r)
        return r;
    add_untaken(b, &d);
    draft_group(&d, &rng);
    take_over(b, &d);
    at->stages[at->n_stages++] = (struct batches_stage){batch_tokens, 0};
    return 0;
}

/* ---- The position ---- */

size_t batches_skip(struct batches *b, size_t n)
{
    size_t left = batches_left(b), next = b->n_batches - left;
    if (n > left)
        n = left;
    for (size_t k = next; k < next + n; k++) {
        const struct batch_range *range = &b->ranges[k];
        b->n_taken_predictions +=
            (range->end - range->begin) * (b->segments[range->begin].n_tokens + 1);
    }
    b->position.stages[b->position.n_stages - 1].n_taken += n;
    return n;
}

bool batches_take(struct batches *b, struct bilm_batch *ret_batch)
{
    size_t index = b->n_batches - batches_left(b);
    if (!batches_skip(b, 1))
        return false;
    batches_fill(b, index, ret_batch);
    return true;
}

double batches_taken_share(const struct batches *b)
{
    return b->n_predictions ? (double)b->n_taken_predictions / (double)b->n_predictions : 0;
}

static int fail_position(struct elmo_error *err)
{
    return elmo_fail(
        err, ELMO_E_INVALID,
        "the position in the data is not one of this corpus, its weights and the seed");
}

int batches_seek(struct batches *b, const struct batches_position *position, struct elmo_error *err)
{
    const struct batches_position to = *position; /* it may be that of b */
    if (to.n_stages < 1 || to.n_stages > BATCHES_MAX_STAGES)
        return fail_position(err);
    int r = batches_epoch(b, to.epoch, to.stages[0].batch_tokens, err);
    for (size_t k = 0; !r && k < to.n_stages; k++) {
        if (k)
            r = batches_resize(b, to.stages[k].batch_tokens, err);
        if (!r && (b->position.n_stages != k + 1 ||
                   batches_skip(b, to.stages[k].n_taken) != to.stages[k].n_taken))
            r = fail_position(err);
    }
    return r;
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

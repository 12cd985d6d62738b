/* Segments and batches: nothing is lost or doubled, lengths coincide, and the seed and the epoch
 * decide everything. The corpora are random texts, read as any corpus is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "support/train_files.h"
#include "train/data/batches.h"
#include "train/data/sentences.h"
#include "util/fnv.h"
#include "util/rng.h"

static void load(struct corpus *ret_corpus, const char *text)
{
    const struct corpus_settings white = {.tokenizer = TOKENIZER_WHITESPACE};
    char *path = train_write(group_dir.path, "corpus", text, strlen(text), TRAIN_PLAIN);
    assert_int_equal(corpus_load(ret_corpus, (const char *const[]){path}, 1, &white, NULL), 0);
    free(path);
}

/* Paragraphs of 1..max_sentences sentences of 1..max_words words; free() it. */
static char *random_text(struct rng *rng, size_t n_paragraphs, size_t max_sentences,
                         size_t max_words)
{
    char *text;
    size_t n_bytes;
    FILE *out = open_memstream(&text, &n_bytes);
    for (size_t p = 0; p < n_paragraphs; p++) {
        for (size_t s = rng_next(rng) % max_sentences + 1; s > 0; s--) {
            for (size_t w = rng_next(rng) % max_words; w > 0; w--)
                fprintf(out, "w%u ", (unsigned)(rng_next(rng) % 500));
            fputs(". ", out);
        }
        putc('\n', out);
    }
    fclose(out);
    return text;
}

static void load_random(struct corpus *ret_corpus, uint64_t seed, size_t n_paragraphs,
                        size_t max_sentences, size_t max_words)
{
    struct rng rng = {seed};
    char *text = random_text(&rng, n_paragraphs, max_sentences, max_words);
    load(ret_corpus, text);
    free(text);
}

enum { N_PARTS = 3 };

/* The same, as N_PARTS files of n_paragraphs each. */
static void load_parts(struct corpus *ret_corpus, uint64_t seed, size_t n_paragraphs,
                       size_t max_sentences, size_t max_words)
{
    const struct corpus_settings white = {.tokenizer = TOKENIZER_WHITESPACE};
    struct rng rng = {seed};
    char *paths[N_PARTS], name[20];
    for (size_t k = 0; k < N_PARTS; k++) {
        char *text = random_text(&rng, n_paragraphs, max_sentences, max_words);
        snprintf(name, sizeof name, "part%zu", k);
        paths[k] = train_write(group_dir.path, name, text, strlen(text), TRAIN_PLAIN);
        free(text);
    }
    const char *const files[N_PARTS] = {paths[0], paths[1], paths[2]};
    assert_int_equal(corpus_load(ret_corpus, files, N_PARTS, &white, NULL), 0);
    for (size_t k = 0; k < N_PARTS; k++)
        free(paths[k]);
}

static void init(struct batches *ret_batches, const struct corpus *corpus, uint64_t seed,
                 size_t batch_tokens, uint64_t epoch)
{
    assert_int_equal(batches_init(ret_batches, corpus, NULL, seed, batch_tokens, NULL), 0);
    assert_int_equal(batches_epoch(ret_batches, epoch, batch_tokens, NULL), 0);
}

/* FNV-1a of all that batches [begin, n_batches) say. */
static uint64_t digest(struct batches *b, size_t begin)
{
    uint64_t h = FNV_BASIS;
    for (size_t k = begin; k < b->n_batches; k++) {
        struct bilm_batch batch;
        batches_fill(b, k, &batch);
        h = fnv_step(h, batch.n_sentences);
        for (size_t p = 0; p < batch.n_sentences * (batch.n_steps + 1); p++) {
            uint32_t word = batch.positions[p];
            h = fnv_step(h, word);
            h = fnv_step(h, (uint64_t)(batch.words[word] - b->corpus->words));
        }
    }
    return h;
}

/* ---- Sentences ---- */

static void sentences_end_at_marks_and_what_closes_them(void **state)
{
    (void)state;
    static const char *const cases[] = {/* '|' stands behind each sentence */
                                        "one",
                                        "one . | two",
                                        "one . | two ! | three ? |",
                                        "\" Stop ! \" | he said . |",
                                        "He said : \" Stop ! \" | \" Why ? \" | she asked .",
                                        "' Stop ! ' | he said .",
                                        "end . | \" Next . \" | he",
                                        "( why ? ) | and ) so",
                                        "wait . . . | what ?! \u201d ) | yes",
                                        "\u201c Oh ! \u201d | \u00ab no . \u00bb | end",
                                        "end. | next one.\" | third!') | fourth",
                                        "3.5 e.g., . . | next",
                                        "\" \" \" a"};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        char text[200] = {0}, found[200] = {0}, expected[200] = {0};
        struct corpus c;
        for (const char *at = cases[k]; *at; at++)
            if (*at != '|')
                strncat(text, at, 1);
        load(&c, text);
        uint8_t *ends = sentences_find(&c);
        assert_non_null(ends);
        for (size_t t = 0; t < c.n_tokens; t++) {
            const struct elmo_token *word = &c.words[c.tokens[t]];
            strncat(found, word->bytes, word->n_bytes);
            strcat(found, sentences_ends_at(ends, t) && t + 1 < c.n_tokens ? "|" : " ");
        }
        for (const char *at = cases[k]; *at; at++) {
            if (*at == '|')
                expected[strlen(expected) - 1] = '|';
            else if (at == cases[k] || at[-1] != '|')
                strncat(expected, at, 1);
        }
        if (found[strlen(found) - 1] == ' ')
            found[strlen(found) - 1] = '\0';
        if (expected[strlen(expected) - 1] == '|')
            expected[strlen(expected) - 1] = '\0';
        assert_string_equal(found, expected);
        assert_true(sentences_ends_at(ends, c.n_tokens - 1));
        free(ends);
        corpus_done(&c);
    }
}

/* ---- Every token once ---- */

static void check_segments(const struct batches *b)
{
    const struct corpus *c = b->corpus;
    char *seen = calloc(c->n_tokens, 1), *starts = calloc(c->n_tokens + 1, 1);
    for (size_t k = 0; k < c->n_lines; k++)
        starts[c->line_begins[k]] = 1;
    for (size_t k = 0; k < b->n_segments; k++) {
        struct segment s = b->segments[k];
        assert_in_range(s.n_tokens, 1, BATCHES_MAX_TOKENS);
        if (s.n_tokens > 40)
            assert_int_equal(s.n_tokens % 8, 0);
        for (uint32_t t = 0; t < s.n_tokens; t++) {
            assert_int_equal(seen[s.begin + t], 0);
            seen[s.begin + t] = 1;
            if (t > 0) /* no paragraph begins inside */
                assert_int_equal(starts[s.begin + t], 0);
        }
    }
    assert_null(memchr(seen, 0, c->n_tokens));
    free(seen);
    free(starts);
}

/* The batches say what the segments are, and hold each once. */
static void check_batches(struct batches *b)
{
    const struct corpus *c = b->corpus;
    uint64_t *left = calloc(c->n_words, sizeof *left);
    char *used = calloc(b->n_segments, 1);
    memcpy(left, c->counts, c->n_words * sizeof *left);
    for (size_t k = 0; k < b->n_batches; k++) {
        struct bilm_batch batch;
        batches_fill(b, k, &batch);
        assert_true(batch.n_sentences == 1 || batch.n_sentences * batch.n_steps <= batches_size(b));
        assert_int_equal(batch.n_sentences, b->ranges[k].end - b->ranges[k].begin);
        for (size_t s = 0; s < batch.n_sentences; s++) {
            const uint32_t *at = batch.positions + s * (batch.n_steps + 1);
            const struct segment *segment = &b->segments[b->ranges[k].begin + s];
            assert_int_equal(used[segment - b->segments]++, 0);
            assert_int_equal(segment->n_tokens, batch.n_steps - 1);
            assert_ptr_equal(batch.words[at[0]], &c->words[CORPUS_BOS]);
            assert_ptr_equal(batch.words[at[batch.n_steps]], &c->words[CORPUS_EOS]);
            for (size_t t = 1; t < batch.n_steps; t++) {
                uint32_t word = c->tokens[segment->begin + t - 1];
                assert_ptr_equal(batch.words[at[t]], &c->words[word]);
                assert_true(left[word]-- > 0);
            }
        }
        for (size_t w = 0; w < batch.n_words; w++) {
            size_t word = (size_t)(batch.words[w] - c->words);
            assert_int_equal(batch.vocab_ids[w], c->vocab_ids[word]);
            for (size_t other = 0; other < w; other++)
                assert_ptr_not_equal(batch.words[w], batch.words[other]);
        }
    }
    for (size_t k = 0; k < c->n_words; k++)
        assert_int_equal(left[k], 0);
    assert_null(memchr(used, 0, b->n_segments));
    free(left);
    free(used);
}

static void every_token_is_there_once_in_an_epoch(void **state)
{
    (void)state;
    static const struct {
        size_t n_paragraphs, max_sentences, max_words, batch_tokens;
    } cases[] = {
        {1, 1, 1, 2048},   {1, 1, 400, 64}, {300, 1, 30, 256}, {100, 20, 30, 2048},
        {30, 3, 300, 500}, {500, 4, 12, 1}, {3, 300, 40, 153}, {200, 2, 3, 100000},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct corpus c;
        struct batches b;
        load_random(&c, 31 + k, cases[k].n_paragraphs, cases[k].max_sentences, cases[k].max_words);
        init(&b, &c, k, cases[k].batch_tokens, 0);
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            assert_int_equal(batches_epoch(&b, epoch, batches_size(&b), NULL), 0);
            check_segments(&b);
            check_batches(&b);
        }
        assert_int_equal(batches_heldout(&b, batches_size(&b), NULL), 0);
        check_segments(&b);
        check_batches(&b);
        batches_done(&b);
        corpus_done(&c);
    }
}

static void a_paragraph_without_sentences_is_cut_to_the_longest_segments(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    char text[4000] = {0};
    for (int k = 0; k < 1000; k++)
        strcat(text, "a ");
    load(&c, text);
    init(&b, &c, 1, 2048, 0);
    check_segments(&b);
    assert_int_equal(b.n_segments, 7); /* 6 of 152, and 88 */
    batches_done(&b);
    corpus_done(&c);
}

static void no_crumbs_are_left_of_a_paragraph(void **state)
{
    (void)state;
    for (size_t n = 41; n < 200; n++) { /* one sentence of n tokens: too long to keep its length */
        struct corpus c;
        struct batches b;
        char text[500] = {0};
        for (size_t k = 0; k < n; k++)
            strcat(text, "a ");
        load(&c, text);
        init(&b, &c, n, 2048, 0);
        check_segments(&b);
        for (size_t k = 0; k < b.n_segments; k++)
            assert_true(b.segments[k].n_tokens >= 8);
        batches_done(&b);
        corpus_done(&c);
    }
}

static void a_quarter_of_the_segments_are_single_sentences(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    char *text;
    size_t n_bytes, n_single = 0, n_long = 0;
    FILE *out = open_memstream(&text, &n_bytes);
    for (int k = 0; k < 50; k++) {
        for (int s = 0; s < 400; s++)
            fputs("a b c d . ", out);
        putc('\n', out);
    }
    fclose(out);
    load(&c, text);
    init(&b, &c, 7, 2048, 0);
    check_segments(&b);
    for (size_t k = 0; k < b.n_segments; k++) {
        n_single += b.segments[k].n_tokens <= 10; /* behind a cut: with what was left of the last */
        n_long += b.segments[k].n_tokens > 75;
    }
    assert_in_range(n_single * 100 / b.n_segments, 20, 30);
    assert_in_range(n_long * 100 / b.n_segments, 35, 50);
    free(text);
    batches_done(&b);
    corpus_done(&c);
}

/* ---- Determinism ---- */

static void seed_and_epoch_decide_everything(void **state)
{
    (void)state;
    struct corpus c;
    struct batches a, b;
    load_random(&c, 5, 200, 20, 30);
    init(&a, &c, 1, 512, 3);
    init(&b, &c, 1, 512, 0);
    uint64_t first = digest(&b, 0);
    assert_int_equal(batches_epoch(&b, 3, batches_size(&b), NULL), 0);
    uint64_t third = digest(&a, 0);
    assert_int_equal(digest(&b, 0), third); /* whatever came before */
    assert_true(first != third);
    batches_done(&b);
    init(&b, &c, 2, 512, 3);
    assert_true(digest(&b, 0) != third);
    batches_done(&a);
    batches_done(&b);
    corpus_done(&c);
}

static void a_run_goes_on_where_it_was(void **state)
{
    (void)state;
    struct corpus c;
    struct batches run, resumed;
    struct bilm_batch batch;
    load_random(&c, 6, 200, 20, 30);
    init(&run, &c, 9, 512, 0);
    assert_int_equal(batches_epoch(&run, 1, batches_size(&run), NULL), 0);
    size_t half = run.n_batches / 2;
    assert_true(half > 10);
    for (size_t k = 0; k < half; k++)
        batches_fill(&run, k, &batch);
    init(&resumed, &c, 9, 512, 1);
    assert_int_equal(resumed.n_batches, run.n_batches);
    assert_true(digest(&resumed, half) == digest(&run, half));
    batches_done(&run);
    batches_done(&resumed);
    corpus_done(&c);
}

/* A checkpoint counts the batches that are taken: another order would tear every run that goes on
 * from an earlier one. */
static void the_order_is_that_of_earlier_checkpoints(void **state)
{
    (void)state;
    static const uint64_t epochs[] = {0x66401877e03ac03c, 0x3e6178172be2417a, 0x72edaba0fe0142c5},
                          heldout = 0x608d01607ce1bc93, weighted = 0x32f73e9ea82aabd5,
                          stage = 0x61eda564c6ae0bd0;
    const double weight = 1.5;
    struct corpus c;
    struct batches b;
    load_random(&c, 6, 200, 20, 30);
    init(&b, &c, 9, 512, 0);
    for (uint64_t epoch = 0; epoch < ARRAY_LEN(epochs); epoch++) {
        assert_int_equal(batches_epoch(&b, epoch, 512, NULL), 0);
        assert_true(digest(&b, 0) == epochs[epoch]);
    }
    const struct batches_position at = {1, 3, {{512, 7}, {200, 3}, {400, 2}}};
    assert_int_equal(batches_seek(&b, &at, NULL), 0);
    assert_true(digest(&b, 0) == stage);
    assert_int_equal(batches_heldout(&b, 512, NULL), 0);
    assert_true(digest(&b, 0) == heldout);
    batches_done(&b);
    assert_int_equal(batches_init(&b, &c, &weight, 9, 512, NULL), 0);
    assert_int_equal(batches_epoch(&b, 1, 512, NULL), 0);
    assert_true(digest(&b, 0) == weighted);
    batches_done(&b);
    corpus_done(&c);
}

static void batches_of_an_epoch_are_shuffled(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    load_random(&c, 8, 300, 20, 30);
    init(&b, &c, 4, 512, 0);
    size_t n_down = 0, n_near = 0;
    for (size_t k = 1; k < b.n_batches; k++)
        n_down += b.ranges[k].begin < b.ranges[k - 1].begin;
    assert_in_range(n_down * 100 / b.n_batches, 35, 65);
    for (size_t k = 1; k < b.n_segments; k++)
        n_near += b.segments[k].begin > b.segments[k - 1].begin;
    assert_in_range(n_near * 100 / b.n_segments, 35, 65);
    batches_done(&b);
    corpus_done(&c);
}

static void held_out_text_has_one_segmentation_in_order(void **state)
{
    (void)state;
    struct corpus c;
    struct batches a, b;
    load_random(&c, 10, 200, 20, 30);
    init(&a, &c, 1, 512, 0);
    init(&b, &c, 2, 512, 5);
    assert_int_equal(batches_heldout(&a, batches_size(&a), NULL), 0);
    assert_int_equal(batches_heldout(&b, batches_size(&b), NULL), 0);
    assert_true(digest(&a, 0) == digest(&b, 0));
    for (size_t k = 1; k < a.n_segments; k++) {
        const struct segment *s = &a.segments[k];
        assert_true(s[-1].n_tokens < s->n_tokens ||
                    (s[-1].n_tokens == s->n_tokens && s[-1].begin < s->begin));
    }
    for (size_t k = 1; k < a.n_batches; k++)
        assert_int_equal(a.ranges[k].begin, a.ranges[k - 1].end);
    batches_done(&a);
    batches_done(&b);
    corpus_done(&c);
}

/* ---- Weights ---- */

/* How often the epoch takes each line: its first token stands for it. */
static void count_lines(struct batches *b, uint64_t epoch, size_t *ret_counts)
{
    const struct corpus *c = b->corpus;
    size_t *counts = calloc(c->n_tokens, sizeof *counts);
    assert_int_equal(batches_epoch(b, epoch, batches_size(b), NULL), 0);
    for (size_t k = 0; k < b->n_segments; k++)
        counts[b->segments[k].begin]++;
    for (size_t line = 0; line < c->n_lines; line++)
        ret_counts[line] = counts[c->line_begins[line]];
    free(counts);
}

static void epochs_together_take_each_line_by_its_weight(void **state)
{
    (void)state;
    static const double cases[][N_PARTS] = {{1, 1, 1},      {2, 1, 3},       {0.5, 1, 0.5},
                                            {2.5, 0.25, 1}, {0.1, 0.9, 7.3}, {1e-12, 1, 1.0 / 3}};
    static const uint64_t first_epochs[] = {0, 1, 77, UINT64_C(1) << 53, UINT64_MAX - 30};
    enum { N_LINES = 400, N_EPOCHS = 20 };
    struct corpus c;
    load_parts(&c, 3, N_LINES, 2, 4);
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        for (size_t f = 0; f < ARRAY_LEN(first_epochs); f++) {
            static size_t counts[N_EPOCHS][N_PARTS * N_LINES];
            struct batches b;
            assert_int_equal(batches_init(&b, &c, cases[k], 5, 300, NULL), 0);
            assert_int_equal(batches_epoch(&b, 0, 300, NULL), 0);
            for (uint64_t e = 0; e < N_EPOCHS; e++)
                count_lines(&b, first_epochs[f] + e, counts[e]);
            for (size_t line = 0; line < c.n_lines; line++) {
                double weight = cases[k][line / N_LINES], n = 0;
                for (size_t e = 0; e < N_EPOCHS; e++) {
                    assert_in_range(counts[e][line], (size_t)floor(weight), (size_t)ceil(weight));
                    n += (double)counts[e][line];
                    assert_true(fabs(n - (double)(e + 1) * weight) < 1);
                }
            }
            batches_done(&b);
        }
    corpus_done(&c);
}

static void a_half_of_the_lines_is_random_and_another_in_the_next_epoch(void **state)
{
    (void)state;
    enum { N_LINES = 1000, N = N_PARTS * N_LINES };
    static size_t counts[4][N];
    const double weights[N_PARTS] = {0.5, 2.5, 0.2};
    struct corpus c;
    struct batches b;
    load_parts(&c, 3, N_LINES, 2, 4);
    for (size_t k = 0; k < 4; k++) { /* seeds 5 and 6, two epochs each */
        assert_int_equal(batches_init(&b, &c, weights, 5 + k / 2, 300, NULL), 0);
        assert_int_equal(batches_epoch(&b, 0, 300, NULL), 0);
        count_lines(&b, k % 2, counts[k]);
        batches_done(&b);
    }
    size_t n_taken = 0, n_extra = 0, n_rare = 0, n_runs = 0, n_both_seeds = 0, n_shifted = 0;
    for (size_t line = 0; line < N_LINES; line++) {
        n_taken += counts[0][line];
        n_extra += counts[0][N_LINES + line] - 2;
        n_rare += counts[0][2 * N_LINES + line];
        n_runs += line && counts[0][line] != counts[0][line - 1];
        n_both_seeds += counts[0][line] && counts[2][line];
        n_shifted += line && counts[0][line] == counts[2][line - 1];
        assert_int_equal(counts[0][line] + counts[1][line], 1);
    }
    assert_in_range(n_taken, 450, 550);
    assert_in_range(n_extra, 450, 550);
    assert_in_range(n_rare, 160, 240);
    assert_in_range(n_runs, 450, 550); /* not every other line, nor the first half */
    assert_in_range(n_both_seeds, 200, 300);
    assert_in_range(n_shifted, 450, 550);
    corpus_done(&c);
}

static void weights_of_1_and_files_change_nothing(void **state)
{
    (void)state;
    const double ones[N_PARTS] = {1, 1, 1};
    struct corpus parts, one;
    struct batches a, b;
    load_parts(&parts, 6, 50, 20, 30);
    load_random(&one, 6, N_PARTS * 50, 20, 30);
    assert_int_equal(batches_init(&a, &parts, ones, 9, 512, NULL), 0);
    assert_int_equal(batches_epoch(&a, 2, 512, NULL), 0);
    init(&b, &one, 9, 512, 2);
    assert_true(digest(&a, 0) == digest(&b, 0));
    assert_true(b.weights[0] == 1);
    batches_done(&b);
    init(&b, &parts, 9, 512, 2);
    assert_true(digest(&a, 0) == digest(&b, 0));
    for (size_t k = 0; k < N_PARTS; k++)
        assert_true(b.weights[k] == 1);
    batches_done(&a);
    batches_done(&b);
    corpus_done(&parts);
    corpus_done(&one);
}

static void a_line_taken_twice_is_cut_in_two_ways(void **state)
{
    (void)state;
    const double weight = 2;
    struct corpus c;
    struct batches b;
    load_random(&c, 8, 20, 300, 8);
    assert_int_equal(batches_init(&b, &c, &weight, 4, 512, NULL), 0);
    assert_int_equal(batches_epoch(&b, 0, 512, NULL), 0);
    size_t n_twice = 0;
    for (size_t k = 0; k < b.n_segments; k++)
        for (size_t other = 0; other < k; other++)
            n_twice += b.segments[k].begin == b.segments[other].begin;
    assert_true(n_twice * 4 < b.n_segments);
    batches_done(&b);
    corpus_done(&c);
}

static void held_out_text_has_each_line_once_whatever_its_weight(void **state)
{
    (void)state;
    const double weights[N_PARTS] = {0.5, 2, 3.5};
    struct corpus c;
    struct batches b;
    load_parts(&c, 3, 50, 5, 20);
    assert_int_equal(batches_init(&b, &c, weights, 1, 300, NULL), 0);
    assert_int_equal(batches_heldout(&b, 300, NULL), 0);
    check_segments(&b);
    check_batches(&b);
    batches_done(&b);
    corpus_done(&c);
}

static void weights_are_copied_and_checked(void **state)
{
    (void)state;
    static const double bad[] = {0, -1, 1000.5, (double)INFINITY, (double)NAN};
    struct corpus c;
    struct batches b;
    load_parts(&c, 3, 5, 5, 20);
    double weights[N_PARTS] = {0.5, 1000, 3.5};
    assert_int_equal(batches_init(&b, &c, weights, 1, 300, NULL), 0);
    weights[1] = 2;
    assert_true(b.weights[0] == 0.5 && b.weights[1] == 1000 && b.weights[2] == 3.5);
    batches_done(&b);
    for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
        struct elmo_error err = {0};
        weights[2] = bad[k];
        assert_int_equal(batches_init(&b, &c, weights, 1, 300, &err), ELMO_E_INVALID);
        assert_non_null(strstr(err.message, "file 3 of the corpus"));
        assert_non_null(strstr(err.message, "at most 1000"));
    }
    corpus_done(&c);
}

static void an_epoch_without_lines_is_an_error(void **state)
{
    (void)state;
    const double weight = 1e-9;
    struct corpus c;
    struct batches b;
    struct elmo_error err = {0};
    load_random(&c, 8, 10, 5, 8);
    assert_int_equal(batches_init(&b, &c, &weight, 4, 512, NULL), 0);
    assert_int_equal(batches_epoch(&b, 7, 512, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "epoch 7 has not one line"));
    batches_done(&b);
    corpus_done(&c);
}

/* ---- Stages and positions ---- */

enum { MOST = 600 };

/* An epoch whose size changes at random steps; it depends on (seed, step) only. */
struct changing {
    uint64_t seed, odds; /* one step in `odds` has another size */
};

static void resize_or_not(struct batches *b, const struct changing *how, size_t step)
{
    static const size_t sizes[] = {1, 30, 100, 153, 250, 400, MOST};
    struct rng rng = {how->seed + step};
    if (rng_next(&rng) % how->odds == 0 && b->position.n_stages < BATCHES_MAX_STAGES)
        assert_int_equal(batches_resize(b, sizes[rng_next(&rng) % ARRAY_LEN(sizes)], NULL), 0);
}

/* Takes the next batch, which must be what its segments say; counts its tokens. */
static uint64_t take_one(struct batches *b, uint8_t *counts)
{
    const struct corpus *c = b->corpus;
    size_t index = b->n_batches - batches_left(b);
    const struct segment *segments = &b->segments[b->ranges[index].begin];
    uint64_t h = FNV_BASIS, before = b->n_taken_predictions;
    struct bilm_batch batch;
    assert_true(batches_take(b, &batch));
    assert_true(batch.n_sentences == 1 || batch.n_sentences * batch.n_steps <= batches_size(b));
    assert_int_equal(b->n_taken_predictions - before, batch.n_sentences * batch.n_steps);
    for (size_t s = 0; s < batch.n_sentences; s++)
        for (size_t t = 1; t < batch.n_steps; t++) {
            size_t token = segments[s].begin + t - 1;
            assert_int_equal(segments[s].n_tokens, batch.n_steps - 1);
            uint32_t word = batch.positions[s * (batch.n_steps + 1) + t];
            assert_ptr_equal(batch.words[word], &c->words[c->tokens[token]]);
            h = fnv_step(h, token);
            if (counts)
                counts[token]++;
        }
    return h;
}

/* Takes all batches from `step` on, each of the `n_saved` first positions before its step is saved;
 * returns the number of steps. rest[k]: what the batches from step k on say. */
static size_t take_rest(struct batches *b, const struct changing *how, size_t step, uint8_t *counts,
                        struct batches_position *saved, uint64_t *rest, size_t capacity)
{
    size_t first = step;
    for (;; step++) {
        assert_true(step < capacity);
        if (saved)
            saved[step] = b->position;
        resize_or_not(b, how, step);
        if (!batches_left(b))
            break;
        rest[step] = take_one(b, counts);
    }
    rest[step] = FNV_BASIS;
    for (size_t k = step; k > first; k--)
        rest[k - 1] = fnv_step(rest[k], rest[k - 1]);
    return step;
}

/* Fails unless the lines of each part are taken as often as the part's weight says. */
static void check_counts(const struct corpus *c, const double *weights, const uint8_t *counts)
{
    for (size_t p = 0; p < N_PARTS; p++)
        for (size_t line = c->parts[p].begin_line; line < c->parts[p].end_line; line++) {
            size_t begin = c->line_begins[line], end = c->line_begins[line + 1];
            assert_in_range(counts[begin], (size_t)floor(weights[p]), (size_t)ceil(weights[p]));
            for (size_t t = begin; t < end; t++)
                assert_int_equal(counts[t], counts[begin]);
        }
}

static void any_sizes_take_every_token_by_its_weight_and_can_be_resumed(void **state)
{
    (void)state;
    static const struct {
        size_t n_paragraphs, max_sentences, max_words, batch_tokens;
        uint64_t odds;
        double weights[N_PARTS];
    } cases[] = {
        {1, 1, 1, 100, 2, {1, 1, 1}},      {20, 1, 30, 100, 3, {1, 1, 1}},
        {20, 5, 30, 250, 20, {1, 2, 0.5}}, {3, 3, 300, 400, 4, {1, 1, 1}},
        {25, 4, 12, 1, 9, {2.5, 0.25, 1}}, {1, 50, 40, 153, 5, {3, 3, 3}},
        {30, 10, 30, MOST, 9, {1, 1, 1}},  {20, 5, 30, 300, 1, {0.1, 1.75, 0.9}},
    };
    enum { CAPACITY = 4000 };
    struct batches_position *saved = calloc(CAPACITY, sizeof *saved);
    uint64_t *rest = calloc(CAPACITY, sizeof *rest), *again = calloc(CAPACITY, sizeof *again);
    size_t n_stages = 0;
    for (size_t k = 0; k < ARRAY_LEN(cases) * 6; k++) {
        size_t which = k % ARRAY_LEN(cases);
        const double *weights = cases[which].weights;
        const struct changing how = {100 * k, cases[which].odds};
        struct corpus c;
        struct batches b, fresh;
        load_parts(&c, 31 + k, cases[which].n_paragraphs, cases[which].max_sentences,
                   cases[which].max_words);
        assert_int_equal(batches_init(&b, &c, weights, k, MOST, NULL), 0);
        assert_int_equal(batches_init(&fresh, &c, weights, k, MOST, NULL), 0);
        assert_int_equal(batches_epoch(&b, k, cases[which].batch_tokens, NULL), 0);
        uint8_t *counts = calloc(c.n_tokens, 1);
        assert_true(batches_taken_share(&b) == 0);
        size_t n_steps = take_rest(&b, &how, 0, counts, saved, rest, CAPACITY);
        assert_true(batches_taken_share(&b) == 1);
        check_counts(&c, weights, counts);
        n_stages += b.position.n_stages;
        struct rng rng = {k};
        for (size_t n = 0; n < 8; n++) {
            size_t step = n ? (size_t)(rng_next(&rng) % (n_steps + 1)) : n_steps;
            assert_int_equal(batches_seek(&fresh, &saved[step], NULL), 0);
            assert_memory_equal(&fresh.position, &saved[step], sizeof saved[step]);
            assert_int_equal(take_rest(&fresh, &how, step, NULL, NULL, again, CAPACITY), n_steps);
            assert_true(again[step] == rest[step]);
            assert_memory_equal(&fresh.position, &b.position, sizeof b.position);
            assert_true(batches_taken_share(&fresh) == 1);
        }
        free(counts);
        batches_done(&fresh);
        batches_done(&b);
        corpus_done(&c);
    }
    assert_true(n_stages > 4 * 6 * ARRAY_LEN(cases)); /* the sizes did change */
    free(saved);
    free(rest);
    free(again);
}

static void a_position_can_be_sought_by_its_own_batches(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    struct bilm_batch batch;
    load_random(&c, 6, 200, 20, 30);
    init(&b, &c, 9, 512, 4);
    for (size_t k = 0; k < 20; k++)
        assert_true(batches_take(&b, &batch));
    assert_int_equal(batches_resize(&b, 256, NULL), 0);
    assert_true(batches_take(&b, &batch));
    uint64_t expected = digest(&b, 1);
    double share = batches_taken_share(&b);
    assert_true(share > 0 && share < 1);
    const struct batches_position copy = b.position;
    assert_int_equal(batches_seek(&b, &b.position, NULL), 0);
    assert_memory_equal(&b.position, &copy, sizeof copy);
    assert_true(digest(&b, 1) == expected);
    assert_true(batches_taken_share(&b) == share);
    batches_done(&b);
    corpus_done(&c);
}

static void other_sizes_are_shuffled_and_of_that_size(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    struct bilm_batch batch;
    load_random(&c, 8, 300, 20, 30);
    assert_int_equal(batches_init(&b, &c, NULL, 4, 2048, NULL), 0);
    assert_int_equal(batches_epoch(&b, 0, 512, NULL), 0);
    for (size_t left = batches_left(&b) / 2; left > 0; left--)
        assert_true(batches_take(&b, &batch));
    static const size_t sizes[] = {128, 512, 2048};
    uint64_t n_left = b.n_predictions - b.n_taken_predictions;
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        assert_int_equal(batches_resize(&b, sizes[k], NULL), 0);
        size_t n_down = 0, n_near = 0, mean = (size_t)n_left / b.n_batches;
        for (size_t r = 1; r < b.n_batches; r++)
            n_down += b.ranges[r].begin < b.ranges[r - 1].begin;
        assert_in_range(n_down * 100 / b.n_batches, 30, 70);
        for (size_t s = 1; s < b.n_segments; s++)
            n_near += b.segments[s].begin > b.segments[s - 1].begin;
        assert_in_range(n_near * 100 / b.n_segments, 35, 65);
        assert_in_range(mean, sizes[k] / 3, sizes[k]);
        assert_int_equal(b.n_predictions - b.n_taken_predictions, n_left);
    }
    batches_done(&b);
    corpus_done(&c);
}

static void the_number_of_stages_is_limited(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    struct elmo_error err = {0};
    load_random(&c, 8, 100, 20, 30);
    assert_int_equal(batches_init(&b, &c, NULL, 4, 200, NULL), 0);
    assert_int_equal(batches_epoch(&b, 0, 100, NULL), 0);
    for (size_t k = 1; k < BATCHES_MAX_STAGES; k++) {
        assert_int_equal(batches_resize(&b, 100 + k, NULL), 0);
        assert_int_equal(batches_resize(&b, 100 + k, NULL), 0); /* has it: no stage */
        assert_int_equal(b.position.n_stages, k + 1);
    }
    const struct batches_position full = b.position;
    uint64_t expected = digest(&b, 0);
    assert_int_equal(batches_resize(&b, 200, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "at most 15 times an epoch"));
    assert_memory_equal(&b.position, &full, sizeof full);
    assert_true(digest(&b, 0) == expected);
    assert_int_equal(batches_seek(&b, &full, NULL), 0);
    assert_true(digest(&b, 0) == expected);
    assert_int_equal(batches_epoch(&b, 1, 100, NULL), 0);
    assert_int_equal(batches_resize(&b, 200, NULL), 0);
    batches_done(&b);
    corpus_done(&c);
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 201, SIZE_MAX};
    struct corpus c;
    struct batches b;
    load_random(&c, 8, 100, 20, 30);
    init(&b, &c, 1, 200, 3);
    uint64_t expected = digest(&b, 0);
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        struct elmo_error err = {0};
        const struct batches_position at = {3, 1, {{sizes[k], 0}}};
        assert_int_equal(batches_resize(&b, sizes[k], &err), ELMO_E_INVALID);
        assert_non_null(strstr(err.message, "at least 1 and at most 200"));
        assert_int_equal(batches_epoch(&b, 0, sizes[k], NULL), ELMO_E_INVALID);
        assert_int_equal(batches_heldout(&b, sizes[k], NULL), ELMO_E_INVALID);
        assert_int_equal(batches_seek(&b, &at, NULL), ELMO_E_INVALID);
        assert_int_equal(b.position.epoch, 3);
        assert_true(digest(&b, 0) == expected);
    }
    batches_done(&b);
    corpus_done(&c);
}

static void positions_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct batches_position cases[] = {
        {0, 0, {{0}}},
        {0, 0, {{100, 0}}},
        {0, BATCHES_MAX_STAGES + 1, {{100, 0}}},
        {0, SIZE_MAX, {{100, 0}}},
        {0, 1, {{100, 100000}}},
        {0, 1, {{100, SIZE_MAX}}},
        {0, 2, {{100, 5}, {100, 0}}},
        {0, 2, {{100, 5}, {200, 100000}}},
        {0, 3, {{100, 100000}, {200, 0}, {100, 0}}},
    };
    struct corpus c;
    struct batches b;
    load_random(&c, 8, 100, 20, 30);
    init(&b, &c, 1, 200, 3);
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct elmo_error err = {0};
        assert_int_equal(batches_seek(&b, &cases[k], &err), ELMO_E_INVALID);
        assert_non_null(strstr(err.message, "position in the data"));
    }
    batches_done(&b);
    corpus_done(&c);
}

static void an_epoch_can_end_before_a_resize(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    struct bilm_batch batch;
    load_random(&c, 8, 100, 20, 30);
    init(&b, &c, 1, 200, 3);
    while (batches_take(&b, &batch))
        ;
    assert_int_equal(batches_left(&b), 0);
    assert_int_equal(b.position.stages[0].n_taken, b.n_batches);
    assert_int_equal(batches_resize(&b, 100, NULL), 0);
    assert_int_equal(batches_left(&b), 0);
    assert_false(batches_take(&b, &batch));
    assert_true(batches_taken_share(&b) == 1);
    batches_done(&b);
    assert_int_equal(batches_init(&b, &c, NULL, 1, 200, NULL), 0); /* no epoch yet */
    assert_false(batches_take(&b, &batch));
    assert_true(batches_taken_share(&b) == 0);
    batches_done(&b);
    corpus_done(&c);
}

/* Ranks with batches of their own share an epoch whose size changes after some rounds. */
static void ranks_share_an_epoch(void **state)
{
    (void)state;
    enum { MOST_RANKS = 5 };
    for (size_t n_ranks = 1; n_ranks <= MOST_RANKS; n_ranks++) {
        struct batches ranks[MOST_RANKS];
        const struct changing how = {n_ranks, 7};
        struct corpus c;
        load_parts(&c, 20 + n_ranks, 30, 5, 20);
        uint8_t *counts = calloc(c.n_tokens, 1);
        for (size_t r = 0; r < n_ranks; r++) {
            assert_int_equal(batches_init(&ranks[r], &c, NULL, 3, MOST, NULL), 0);
            assert_int_equal(batches_epoch(&ranks[r], 2, 150, NULL), 0);
        }
        for (size_t round = 0; batches_left(&ranks[0]); round++) {
            size_t left = batches_left(&ranks[0]), n = left < n_ranks ? left : n_ranks;
            for (size_t r = 0; r < n_ranks; r++) {
                struct batches *b = &ranks[r];
                assert_int_equal(batches_skip(b, r), r < n ? r : n);
                if (r < n)
                    take_one(b, counts);
                assert_int_equal(batches_skip(b, n_ranks - 1 - r), r < n ? n - 1 - r : 0);
                assert_int_equal(batches_left(b), left - n);
                assert_memory_equal(&b->position, &ranks[0].position, sizeof b->position);
                assert_int_equal(b->n_taken_predictions, ranks[0].n_taken_predictions);
            }
            for (size_t r = 0; r < n_ranks; r++)
                resize_or_not(&ranks[r], &how, round);
        }
        for (size_t t = 0; t < c.n_tokens; t++)
            assert_int_equal(counts[t], 1);
        assert_int_equal(batches_skip(&ranks[0], 1), 0);
        assert_true(batches_taken_share(&ranks[0]) == 1);
        for (size_t r = 0; r < n_ranks; r++)
            batches_done(&ranks[r]);
        free(counts);
        corpus_done(&c);
    }
}

static void skipping_is_taking_without_filling(void **state)
{
    (void)state;
    struct corpus c;
    struct batches taken, skipped;
    struct bilm_batch batch;
    load_random(&c, 6, 200, 20, 30);
    init(&taken, &c, 9, 512, 4);
    init(&skipped, &c, 9, 512, 4);
    for (size_t k = 0; k < 21; k++)
        assert_true(batches_take(&taken, &batch));
    assert_int_equal(batches_skip(&skipped, 0), 0);
    assert_int_equal(batches_skip(&skipped, 20), 20);
    assert_int_equal(batches_skip(&skipped, 1), 1);
    assert_memory_equal(&skipped.position, &taken.position, sizeof taken.position);
    assert_true(batches_taken_share(&skipped) == batches_taken_share(&taken));
    assert_true(take_one(&skipped, NULL) == take_one(&taken, NULL));
    size_t left = batches_left(&skipped);
    assert_int_equal(batches_skip(&skipped, SIZE_MAX), left);
    assert_int_equal(batches_left(&skipped), 0);
    assert_false(batches_take(&skipped, &batch));
    batches_done(&taken);
    batches_done(&skipped);
    corpus_done(&c);
}

/* ---- Sizes and faults ---- */

static void rare_lengths_give_small_batches_that_are_counted(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    load(&c, "a b c\nd e f\ng h i\nj k\n"); /* predictions: three times 4, once 3 */
    init(&b, &c, 1, 16, 0);
    assert_int_equal(b.n_segments, 4);
    assert_int_equal(b.n_batches, 2);
    assert_int_equal(b.n_small_batches, 1);
    check_batches(&b);
    batches_done(&b);
    init(&b, &c, 1, 8, 0); /* two batches of length 3: of 2 and 1 segments */
    assert_int_equal(b.n_batches, 3);
    assert_int_equal(b.n_small_batches, 1);
    check_batches(&b);
    batches_done(&b);
    corpus_done(&c);
}

static void a_length_is_split_evenly(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    char text[1000] = {0};
    for (int k = 0; k < 101; k++)
        strcat(text, "a b c\n");
    load(&c, text);
    init(&b, &c, 1, 100 * 4, 0); /* room for 100 of 101 */
    assert_int_equal(b.n_batches, 2);
    for (size_t k = 0; k < 2; k++)
        assert_in_range(b.ranges[k].end - b.ranges[k].begin, 50, 51);
    batches_done(&b);
    corpus_done(&c);
}

static void a_corpus_without_text_is_refused(void **state)
{
    (void)state;
    const struct corpus_settings words_only = {.words_only = true};
    struct corpus c;
    struct batches b;
    char *path = train_write(group_dir.path, "corpus", "a b\n", 4, TRAIN_PLAIN);
    assert_int_equal(corpus_load(&c, (const char *const[]){path}, 1, &words_only, NULL), 0);
    assert_int_equal(batches_init(&b, &c, NULL, 1, 100, NULL), ELMO_E_INVALID);
    corpus_done(&c);
    load(&c, "a b\n");
    assert_int_equal(batches_init(&b, &c, NULL, 1, SIZE_MAX / 2, NULL), ELMO_E_NOMEM);
    corpus_done(&c);
    free(path);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    load_random(&c, 12, 50, 10, 20);
    for (size_t n_good = 0;; n_good++) {
        fail_alloc_after(n_good);
        int r = batches_init(&b, &c, NULL, 1, 100, NULL);
        int e = r ? r : batches_epoch(&b, 0, 100, NULL);
        size_t n_failed = fail_alloc_stop();
        assert_int_equal(e, n_failed ? ELMO_E_NOMEM : 0);
        if (!r && e) { /* and it works once there is memory */
            assert_int_equal(b.n_batches, 0);
            assert_int_equal(batches_epoch(&b, 0, 100, NULL), 0);
            check_batches(&b);
        }
        if (!r)
            batches_done(&b);
        if (!n_failed) {
            assert_true(n_good >= 8);
            break;
        }
    }
    corpus_done(&c);
}

static void a_resize_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct corpus c;
    struct batches b;
    struct bilm_batch batch;
    load_random(&c, 12, 50, 10, 20);
    init(&b, &c, 1, 300, 0);
    assert_true(batches_take(&b, &batch));
    const struct batches_position before = b.position;
    uint64_t expected = digest(&b, 0);
    for (size_t n_good = 0; n_good < 2; n_good++) {
        fail_alloc_after(n_good);
        int r = batches_resize(&b, 100, NULL), e = batches_epoch(&b, 1, 100, NULL);
        assert_true(fail_alloc_stop() > 0);
        assert_int_equal(r, ELMO_E_NOMEM);
        assert_int_equal(e, ELMO_E_NOMEM);
        assert_memory_equal(&b.position, &before, sizeof before);
        assert_true(digest(&b, 0) == expected);
    }
    assert_int_equal(batches_resize(&b, 100, NULL), 0);
    batches_done(&b);
    corpus_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_end_at_marks_and_what_closes_them),
        cmocka_unit_test(every_token_is_there_once_in_an_epoch),
        cmocka_unit_test(a_paragraph_without_sentences_is_cut_to_the_longest_segments),
        cmocka_unit_test(no_crumbs_are_left_of_a_paragraph),
        cmocka_unit_test(a_quarter_of_the_segments_are_single_sentences),
        cmocka_unit_test(seed_and_epoch_decide_everything),
        cmocka_unit_test(a_run_goes_on_where_it_was),
        cmocka_unit_test(the_order_is_that_of_earlier_checkpoints),
        cmocka_unit_test(batches_of_an_epoch_are_shuffled),
        cmocka_unit_test(held_out_text_has_one_segmentation_in_order),
        cmocka_unit_test(epochs_together_take_each_line_by_its_weight),
        cmocka_unit_test(a_half_of_the_lines_is_random_and_another_in_the_next_epoch),
        cmocka_unit_test(weights_of_1_and_files_change_nothing),
        cmocka_unit_test(a_line_taken_twice_is_cut_in_two_ways),
        cmocka_unit_test(held_out_text_has_each_line_once_whatever_its_weight),
        cmocka_unit_test(weights_are_copied_and_checked),
        cmocka_unit_test(an_epoch_without_lines_is_an_error),
        cmocka_unit_test(any_sizes_take_every_token_by_its_weight_and_can_be_resumed),
        cmocka_unit_test(a_position_can_be_sought_by_its_own_batches),
        cmocka_unit_test(other_sizes_are_shuffled_and_of_that_size),
        cmocka_unit_test(the_number_of_stages_is_limited),
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test(positions_that_cannot_be_are_refused),
        cmocka_unit_test(an_epoch_can_end_before_a_resize),
        cmocka_unit_test(ranks_share_an_epoch),
        cmocka_unit_test(skipping_is_taking_without_filling),
        cmocka_unit_test(rare_lengths_give_small_batches_that_are_counted),
        cmocka_unit_test(a_length_is_split_evenly),
        cmocka_unit_test(a_corpus_without_text_is_refused),
        cmocka_unit_test(failing_memory_is_reported),
        cmocka_unit_test(a_resize_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, group_dir_init, group_dir_done);
}

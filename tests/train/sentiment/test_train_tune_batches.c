/* Batches of labelled texts for fine-tuning. Every token of the made-up texts is "text.place" and a
 * text's label is its number, so that a batch tells where all of it comes from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "train/sentiment/tune_batches.h"
#include "util/fnv.h"

#define BATCH_TOKENS 900
#define N_SAME       5 /* texts of each length */

static const size_t lengths[] = {1,  0,  5,  15, 16, 17,  31,  32,  33,  47,
                                 48, 64, 79, 80, 81, 200, 399, 400, 401, 1000};

#define N_TEXTS (N_SAME * ARRAY_LEN(lengths))

static const struct elmo_model model = {.tokenizer = TOKENIZER_WHITESPACE}; /* all that is read */
static struct labelled_text items[N_TEXTS];

static size_t length_of(uint32_t text)
{
    return lengths[text % ARRAY_LEN(lengths)];
}

static int set_up(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < N_TEXTS; k++) {
        size_t n = 0, room = 16 * length_of(k) + 2;
        char *text = calloc(room, 1);
        assert_non_null(text);
        for (size_t t = 0; t < length_of(k); t++)
            n += (size_t)snprintf(text + n, room - n, "%u.%zu ", k, t);
        items[k] = (struct labelled_text){.text = text, .n_bytes = n, .label = k};
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_TEXTS; k++)
        free((char *)(uintptr_t)items[k].text);
    return 0;
}

static void init(struct tune_batches *b)
{
    assert_int_equal(tune_batches_init(b, &model, items, N_TEXTS, BATCH_TOKENS, NULL), 0);
}

static size_t expected_length(size_t n_tokens)
{
    if (n_tokens >= TUNE_MAX_TOKENS)
        return TUNE_MAX_TOKENS;
    return n_tokens < 16 ? n_tokens : n_tokens / 16 * 16;
}

static bool is_word(const struct elmo_token *word, const char *bytes)
{
    return word->n_bytes == strlen(bytes) && !memcmp(word->bytes, bytes, word->n_bytes);
}

/* The place in its text that this sentence of the batch begins at; all of it is checked. */
static size_t check_sentence(const struct tune_filled *filled, size_t sentence)
{
    const struct bilm_batch *batch = &filled->texts;
    const uint32_t *at = batch->positions + sentence * (batch->n_steps + 1);
    uint32_t label = filled->labels[sentence];
    size_t n_tokens = batch->n_steps - 1, begin = 0;
    char expected[32];
    for (size_t t = 0; t <= batch->n_steps; t++)
        assert_true(at[t] < batch->n_words);
    assert_true(is_word(batch->words[at[0]], "<S>"));
    assert_true(is_word(batch->words[at[n_tokens + 1]], "</S>"));
    do {
        assert_true(begin + n_tokens <= length_of(label));
        snprintf(expected, sizeof expected, "%u.%zu", label, begin++);
    } while (!is_word(batch->words[at[1]], expected));
    begin--;
    for (size_t t = 0; t < n_tokens; t++) {
        snprintf(expected, sizeof expected, "%u.%zu", label, begin + t);
        assert_true(is_word(batch->words[at[1 + t]], expected));
    }
    return begin;
}

/* Goes through an epoch; seen [N_TEXTS] counts texts, begins [N_TEXTS] is where their cuts begin.
 */
static void check_epoch(struct tune_batches *b, size_t *seen, size_t *begins)
{
    for (size_t index = 0; index < b->n_batches; index++) {
        struct tune_filled filled;
        assert_true(tune_batches_fill(b, index, &filled));
        size_t B = filled.texts.n_sentences, n_tokens = filled.texts.n_steps - 1;
        assert_true(B >= 1 && (B == 1 || B * n_tokens <= BATCH_TOKENS));
        for (size_t k = 0; k < B; k++) {
            uint32_t label = filled.labels[k];
            assert_true(label < N_TEXTS);
            assert_int_equal(n_tokens, expected_length(length_of(label)));
            begins[label] = check_sentence(&filled, k);
            seen[label]++;
        }
    }
}

static void an_epoch_has_every_text_with_tokens_once(void **state)
{
    (void)state;
    struct tune_batches b;
    init(&b);
    for (uint64_t epoch = 0; epoch < 4; epoch++) {
        size_t seen[N_TEXTS] = {0}, begins[N_TEXTS];
        tune_batches_epoch(&b, 7, epoch);
        check_epoch(&b, seen, begins);
        for (uint32_t k = 0; k < N_TEXTS; k++)
            assert_int_equal(seen[k], length_of(k) > 0);
    }
    tune_batches_done(&b);
}

/* As many texts of a length as fit are together. */
static void batches_are_filled(void **state)
{
    (void)state;
    struct tune_batches b;
    init(&b);
    tune_batches_epoch(&b, 7, 0);
    size_t n_unfilled[TUNE_MAX_TOKENS + 1] = {0};
    for (size_t index = 0; index < b.n_batches; index++) {
        struct tune_filled filled;
        assert_true(tune_batches_fill(&b, index, &filled));
        size_t n_tokens = filled.texts.n_steps - 1;
        n_unfilled[n_tokens] += (filled.texts.n_sentences + 1) * n_tokens <= BATCH_TOKENS;
    }
    for (size_t n = 0; n <= TUNE_MAX_TOKENS; n++)
        assert_true(n_unfilled[n] <= 1);
    tune_batches_done(&b);
}

static void a_text_longer_than_a_batch_is_one_alone(void **state)
{
    (void)state;
    struct tune_batches b;
    assert_int_equal(tune_batches_init(&b, &model, items, N_TEXTS, 1, NULL), 0);
    tune_batches_epoch(&b, 1, 0);
    assert_int_equal(b.n_batches, b.n_texts);
    for (size_t index = 0; index < b.n_batches; index++) {
        struct tune_filled filled;
        assert_true(tune_batches_fill(&b, index, &filled));
        assert_int_equal(filled.texts.n_sentences, 1);
        check_sentence(&filled, 0);
    }
    tune_batches_done(&b);
}

static void words_are_distinct(void **state)
{
    (void)state;
    static const struct labelled_text same[] = {{.text = "a b a", .n_bytes = 5, .label = 1},
                                                {.text = "b b c", .n_bytes = 5}};
    struct tune_batches b;
    struct tune_filled filled;
    assert_int_equal(tune_batches_init(&b, &model, same, ARRAY_LEN(same), BATCH_TOKENS, NULL), 0);
    tune_batches_epoch(&b, 1, 0);
    assert_int_equal(b.n_batches, 1);
    assert_true(tune_batches_fill(&b, 0, &filled));
    assert_int_equal(filled.texts.n_sentences, 2);
    assert_int_equal(filled.texts.n_words, 5); /* <S> a b c </S> */
    assert_int_equal(filled.labels[0] + filled.labels[1], 1);
    tune_batches_done(&b);
}

/* Everything about an epoch in one number. */
static uint64_t fingerprint(struct tune_batches *b, uint64_t seed, uint64_t epoch)
{
    size_t seen[N_TEXTS] = {0}, begins[N_TEXTS] = {0};
    uint64_t h = 0;
    tune_batches_epoch(b, seed, epoch);
    check_epoch(b, seen, begins);
    for (size_t index = 0; index < b->n_batches; index++) {
        struct tune_filled filled;
        assert_true(tune_batches_fill(b, index, &filled));
        for (size_t k = 0; k < filled.texts.n_sentences; k++)
            h = fnv_step(h, filled.labels[k]);
    }
    for (size_t k = 0; k < N_TEXTS; k++)
        h = fnv_step(h, begins[k]);
    return h;
}

static void seed_and_epoch_decide_all(void **state)
{
    (void)state;
    struct tune_batches one, other;
    init(&one);
    init(&other);
    uint64_t expected = fingerprint(&one, 7, 3);
    assert_true(fingerprint(&one, 7, 4) != expected);
    assert_true(fingerprint(&one, 8, 3) != expected);
    assert_true(fingerprint(&one, 7, 3) == expected); /* whatever came before */
    assert_true(fingerprint(&other, 7, 3) == expected);
    tune_batches_done(&one);
    tune_batches_done(&other);
}

/* A text of 17 tokens, cut to 16, begins at its first or its second; one of 1000 anywhere. */
static void cuts_begin_anywhere(void **state)
{
    (void)state;
    struct tune_batches b;
    size_t n_at[2] = {0}, least = SIZE_MAX, most = 0;
    init(&b);
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
        size_t seen[N_TEXTS] = {0}, begins[N_TEXTS] = {0};
        tune_batches_epoch(&b, 1, epoch);
        check_epoch(&b, seen, begins);
        for (uint32_t k = 0; k < N_TEXTS; k++) {
            if (length_of(k) == 17)
                n_at[begins[k]]++;
            if (length_of(k) == 1000) {
                least = begins[k] < least ? begins[k] : least;
                most = begins[k] > most ? begins[k] : most;
            }
        }
    }
    assert_true(n_at[0] > 20 && n_at[1] > 20); /* of 100 */
    assert_true(least < 100 && most > 500);    /* of 0..600 */
    tune_batches_done(&b);
}

static void batches_come_in_no_order_of_length(void **state)
{
    (void)state;
    struct tune_batches b;
    size_t n_up = 0, n_down = 0, before = 0;
    init(&b);
    tune_batches_epoch(&b, 1, 0);
    for (size_t index = 0; index < b.n_batches; index++) {
        struct tune_filled filled;
        assert_true(tune_batches_fill(&b, index, &filled));
        n_up += filled.texts.n_steps > before;
        n_down += filled.texts.n_steps < before;
        before = filled.texts.n_steps;
    }
    assert_true(n_up > 3 && n_down > 3);
    tune_batches_done(&b);
}

static void texts_without_tokens_make_no_batch(void **state)
{
    (void)state;
    static const struct labelled_text blank[] = {{.text = " ", .n_bytes = 1}, {.text = ""}};
    struct tune_batches b;
    for (size_t n = 0; n <= ARRAY_LEN(blank); n++) {
        assert_int_equal(tune_batches_init(&b, &model, blank, n, BATCH_TOKENS, NULL), 0);
        assert_int_equal(b.n_texts, 0);
        tune_batches_epoch(&b, 1, 0);
        assert_int_equal(b.n_batches, 0);
        tune_batches_done(&b);
    }
}

static void a_text_that_is_not_utf8_is_an_error(void **state)
{
    (void)state;
    const struct labelled_text bad[] = {items[0], {.text = "caf\xe9", .n_bytes = 4}};
    struct tune_batches b = {0};
    struct elmo_error err = {0};
    assert_int_equal(tune_batches_init(&b, &model, bad, ARRAY_LEN(bad), BATCH_TOKENS, &err),
                     ELMO_E_UTF8);
    assert_null(b.texts);
}

static void out_of_memory_is_reported(void **state)
{
    (void)state;
    size_t n_good = 0, n_failed;
    do {
        struct tune_batches b = {0};
        struct tune_filled filled;
        bool is_filled = false;
        fail_alloc_after(n_good);
        int r = tune_batches_init(&b, &model, items, ARRAY_LEN(lengths), BATCH_TOKENS, NULL);
        if (!r) {
            tune_batches_epoch(&b, 1, 0);
            is_filled = tune_batches_fill(&b, 0, &filled);
        }
        n_failed = fail_alloc_stop();
        assert_true(!r || r == ELMO_E_NOMEM);
        assert_int_equal(is_filled, !n_failed);
        tune_batches_done(&b);
        n_good++;
    } while (n_failed);
    assert_true(n_good > ARRAY_LEN(lengths) + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_has_every_text_with_tokens_once),
        cmocka_unit_test(batches_are_filled),
        cmocka_unit_test(a_text_longer_than_a_batch_is_one_alone),
        cmocka_unit_test(words_are_distinct),
        cmocka_unit_test(seed_and_epoch_decide_all),
        cmocka_unit_test(cuts_begin_anywhere),
        cmocka_unit_test(batches_come_in_no_order_of_length),
        cmocka_unit_test(texts_without_tokens_make_no_batch),
        cmocka_unit_test(a_text_that_is_not_utf8_is_an_error),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests_name("train_tune_batches", tests, set_up, tear_down);
}

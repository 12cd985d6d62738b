/* Distinct tokens of a batch, characters as ids, and the arena under both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/fail_alloc.h"
#include "text/char_ids.h"
#include "text/token_set.h"

static void each_token_has_one_index(void **state)
{
    (void)state;
    enum { N = 1000 };
    static char texts[2 * N][8];
    static struct elmo_token tokens[2 * N];
    struct arena arena = {0};
    struct token_set set;
    for (size_t k = 0; k < 2 * N; k++) { /* every text twice, at two places */
        tokens[k].bytes = texts[k];
        tokens[k].n_bytes = (size_t)snprintf(texts[k], sizeof texts[k], "%zu", k % N);
    }
    assert_int_equal(token_set_init(&set, &arena, N, 1), ELMO_OK);
    for (size_t k = 0; k < 2 * N; k++)
        assert_int_equal(token_set_add(&set, &tokens[k]), k % N);
    assert_int_equal(set.n_tokens, N);
    assert_ptr_equal(set.tokens[7], &tokens[7]);
    arena_done(&arena);
}

static void tokens_differ_by_length_and_zero_bytes(void **state)
{
    (void)state;
    const struct elmo_token tokens[] = {{"a\0b", 3}, {"a\0c", 3}, {"a", 1}, {"", 0}, {"a\0", 2}};
    struct arena arena = {0};
    struct token_set set;
    assert_int_equal(token_set_init(&set, &arena, ARRAY_LEN(tokens), 2), ELMO_OK);
    for (uint32_t k = 0; k < ARRAY_LEN(tokens); k++)
        assert_int_equal(token_set_add(&set, &tokens[k]), k);
    arena_done(&arena);
}

static void empty_tokens_are_alike_with_memory_or_without(void **state)
{
    (void)state;
    const struct elmo_token tokens[] = {{NULL, 0}, {"", 0}, {NULL, 0}};
    struct arena arena = {0};
    struct token_set set;
    assert_int_equal(token_set_init(&set, &arena, ARRAY_LEN(tokens), 2), ELMO_OK);
    for (size_t k = 0; k < ARRAY_LEN(tokens); k++)
        assert_int_equal(token_set_add(&set, &tokens[k]), 0);
    arena_done(&arena);
}

static void check_ids(const struct elmo_token *token, size_t max_chars, const uint16_t *expected,
                      size_t n_expected)
{
    uint16_t ids[64];
    assert_int_equal(char_ids(ids, max_chars, token), n_expected);
    assert_memory_equal(ids, expected, n_expected * sizeof *ids);
    for (size_t k = n_expected; k < max_chars; k++)
        assert_int_equal(ids[k], CHAR_PAD);
}

static void a_token_is_its_bytes_between_marks(void **state)
{
    (void)state;
    const struct elmo_token word = {"a\xc3\xa9", 3}, empty = {"", 0}, longer = {"abcdefgh", 8};
    check_ids(&word, 10, (const uint16_t[]){CHAR_BOW, 'a', 0xc3, 0xa9, CHAR_EOW}, 5);
    check_ids(&empty, 10, (const uint16_t[]){CHAR_BOW, CHAR_EOW}, 2);
    check_ids(&longer, 5, (const uint16_t[]){CHAR_BOW, 'a', 'b', 'c', CHAR_EOW}, 5);
    check_ids(&word, 4, (const uint16_t[]){CHAR_BOW, 'a', 0xc3, CHAR_EOW}, 4); /* cut in a char */
}

static void sentence_marks_have_their_own_ids(void **state)
{
    (void)state;
    const struct elmo_token almost = {"<S", 2};
    check_ids(&token_bos, 50, (const uint16_t[]){CHAR_BOW, CHAR_BOS, CHAR_EOW}, 3);
    check_ids(&token_eos, 50, (const uint16_t[]){CHAR_BOW, CHAR_EOS, CHAR_EOW}, 3);
    check_ids(&almost, 50, (const uint16_t[]){CHAR_BOW, '<', 'S', CHAR_EOW}, 4);
}

static void arena_memory_is_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena = {0};
    for (int round = 0; round < 3; round++) {
        unsigned char *last_end = NULL;
        for (size_t k = 1; k < 200; k++) {
            unsigned char *p = ARENA_NEW(&arena, unsigned char, k * 1001);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 64, 0);
            memset(p, (int)k, k * 1001);
            if (round == 2 && last_end) /* one block by now: forward, without overlap */
                assert_true(p >= last_end);
            last_end = p + k * 1001;
        }
        arena_reset(&arena);
    }
    arena_done(&arena);
}

static void arena_refuses_sizes_that_overflow(void **state)
{
    (void)state;
    struct arena arena = {0};
    assert_null(arena_alloc(&arena, SIZE_MAX / 2, 4));
    assert_null(arena_alloc(&arena, SIZE_MAX, 1));
    assert_null(arena_alloc(&arena, SIZE_MAX - 100, 1));
    fail_alloc_after(0);
    void *memory = arena_alloc(&arena, 10, 10);
    assert_int_equal(fail_alloc_stop(), 1);
    assert_null(memory);
    assert_non_null(arena_alloc(&arena, 10, 10));
    arena_done(&arena);
}

static void a_settled_arena_allocates_nothing(void **state)
{
    (void)state;
    struct arena arena = {0};
    for (int round = 0; round < 5; round++) {
        if (round == 2)
            fail_alloc_after(0);
        for (size_t k = 0; k < 50; k++)
            assert_non_null(arena_alloc(&arena, 100000, 1));
        if (round < 4)
            arena_reset(&arena);
    }
    assert_int_equal(fail_alloc_stop(), 0);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_has_one_index),
        cmocka_unit_test(tokens_differ_by_length_and_zero_bytes),
        cmocka_unit_test(empty_tokens_are_alike_with_memory_or_without),
        cmocka_unit_test(a_token_is_its_bytes_between_marks),
        cmocka_unit_test(sentence_marks_have_their_own_ids),
        cmocka_unit_test(arena_memory_is_aligned_and_apart),
        cmocka_unit_test(arena_refuses_sizes_that_overflow),
        cmocka_unit_test(a_settled_arena_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

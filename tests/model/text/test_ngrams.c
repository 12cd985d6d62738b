/* Rows of a text's n-grams. The numbers below are a contract: files on people's disks were trained
 * with them. They were worked out once by another program, from FNV-1a and splitmix64's mixer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/fail_alloc.h"
#include "text/ngrams.h"

#define MAX_TOKENS 40
#define TABLE      ((size_t)1 << 21) /* what elmo-train makes */

/* Tokens of a text, parted by single spaces: two in a row hold an empty one. */
static size_t tokens_of(struct elmo_token *tokens, const char *text)
{
    size_t n = 0;
    for (;;) {
        size_t n_bytes = strcspn(text, " ");
        assert_true(n < MAX_TOKENS);
        tokens[n++] = (struct elmo_token){n_bytes ? text : NULL, n_bytes};
        if (!text[n_bytes])
            return n;
        text += n_bytes + 1;
    }
}

struct found {
    struct arena arena;
    uint32_t *rows;
    size_t n;
};

static void find(struct found *f, const char *text, size_t max_order, size_t n_rows)
{
    struct elmo_token tokens[MAX_TOKENS];
    *f = (struct found){0};
    assert_int_equal(
        ngram_rows(&f->rows, &f->n, tokens, tokens_of(tokens, text), max_order, n_rows, &f->arena),
        0);
}

static void find_done(struct found *f)
{
    arena_done(&f->arena);
}

static bool same_rows(const char *a, const char *b, size_t max_order)
{
    struct found x, y;
    find(&x, a, max_order, TABLE);
    find(&y, b, max_order, TABLE);
    bool same = x.n == y.n && !memcmp(x.rows, y.rows, x.n * sizeof *x.rows);
    find_done(&x);
    find_done(&y);
    return same;
}

static void rows_are_those_of_the_file_format(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t max_order, n_rows, n;
        uint32_t rows[6];
    } cases[] = {
        {"good", 1, TABLE, 1, {606015}},
        {"a good film", 1, TABLE, 3, {606015, 736155, 1319160}},
        {"a good film", 2, TABLE, 5, {326831, 606015, 736155, 914766, 1319160}},
        {"a good film", 4, TABLE, 6, {326831, 606015, 736155, 914766, 1319160, 1444519}},
        {"film good a", 2, TABLE, 5, {606015, 736155, 1319160, 1455845, 1982241}},
        {"not not not", 3, TABLE, 3, {837612, 1200527, 1323758}},
        {"caf\xc3\xa9", 1, TABLE, 1, {750991}},
        {"CAF\xc3\x89", 1, TABLE, 1, {641056}},
        {"[@`{", 1, TABLE, 1, {1455508}},
        {"", 1, TABLE, 1, {1435803}},
        {" ", 2, TABLE, 2, {39061, 1435803}},
        {"a good film",
         2,
         ((size_t)1 << 28) - 57,
         5,
         {112737601, 132589956, 204561431, 244734890, 246305661}},
        {"a good film", 4, 3, 3, {0, 1, 2}},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct found f;
        find(&f, cases[k].text, cases[k].max_order, cases[k].n_rows);
        assert_int_equal(f.n, cases[k].n);
        assert_memory_equal(f.rows, cases[k].rows, f.n * sizeof *f.rows);
        find_done(&f);
    }
}

static void rows_are_distinct_ascending_and_in_the_table(void **state)
{
    (void)state;
    static const size_t tables[] = {1, 7, 100, TABLE};
    for (size_t k = 0; k < ARRAY_LEN(tables); k++)
        for (size_t order = 1; order <= NGRAMS_MAX_ORDER; order++) {
            struct found f;
            find(&f, "to be or not to be that is the question to be or not", order, tables[k]);
            assert_true(f.n > 0);
            for (size_t i = 0; i < f.n; i++) {
                assert_true(f.rows[i] < tables[k]);
                assert_true(!i || f.rows[i - 1] < f.rows[i]);
            }
            find_done(&f);
        }
}

/* A longer order keeps the rows of the shorter ones. */
static void a_longer_order_only_adds_rows(void **state)
{
    (void)state;
    for (size_t order = 1; order < NGRAMS_MAX_ORDER; order++) {
        struct found few, more;
        find(&few, "a film that is not at all good", order, TABLE);
        find(&more, "a film that is not at all good", order + 1, TABLE);
        assert_int_equal(more.n, few.n + 8 - order);
        for (size_t i = 0, at = 0; i < few.n; i++, at++) {
            while (at < more.n && more.rows[at] != few.rows[i])
                at++;
            assert_true(at < more.n);
        }
        find_done(&few);
        find_done(&more);
    }
}

static void ascii_case_alone_is_folded(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"A Good FILM", "a good film", true},
        {"AZ", "az", true},
        {"@[", "`{", false}, /* the neighbours of A and Z, of a and z */
        {"\xc3\x89", "\xc3\xa9", false},
        {"\xc1", "\xe1", false},
        {"good", "good ", false}, /* an empty token is one more */
        {"goo d", "go od", false},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        assert_int_equal(same_rows(cases[k].a, cases[k].b, 2), cases[k].same);
}

static void the_order_of_tokens_counts_from_bigrams_on(void **state)
{
    (void)state;
    assert_true(same_rows("not good", "good not", 1));
    assert_false(same_rows("not good", "good not", 2));
    assert_false(same_rows("a b a c", "a c a b", 2));
}

static void how_often_does_not_count(void **state)
{
    (void)state;
    assert_true(same_rows("a", "a a a a", 1));
    assert_true(same_rows("a b a b", "a b a b a b", 2));
}

static void no_token_has_no_row(void **state)
{
    (void)state;
    for (size_t order = 1; order <= NGRAMS_MAX_ORDER; order++) {
        struct arena arena = {0};
        uint32_t *rows = NULL;
        size_t n = 9;
        assert_int_equal(ngram_rows(&rows, &n, NULL, 0, order, TABLE, &arena), 0);
        assert_int_equal(n, 0);
        arena_done(&arena);
    }
}

static void a_short_text_has_the_orders_that_fit(void **state)
{
    (void)state;
    struct found f;
    find(&f, "good", NGRAMS_MAX_ORDER, TABLE);
    assert_int_equal(f.n, 1);
    find_done(&f);
    find(&f, "good film", NGRAMS_MAX_ORDER, TABLE);
    assert_int_equal(f.n, 3);
    find_done(&f);
}

static void out_of_memory_is_reported(void **state)
{
    (void)state;
    enum { N = 300000 }; /* hashes and rows do not share the arena's first block */
    struct elmo_token *tokens = calloc(N, sizeof *tokens);
    assert_non_null(tokens);
    size_t n_good = 0;
    for (;; n_good++) {
        struct arena arena = {0};
        uint32_t *rows = NULL;
        size_t n = 0;
        fail_alloc_after(n_good);
        int r = ngram_rows(&rows, &n, tokens, N, 2, TABLE, &arena);
        size_t n_failed = fail_alloc_stop();
        arena_done(&arena);
        if (!n_failed) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, ELMO_E_NOMEM);
        assert_null(rows);
    }
    assert_true(n_good >= 2);
    free(tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_the_file_format),
        cmocka_unit_test(rows_are_distinct_ascending_and_in_the_table),
        cmocka_unit_test(a_longer_order_only_adds_rows),
        cmocka_unit_test(ascii_case_alone_is_folded),
        cmocka_unit_test(the_order_of_tokens_counts_from_bigrams_on),
        cmocka_unit_test(how_often_does_not_count),
        cmocka_unit_test(no_token_has_no_row),
        cmocka_unit_test(a_short_text_has_the_orders_that_fit),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests_name("ngrams", tests, NULL, NULL);
}

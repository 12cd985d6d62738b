/* The size of batches over a run, and the samples that go with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "defs.h"
#include "train/bilm/batch_growth.h"

static void sizes_double_at_equal_shares(void **state)
{
    (void)state;
    static const struct {
        struct batch_growth growth;
        double done_share;
        uint64_t expected;
    } cases[] = {
        {{1024, 1024}, 0, 1024},
        {{1024, 1024}, 1, 1024},
        {{1024, 4096}, 0, 1024}, /* three thirds */
        {{1024, 4096}, 0.3333, 1024},
        {{1024, 4096}, 0.3334, 2048},
        {{1024, 4096}, 0.6666, 2048},
        {{1024, 4096}, 0.6667, 4096},
        {{1024, 4096}, 1, 4096},
        {{1024, 4096}, 1.5, 4096},
        {{1000, 2000}, 0.499, 1000}, /* two halves */
        {{1000, 2000}, 0.5, 2000},
        {{1000, 3000}, 0.34, 2000}, /* the last one is no whole doubling */
        {{1000, 3000}, 0.67, 3000},
        {{1000, 1001}, 0.49, 1000},
        {{1000, 1001}, 0.5, 1001},
        {{1, UINT64_MAX}, 0, 1},
        {{1, UINT64_MAX}, 1, UINT64_MAX},
        {{3, UINT64_MAX / 2 + 2}, 1, UINT64_MAX / 2 + 2},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        uint64_t found = batch_growth_tokens(&cases[k].growth, cases[k].done_share);
        if (found != cases[k].expected)
            fail_msg("case %zu: %llu", k, (unsigned long long)found);
    }
}

static void sizes_never_shrink(void **state)
{
    (void)state;
    static const struct batch_growth growths[] = {{16, 64}, {7, 1000}, {1024, 1025}};
    for (size_t k = 0; k < ARRAY_LEN(growths); k++) {
        uint64_t before = growths[k].from;
        for (int step = 0; step <= 1000; step++) {
            uint64_t size = batch_growth_tokens(&growths[k], step / 1000.0);
            assert_true(size >= before && size <= 2 * before && size <= growths[k].to);
            before = size;
        }
        assert_true(before == growths[k].to);
    }
}

static void samples_grow_with_the_square_root(void **state)
{
    (void)state;
    static const struct {
        uint64_t from, batch_tokens;
        size_t n_samples, n_vocab, expected;
    } cases[] = {
        {1024, 1024, 2048, 30000, 2048},
        {1024, 4096, 2048, 30000, 4096},
        {1024, 2048, 2048, 30000, 2896},
        {1024, 16384, 8192, 30000, 29999}, /* all but a target */
        {1024, 16384, 7499, 30000, 29996},
        {16, 64, 8, 20, 16},
        {16, 16, 19, 20, 19},
        {16, 8, 8, 20, 6}, /* a smaller one: fewer */
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        const struct batch_growth growth = {cases[k].from, cases[k].batch_tokens};
        size_t found = batch_growth_samples(&growth, cases[k].batch_tokens, cases[k].n_samples,
                                            cases[k].n_vocab);
        if (found != cases[k].expected)
            fail_msg("case %zu: %zu", k, found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_double_at_equal_shares),
        cmocka_unit_test(sizes_never_shrink),
        cmocka_unit_test(samples_grow_with_the_square_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

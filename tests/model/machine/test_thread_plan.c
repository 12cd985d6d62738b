#include "machine/thread_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "defs.h"

#define MIB ((size_t)1 << 20)

static void threads_are_divided_by_what_the_cache_holds(void **state)
{
    (void)state;
    static const struct {
        size_t n_threads, n_each, step_bytes, cache_bytes;
        struct thread_plan plan;
    } cases[] = {
        {2, 0, 3 * MIB, 32 * MIB, {2, 1, 2}},   /* both find theirs */
        {2, 0, 10 * MIB, 32 * MIB, {1, 2, 2}},  /* they would not */
        {2, 0, 42 * MIB, 32 * MIB, {1, 2, 2}},  /* not even one does */
        {16, 0, 3 * MIB, 32 * MIB, {5, 3, 16}}, /* five do, and a thread is left over */
        {16, 0, 0, 32 * MIB, {16, 1, 16}},
        {16, 0, SIZE_MAX, SIZE_MAX, {1, 16, 16}},
        {1, 0, 42 * MIB, 32 * MIB, {1, 1, 1}},
        {1024, 0, 42 * MIB, 32 * MIB, {16, 64, 1024}}, /* more cannot work together */
        {4, 1, 42 * MIB, 32 * MIB, {4, 1, 4}},         /* as asked for */
        {4, 2, 3 * MIB, 32 * MIB, {2, 2, 4}},
        {4, 3, 3 * MIB, 32 * MIB, {1, 3, 4}},
        {4, 9, 3 * MIB, 32 * MIB, {1, 4, 4}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct thread_plan plan = thread_plan(cases[i].n_threads, cases[i].n_each,
                                              cases[i].step_bytes, cases[i].cache_bytes);
        assert_int_equal(plan.n_workers, cases[i].plan.n_workers);
        assert_int_equal(plan.n_each, cases[i].plan.n_each);
        assert_int_equal(plan.n_threads, cases[i].plan.n_threads);
    }
}

static void who_is_idle_lends_his_threads(void **state)
{
    (void)state;
    static const struct {
        struct thread_plan plan;
        size_t n_idle, expected;
    } cases[] = {
        {{2, 1, 2}, 0, 1},  {{2, 1, 2}, 1, 2},           {{1, 2, 2}, 0, 2},
        {{5, 3, 16}, 1, 6}, {{5, 3, 16}, 4, 15},         {{16, 1, 16}, SIZE_MAX, 16},
        {{4, 1, 4}, 3, 4},  {{1024, 1, 1024}, 1023, 64},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(thread_plan_with_idle(&cases[i].plan, cases[i].n_idle), cases[i].expected);
}

static void there_is_some_cache(void **state)
{
    (void)state;
    assert_true(thread_plan_cache_bytes() >= MIB / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_divided_by_what_the_cache_holds),
        cmocka_unit_test(who_is_idle_lends_his_threads),
        cmocka_unit_test(there_is_some_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

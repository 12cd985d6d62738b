/* The learning rate over a run, at every corner of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "defs.h"
#include "train/bilm/rate_schedule.h"

static void check(const char *what, size_t index, double found, double expected)
{
    if (!(fabs(found - expected) < 1e-12))
        fail_msg("%s %zu: %.15g, expected %.15g", what, index, found, expected);
}

static void the_warm_up_ends_by_steps_or_by_share(void **state)
{
    (void)state;
    static const struct {
        uint64_t n_steps;
        double done_share, expected;
    } cases[] = {
        {0, 0, 1. / 300},          /* the first step of a long run */
        {149, 0.001, 0.5},         /* by steps */
        {299, 0.001, 1},           /* the last step of the warm-up */
        {300, 0.001, 1},           /* and the one after it */
        {1000000, 0.5, 1},         /* long after it */
        {0, 0.025, 0.5},           /* a short run: by its share */
        {10, 0.05, 1},             /* it is over at 5 % */
        {10, 0.0499999, 0.999998}, /* and not before */
        {149, 0.01, 0.5},          /* the greater of both */
        {29, 0.01, 0.2},           /* the same, the other one */
        {0, 1, 1},                 /* a run of one step */
        {UINT64_MAX - 1, 0, 1},    /* no overflow */
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        check("warm-up", k, rate_warm_up(cases[k].n_steps, cases[k].done_share), cases[k].expected);
}

static void the_decay_is_a_straight_line_to_zero(void **state)
{
    (void)state;
    static const struct {
        double done_share, expected;
    } cases[] = {{0, 1},      {0.5, 1},        {0.7, 1}, {0.73, 0.9},
                 {0.85, 0.5}, {0.99, 1. / 30}, {1, 0},   {1.2, 0}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        check("decay", k, rate_decay(cases[k].done_share), cases[k].expected);
}

static void a_line_goes_from_where_it_begins_to_zero(void **state)
{
    (void)state;
    static const struct {
        struct rate_line line;
        uint64_t n_tokens;
        double done, decay;
    } cases[] = {
        {{1000, 200, 1}, 0, 0, 1},
        {{1000, 200, 1}, 1000, 0, 1},
        {{1000, 200, 1}, 1050, 0.25, 0.75},
        {{1000, 200, 1}, 1199, 0.995, 0.005},
        {{1000, 200, 1}, 1200, 1, 0},
        {{1000, 200, 1}, 5000, 1, 0},
        {{1000, 200, 0.4}, 1000, 0, 0.4},
        {{1000, 200, 0.4}, 1100, 0.5, 0.2},
        {{0, 1, 1}, 0, 0, 1},
        {{0, 1, 1}, 1, 1, 0},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        check("done", k, rate_line_done(&cases[k].line, cases[k].n_tokens), cases[k].done);
        check("line", k, rate_line_decay(&cases[k].line, cases[k].n_tokens), cases[k].decay);
    }
}

/* Over a whole run of 2000 steps: up, flat, down, in this order, and never above the peak. */
static void a_run_goes_up_once_and_down_once(void **state)
{
    (void)state;
    double before = 0, sum = 0;
    for (uint64_t step = 0; step < 2000; step++) {
        double share = (double)step / 2000, rate = rate_warm_up(step, share) * rate_decay(share);
        assert_true(rate > 0 && rate <= 1);
        assert_true(step <= 100 ? rate > before || rate == 1 : rate <= before);
        assert_true(step < 100 || step > 1400 || rate == 1);
        before = rate;
        sum += rate;
    }
    assert_true(fabs(sum / 2000 - (1 - 0.025 - 0.15)) < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_warm_up_ends_by_steps_or_by_share),
        cmocka_unit_test(the_decay_is_a_straight_line_to_zero),
        cmocka_unit_test(a_line_goes_from_where_it_begins_to_zero),
        cmocka_unit_test(a_run_goes_up_once_and_down_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

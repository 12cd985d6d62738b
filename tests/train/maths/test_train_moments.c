/* Adam's moments in bfloat16: rounding at random keeps what rounding to nearest would lose, and the
 * bits do not depend on the share of the array. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "train/maths/adam.h"
#include "util/rng.h"

enum { N = 1000 };

struct arrays {
    real w[N], gradients[N];
    moment first[N], second[N];
};

static double value_of(moment x)
{
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static void arrays_init(struct arrays *a)
{
    struct rng rng = {9};
    *a = (struct arrays){0};
    for (size_t k = 0; k < N; k++) {
        a->w[k] = (real)rng_uniform(&rng);
        a->gradients[k] = (real)(2 * rng_uniform(&rng) - 1);
    }
}

static void step(const struct loops *loops, struct arrays *a, uint64_t n, size_t begin, size_t end)
{
    const struct adam_rates rates = adam_rates_at(n, 1e-3, 1);
    loops->adam_compact(a->w + begin, a->first + begin, a->second + begin, a->gradients + begin,
                        end - begin, &rates, (uint32_t)(n * 7919 + begin));
}

/* A second moment of 1 and gradients of 0.9: each step lowers it by less than half of bfloat16's
 * last bit, so that rounding to nearest would keep 1 for ever. */
static void small_steps_are_not_lost(void **state)
{
    (void)state;
    static struct arrays a;
    double mean = 0, expected = 1;
    arrays_init(&a);
    for (size_t k = 0; k < N; k++) {
        a.second[k] = 0x3f80; /* 1 */
        a.gradients[k] = 0.9f;
    }
    for (uint64_t n = 1; n <= 300; n++) {
        step(loops_best(), &a, n, 0, N);
        expected = 0.999 * expected + 0.001 * 0.81;
    }
    for (size_t k = 0; k < N; k++)
        mean += value_of(a.second[k]) / N;
    assert_true(expected < 0.96);
    if (fabs(mean - expected) > 1e-3)
        fail_msg("mean second moment %.5f, in double %.5f", mean, expected);
    for (size_t k = 0, n_same = 0; k < N; k++) {
        n_same += a.second[k] == a.second[0];
        assert_true(n_same < N); /* each element has a random number of its own */
    }
}

/* The first moment too, in expectation. */
static void both_moments_follow_those_in_double(void **state)
{
    (void)state;
    static struct arrays a;
    static double first[N], second[N];
    double error[2] = {0}, size[2] = {0};
    struct rng rng = {4};
    arrays_init(&a);
    for (uint64_t n = 1; n <= 200; n++) {
        for (size_t k = 0; k < N; k++) {
            a.gradients[k] = (real)(2 * rng_uniform(&rng) - 1);
            double g = (double)a.gradients[k];
            first[k] = 0.9 * first[k] + 0.1 * g;
            second[k] = 0.999 * second[k] + 0.001 * g * g;
        }
        step(loops_best(), &a, n, 0, N);
    }
    for (size_t k = 0; k < N; k++) {
        error[0] += fabs(value_of(a.first[k]) - first[k]);
        error[1] += value_of(a.second[k]) - second[k]; /* signed: the bias */
        size[0] += fabs(first[k]);
        size[1] += second[k];
    }
    assert_true(error[0] < 0.01 * size[0]);
    assert_true(fabs(error[1]) < 0.002 * size[1]);
}

static void shares_give_the_bits_of_the_whole(void **state)
{
    (void)state;
    static struct arrays whole, parts;
    arrays_init(&whole);
    arrays_init(&parts);
    for (uint64_t n = 1; n <= 5; n++) {
        step(loops_best(), &whole, n, 0, N);
        step(loops_best(), &parts, n, 333, N);
        step(loops_best(), &parts, n, 0, 333);
    }
    assert_memory_equal(&whole, &parts, sizeof whole);
}

static void a_step_with_no_gradient_leaves_zeros(void **state)
{
    (void)state;
    static struct arrays a, before;
    arrays_init(&a);
    memset(a.gradients, 0, sizeof a.gradients);
    before = a;
    for (uint64_t n = 1; n <= 50; n++)
        step(loops_best(), &a, n, 0, N);
    assert_memory_equal(&a, &before, sizeof a); /* 0 is not rounded away from 0 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_steps_are_not_lost),
        cmocka_unit_test(both_moments_follow_those_in_double),
        cmocka_unit_test(shares_give_the_bits_of_the_whole),
        cmocka_unit_test(a_step_with_no_gradient_leaves_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The average of the weights against its definition, in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "support/fail_alloc.h"
#include "train/maths/weight_average.h"
#include "util/rng.h"

enum { N = 1003 };

/* The weights after a step: those of the last third move in every tenth step only, as the softmax's
 * rows of rare words do. */
static void move(real *weights, uint64_t step, struct rng *rng)
{
    for (size_t k = 0; k < N; k++) {
        real by = (real)(rng_uniform(rng) - 0.4);
        if (k < 2 * N / 3 || step % 10 == k % 10)
            weights[k] += by;
    }
}

/* sum_j c_j w_j / sum_j c_j, where w_j counts c_j = j (j + 1) .. (j + 15), or, once that is less,
 * 1 - B of all. */
struct naive {
    double sum[N], weight;
    uint64_t m;
};

static double power_weight(uint64_t j)
{
    double product = 1;
    for (uint64_t k = 0; k < WEIGHT_AVERAGE_POWER; k++)
        product *= (double)(j + k);
    return product;
}

static void naive_add(struct naive *naive, const real *weights, double decay)
{
    double b = pow(decay, WEIGHT_AVERAGE_EVERY), count = power_weight(++naive->m);
    if (count / (naive->weight + count) < 1 - b)
        count = naive->weight * (1 - b) / b;
    naive->weight += count;
    for (size_t k = 0; k < N; k++)
        naive->sum[k] += count * (double)weights[k];
}

static void check(const struct weight_average *a, const struct naive *naive)
{
    for (size_t k = 0; k < N; k++) {
        double expected = naive->sum[k] / naive->weight;
        if (!(fabs((double)a->values[k] - expected) < 2e-5 * (1 + fabs(expected))))
            fail_msg("step %llu, weight %zu: %.9g, expected %.9g", (unsigned long long)a->n_steps,
                     k, (double)a->values[k], expected);
    }
}

static void it_is_the_average_that_it_says(void **state)
{
    (void)state;
    static const double decays[] = {0.8, 0.9, 0.99, 0.9995};
    for (size_t d = 0; d < ARRAY_LEN(decays); d++) {
        struct weight_average a;
        struct team *team;
        struct naive naive = {{0}, 0, 0};
        struct rng rng = {5};
        real weights[N] = {0};
        assert_int_equal(team_new(&team, 2, NULL), 0);
        assert_int_equal(weight_average_init(&a, N, decays[d], NULL), 0);
        for (uint64_t step = 0; step < 2500; step++) {
            move(weights, step, &rng);
            if (step % WEIGHT_AVERAGE_EVERY == 0)
                naive_add(&naive, weights, decays[d]);
            weight_average_step(&a, weights, team);
            check(&a, &naive);
        }
        assert_int_equal(a.n_steps, 2500);
        weight_average_done(&a);
        team_free(team);
    }
}

/* Nothing of what it began with is left after the first step, and it is close behind the weights.
 */
static void it_starts_without_a_bias(void **state)
{
    (void)state;
    struct weight_average a;
    real weights[N];
    struct team *team;
    assert_int_equal(team_new(&team, 1, NULL), 0);
    assert_int_equal(weight_average_init(&a, N, 0.999999, NULL), 0);
    for (size_t k = 0; k < N; k++)
        weights[k] = 1000;
    weight_average_begin(&a, weights);
    assert_true(a.values[0] == 1000 && a.values[N - 1] == 1000);
    for (int m = 1; m <= 500; m++) {
        for (size_t k = 0; k < N; k++)
            weights[k] = (real)m;
        for (int k = 0; k < WEIGHT_AVERAGE_EVERY; k++)
            weight_average_step(&a, weights, team);
        double behind = m - (double)a.values[N / 2];
        assert_true(behind > -1e-4 && behind < (m - 1) / 17.0 + 1e-3);
        assert_true(m < 10 || behind > (m - 1) / 19.0);
    }
    weight_average_done(&a);
    team_free(team);
}

static void any_team_gives_the_same_bits(void **state)
{
    (void)state;
    struct weight_average of[3];
    for (size_t t = 0; t < 3; t++) {
        struct team *team;
        struct rng rng = {9};
        real weights[N] = {0};
        assert_int_equal(team_new(&team, t + 1, NULL), 0);
        assert_int_equal(weight_average_init(&of[t], N, 0.99, NULL), 0);
        for (uint64_t step = 0; step < 50; step++) {
            move(weights, step, &rng);
            weight_average_step(&of[t], weights, team);
        }
        team_free(team);
    }
    for (size_t t = 0; t < 3; t++)
        assert_memory_equal(of[t].values, of[0].values, N * sizeof(real));
    for (size_t t = 0; t < 3; t++)
        weight_average_done(&of[t]);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    struct weight_average a;
    fail_alloc_after(0);
    int r = weight_average_init(&a, N, 0.9, NULL);
    assert_true(fail_alloc_stop());
    assert_int_equal(r, ELMO_E_NOMEM);
    a = (struct weight_average){0};
    weight_average_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_average_that_it_says),
        cmocka_unit_test(it_starts_without_a_bias),
        cmocka_unit_test(any_team_gives_the_same_bits),
        cmocka_unit_test(failing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

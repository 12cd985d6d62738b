/* The token encoder's own loops, of every kernel that this processor has, against double:
 * convolutions by tables (Kim et al. 2016, arXiv:1508.06615, eq. 1 and 2) and highways. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "defs.h"
#include "kernels/char_table.h"
#include "reference/test_rng.h"

#define D         5
#define N_IDS     7
#define MAX_WIDTH 4
#define MAX_OUT   140
#define N_CHARS   12

static float embedding[N_IDS * D], kernel_of[MAX_WIDTH * D * MAX_OUT];
static uint16_t ids[N_CHARS];
static const struct kernel *kernel; /* that is tested */

static void for_all_kernels(void (*check)(void))
{
    for (size_t k = 0; (kernel = kernel_at(k)); k++) {
        if (kernel_is_supported(kernel))
            check();
        else
            print_message("SKIPPED: this processor has no %s\n", cpu_set_name(kernel->set));
    }
}

static void fill(float *values, size_t n, struct rng *rng)
{
    for (size_t k = 0; k < n; k++)
        values[k] = rng_symmetric(rng, 1);
}

/* ---- Convolution ---- */

static double value_of(size_t window, size_t filter, size_t width, size_t n_filters)
{
    double sum = 0;
    for (size_t k = 0; k < width; k++)
        for (size_t d = 0; d < D; d++)
            sum += (double)embedding[ids[window + k] * D + d] *
                   (double)kernel_of[(k * D + d) * n_filters + filter];
    return sum;
}

static void check_filter(const struct char_table *t, size_t n_windows)
{
    float y[MAX_OUT + 1];
    size_t n = 0;
    y[t->n_filters] = 77; /* not ours */
    for (size_t panel = 0; panel < t->n_panels; panel++)
        n += char_table_convolve(y + n, t, panel, ids, n_windows);
    assert_int_equal(n, t->n_filters);
    assert_true(y[n] == 77);
    for (size_t k = 0; k < n; k++) {
        double most = value_of(0, k, t->width, n);
        for (size_t p = 1; p < n_windows; p++)
            most = fmax(most, value_of(p, k, t->width, n));
        if (!(fabs((double)y[k] - most) < 3e-6))
            fail_msg("%s: filter %zu of %zu, width %zu: %.9g, expected %.9g",
                     cpu_set_name(kernel->set), k, n, t->width, (double)y[k], most);
    }
}

static void check_tables(void)
{
    static const size_t n_filters[] = {1, 16, 63, 64, 65, MAX_OUT};
    struct rng rng = {3};
    for (size_t f = 0; f < ARRAY_LEN(n_filters); f++)
        for (size_t width = 1; width <= MAX_WIDTH; width++) {
            struct char_table t;
            size_t n_bytes = char_table_bytes(kernel->tile, width, n_filters[f], N_IDS);
            AUTO(mem_free) void *memory = aligned_alloc(64, n_bytes);
            assert_non_null(memory);
            fill(embedding, ARRAY_LEN(embedding), &rng);
            fill(kernel_of, width * D * n_filters[f], &rng);
            for (size_t k = 0; k < N_CHARS; k++)
                ids[k] = (uint16_t)(rng_next(&rng) % N_IDS);
            char_table_init(&t, memory, kernel->tile, embedding, kernel_of, D, width, n_filters[f],
                            N_IDS);
            check_filter(&t, 1);
            check_filter(&t, N_CHARS - width + 1);
        }
}

static void tables_convolve_as_products_do(void **state)
{
    (void)state;
    for_all_kernels(check_tables);
}

static void check_sizes(void)
{
    assert_int_equal(char_table_bytes(kernel->tile, SIZE_MAX / 4, 64, 261), 0);
    assert_int_equal(char_table_bytes(kernel->tile, 7, SIZE_MAX / 4, 261), 0);
    assert_int_equal(char_table_bytes(kernel->tile, 7, 1, 261) % 64, 0);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    for_all_kernels(check_sizes);
}

/* ---- Highway ---- */

static void check_highway(void)
{
    enum { N = 131 };
    float y[N + 1], carry[N], transform[N], before[N];
    struct rng rng = {8};
    for (size_t n = 1; n <= N; n += 13) {
        fill(before, N, &rng);
        fill(carry, N, &rng);
        fill(transform, N, &rng);
        for (size_t k = 0; k < N; k++) {
            y[k] = before[k];
            carry[k] *= 120; /* shut, open and between */
        }
        y[n] = 77;
        kernel->tile->highway(y, carry, transform, n);
        assert_true(y[n] == 77);
        for (size_t k = 0; k < n; k++) {
            double g = 1 / (1 + exp(-(double)carry[k]));
            double expected = g * fmax((double)transform[k], 0) + (1 - g) * (double)before[k];
            if (!(fabs((double)y[k] - expected) < 1e-6))
                fail_msg("%s: %.9g, expected %.9g", cpu_set_name(kernel->set), (double)y[k],
                         expected);
        }
    }
}

static void highways_follow_the_equation(void **state)
{
    (void)state;
    for_all_kernels(check_highway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_convolve_as_products_do),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
        cmocka_unit_test(highways_follow_the_equation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

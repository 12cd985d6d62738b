/* The order of labelled texts and their division by group. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "train/data/labelled.h"
#include "util/rng.h"

/* A set of n items in n_groups groups of uneven sizes; `rating` numbers them. */
static struct labelled_set make_set(size_t n_items, size_t n_groups, size_t n_labels, uint64_t seed)
{
    struct labelled_set set = {.n_items = n_items, .n_labels = n_labels, .n_groups = n_groups};
    struct rng rng = {seed};
    set.items = calloc(n_items, sizeof *set.items);
    assert_non_null(set.items);
    for (size_t k = 0; k < n_items; k++) {
        double x = rng_uniform(&rng);
        set.items[k].n_bytes = k;
        set.items[k].group = k < n_groups ? (uint32_t)k : (uint32_t)(x * x * (double)n_groups);
        set.items[k].label = (uint32_t)(rng_next(&rng) % n_labels);
    }
    return set;
}

static void shuffling_is_a_permutation_that_the_seed_decides(void **state)
{
    (void)state;
    enum { N = 100 };
    struct labelled_text items[4][N];
    bool seen[N] = {false};
    static const uint64_t seeds[4] = {1, 1, 2, 3};
    for (size_t s = 0; s < 4; s++) {
        for (size_t k = 0; k < N; k++)
            items[s][k] = (struct labelled_text){.n_bytes = k};
        labelled_shuffle(items[s], N, seeds[s]);
    }
    assert_memory_equal(items[0], items[1], sizeof items[0]);
    assert_memory_not_equal(items[0], items[2], sizeof items[0]);
    assert_memory_not_equal(items[2], items[3], sizeof items[0]);
    for (size_t k = 0; k < N; k++)
        seen[items[0][k].n_bytes] = true;
    for (size_t k = 0; k < N; k++)
        assert_true(seen[k]);
    labelled_shuffle(items[0], 0, 1);
}

/* No group on both sides, both in order; the share of each label on the dev side. */
static void check_sides(const struct labelled_set *set, size_t n_train, double *ret_shares)
{
    bool *is_train = calloc(set->n_groups, sizeof *is_train);
    size_t n_of[8] = {0}, n_dev_of[8] = {0};
    for (size_t k = 0; k < set->n_items; k++) {
        const struct labelled_text *item = &set->items[k];
        n_of[item->label]++;
        if (k < n_train)
            is_train[item->group] = true;
        else
            n_dev_of[item->label]++;
        assert_true(k < n_train || !is_train[item->group]);
        assert_true(k == 0 || k == n_train || item->n_bytes > item[-1].n_bytes);
    }
    for (size_t label = 0; label < set->n_labels; label++)
        ret_shares[label] = (double)n_dev_of[label] / (double)n_of[label];
    free(is_train);
}

static void no_group_is_on_both_sides_and_labels_are_balanced(void **state)
{
    (void)state;
    static const struct {
        size_t n_items, n_groups, n_labels;
        double share, tolerance;
    } cases[] = {
        /* few groups of uneven sizes cannot be balanced better */
        {1000, 1000, 2, 0.1, 0.005}, {1000, 100, 2, 0.1, 0.05}, {1000, 100, 2, 0.5, 0.08},
        {5000, 400, 5, 0.2, 0.05},   {1000, 30, 2, 0.2, 0.12},  {1000, 100, 2, 0.9, 0.08},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct labelled_set set =
                make_set(cases[k].n_items, cases[k].n_groups, cases[k].n_labels, seed);
            double shares[8];
            size_t n_train;
            assert_int_equal(labelled_split_by_group(&set, seed, cases[k].share, &n_train, NULL),
                             0);
            check_sides(&set, n_train, shares);
            for (size_t label = 0; label < set.n_labels; label++)
                assert_true(fabs(shares[label] - cases[k].share) < cases[k].tolerance);
            labelled_done(&set);
        }
}

static void the_seed_decides_and_not_the_order_of_the_items(void **state)
{
    (void)state;
    bool is_dev[3][300] = {{false}};
    static const uint64_t seeds[3] = {7, 7, 8};
    for (size_t s = 0; s < 3; s++) {
        struct labelled_set set = make_set(300, 40, 2, 1);
        size_t n_train;
        if (s == 1)
            labelled_shuffle(set.items, set.n_items, 99);
        assert_int_equal(labelled_split_by_group(&set, seeds[s], 0.3, &n_train, NULL), 0);
        for (size_t k = n_train; k < set.n_items; k++)
            is_dev[s][set.items[k].n_bytes] = true;
        labelled_done(&set);
    }
    assert_memory_equal(is_dev[0], is_dev[1], sizeof is_dev[0]);
    assert_memory_not_equal(is_dev[0], is_dev[2], sizeof is_dev[0]);
}

static void what_cannot_be_divided_is_an_error(void **state)
{
    (void)state;
    static const struct {
        size_t n_items, n_groups;
        double share;
    } cases[] = {{10, 1, 0.5}, {10, 1, 0.9}, {10, 10, 0}, {10, 10, 0.01}, {10, 10, 1}, {1, 1, 0.6}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct labelled_set set = make_set(cases[k].n_items, cases[k].n_groups, 2, 1);
        struct elmo_error err = {0};
        size_t n_train = 77;
        assert_int_equal(labelled_split_by_group(&set, 1, cases[k].share, &n_train, &err),
                         ELMO_E_INVALID);
        assert_non_null(strstr(err.message, "cannot be divided"));
        assert_int_equal(n_train, 77);
        labelled_done(&set);
    }
}

static void failing_memory_leaves_the_items_as_they_were(void **state)
{
    (void)state;
    size_t n_good = 0, n_train;
    for (bool failed = true; failed; n_good++) {
        struct labelled_set set = make_set(20, 5, 2, 1), before = make_set(20, 5, 2, 1);
        fail_alloc_after(n_good);
        int r = labelled_split_by_group(&set, 1, 0.4, &n_train, NULL);
        failed = fail_alloc_stop();
        assert_int_equal(r, failed ? ELMO_E_NOMEM : 0);
        if (failed)
            assert_memory_equal(set.items, before.items, 20 * sizeof *set.items);
        labelled_done(&set);
        labelled_done(&before);
    }
    assert_true(n_good > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffling_is_a_permutation_that_the_seed_decides),
        cmocka_unit_test(no_group_is_on_both_sides_and_labels_are_balanced),
        cmocka_unit_test(the_seed_decides_and_not_the_order_of_the_items),
        cmocka_unit_test(what_cannot_be_divided_is_an_error),
        cmocka_unit_test(failing_memory_leaves_the_items_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

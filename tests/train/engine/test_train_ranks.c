/* The processes of a run: what one has reaches the others. PROGRAM N stop, and PROGRAM N fail: the
 * ranks wait for one another and do nothing else, until one gets a signal, or as rank 1 fails;
 * test_train_ranks_jobs.py looks at the job then. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/stop_signal.h"
#include "defs.h"
#include "ranks_program.h"

enum { MAX_RANKS = 3 };

static void a_launcher_is_seen_by_its_variables(void **state)
{
    (void)state;
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        unsetenv(names[k]);
    assert_int_equal(ranks_launched(), 0);
    for (size_t k = ARRAY_LEN(names); k > 0; k--) {
        char text[] = {(char)('1' + k), '\0'};
        setenv(names[k - 1], text, 1);
        assert_int_equal(ranks_launched(), 1 + k);
    }
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        unsetenv(names[k]);
}

static void every_rank_sees_what_all_have(void **state)
{
    (void)state;
    const size_t n = ranks.size, me = ranks.index;
    uint32_t all[MAX_RANKS], mine = (uint32_t)(10 + me);
    assert_int_equal(ranks_gather(&ranks, all, &mine, sizeof mine, NULL), 0);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(all[k], 10 + k);

    /* Rank r has r ids. */
    const size_t n_of[MAX_RANKS] = {0, 1, 2};
    const uint32_t mine_of[MAX_RANKS][2] = {{0}, {100}, {200, 201}}, expected[] = {100, 200, 201};
    uint32_t ids[3];
    assert_int_equal(ranks_gather_ids(&ranks, ids, mine_of[me], n_of, NULL), 0);
    assert_memory_equal(ids, expected, (n == 3 ? 3 : 1) * sizeof *ids);

    uint32_t shared[2] = {(uint32_t)me, (uint32_t)me};
    assert_int_equal(ranks_share_ids(&ranks, shared, 2, 1, NULL), 0);
    assert_int_equal(shared[0], 1);
    assert_int_equal(shared[1], 1);
}

static void one_rank_is_enough_for_any(void **state)
{
    (void)state;
    for (size_t k = 0; k <= ranks.size; k++) {
        bool any = k == ranks.index;
        assert_int_equal(ranks_any(&ranks, &any, NULL), 0);
        assert_true(any == (k < ranks.size));
    }
}

/* Floats that need more than one call of MPI, which ranks_mpi.c has sum 2^23 at once. */
static void sums_are_of_all_ranks(void **state)
{
    (void)state;
    const size_t n_floats = ((size_t)1 << 23) + 1003, n_doubles = 1003;
    const double of_ranks = (double)(ranks.size * (ranks.size + 1)) / 2;
    float *floats = calloc(n_floats, sizeof *floats);
    double *doubles = calloc(n_doubles, sizeof *doubles);
    assert_true(floats && doubles);
    for (size_t k = 0; k < n_floats; k++)
        floats[k] = (float)(k % 1000) * (float)(ranks.index + 1);
    for (size_t k = 0; k < n_doubles; k++)
        doubles[k] = (double)k / 3 * (double)(ranks.index + 1);
    assert_int_equal(ranks_sum_floats(&ranks, floats, n_floats, NULL), 0);
    assert_int_equal(ranks_sum_doubles(&ranks, doubles, n_doubles, NULL), 0);
    for (size_t k = 0; k < n_floats; k++)
        assert_true(floats[k] == (float)((double)(k % 1000) * of_ranks));
    for (size_t k = 0; k < n_doubles; k++)
        assert_true(fabs(doubles[k] - (double)k / 3 * of_ranks) <= 1e-15 * (double)k * of_ranks);
    free(floats);
    free(doubles);
}

static void ranks_that_disagree_say_so(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    uint64_t mine = 7;
    assert_int_equal(ranks_agree(&ranks, "vocabulary", &mine, sizeof mine, &err), 0);
    mine = ranks.index == 1 ? 8 : 7;
    assert_int_equal(ranks_agree(&ranks, "vocabulary", &mine, sizeof mine, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "rank 1 has another vocabulary than rank 0"));
}

/* Steps of a run that computes nothing. */
static int wait_for_stop(bool fails)
{
    const struct timespec step = {.tv_nsec = 10000000};
    struct elmo_error err = {0};
    bool any = false;
    int r = 0;
    stop_signal_catch();
    printf("rank %zu is process %ld\n", ranks.index, (long)getpid());
    fflush(stdout);
    while (!r && !any) {
        nanosleep(&step, NULL);
        if (fails && ranks.index == 1)
            ranks_stop(&ranks, 5);
        any = stop_signal_came();
        r = ranks_any(&ranks, &any, &err);
    }
    printf("rank %zu stops: %s\n", ranks.index, r ? err.message : "as told");
    return r;
}

static int stop(void)
{
    return wait_for_stop(false);
}

static int fail_one(void)
{
    return wait_for_stop(true);
}

static int run_alone(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_launcher_is_seen_by_its_variables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_together(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_sees_what_all_have),
        cmocka_unit_test(one_rank_is_enough_for_any),
        cmocka_unit_test(sums_are_of_all_ranks),
        cmocka_unit_test(ranks_that_disagree_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return ranks_program(argc, argv, run_alone, strcmp(argv[2], "fail") ? stop : fail_one);
    return ranks_program(argc, argv, run_alone, run_together);
}

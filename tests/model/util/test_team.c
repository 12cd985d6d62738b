/* A team's members run once a round, subteams are its first members, and barriers hold everybody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "util/team.h"

#define MEMBERS 5
#define ROUNDS  300

static struct {
    size_t n_runs[MEMBERS], n_wrong;
    size_t subteam;
    struct team_barrier barrier;
    size_t written[MEMBERS]; /* not atomic: the barrier is what orders them */
} seen;

static void count_me(void *arg, size_t index, size_t size)
{
    (void)arg;
    seen.n_runs[index]++;
    if (size != seen.subteam)
        seen.n_wrong++; /* all would write the same: only who is wrong gets here */
}

static void subteams_are_the_first_members(void **state)
{
    (void)state;
    struct team *team = NULL;
    size_t expected[MEMBERS] = {0};
    assert_int_equal(team_new(&team, MEMBERS, NULL), 0);
    assert_int_equal(team_size(team), MEMBERS);
    for (size_t round = 0; round < ROUNDS; round++) {
        seen.subteam = round % MEMBERS + 1;
        subteam_run(&(struct subteam){team, seen.subteam}, count_me, NULL);
        for (size_t k = 0; k < seen.subteam; k++)
            expected[k]++;
        assert_memory_equal(seen.n_runs, expected, sizeof expected);
    }
    assert_int_equal(seen.n_wrong, 0);
    team_free(team);
    seen.subteam = 1;
    subteam_run(&subteam_of_one, count_me, NULL);
    assert_int_equal(seen.n_runs[0], expected[0] + 1);
}

/* In every step each member sees what all wrote in the step before. */
static void step_together(void *arg, size_t index, size_t size)
{
    size_t *wrong = arg;
    for (size_t step = 1; step <= ROUNDS; step++) {
        seen.written[index] = step;
        team_wait(&seen.barrier);
        for (size_t k = 0; k < size; k++)
            wrong[index] += seen.written[k] != step;
        team_wait(&seen.barrier);
    }
}

static void barriers_hold_everybody(void **state)
{
    (void)state;
    for (size_t size = 1; size <= MEMBERS; size++) {
        struct team *team = NULL;
        size_t wrong[MEMBERS] = {0};
        assert_int_equal(team_new(&team, size, NULL), 0);
        team_barrier_init(&seen.barrier, size);
        team_run(team, step_together, wrong);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(wrong[k], 0);
        team_free(team);
    }
}

static void shares_cover_everything_once(void **state)
{
    (void)state;
    for (size_t n = 0; n < 20; n++)
        for (size_t size = 1; size < 8; size++)
            for (size_t index = 0, next = 0; index < size; index++) {
                size_t begin, end;
                team_share(n, index, size, &begin, &end);
                assert_int_equal(begin, next);
                assert_true(end - begin == n / size || end - begin == n / size + 1);
                next = end;
                if (index == size - 1)
                    assert_int_equal(end, n);
            }
}

static void a_team_has_1_to_64_members(void **state)
{
    (void)state;
    static const size_t wrong[] = {0, TEAM_MAX + 1, SIZE_MAX};
    for (size_t k = 0; k < ARRAY_LEN(wrong); k++) {
        struct team *team = NULL;
        struct elmo_error err = {0};
        assert_int_equal(team_new(&team, wrong[k], &err), ELMO_E_INVALID);
        assert_non_null(strstr(err.message, "1 to 64"));
        assert_null(team);
    }
    team_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subteams_are_the_first_members),
        cmocka_unit_test(barriers_hold_everybody),
        cmocka_unit_test(shares_cover_everything_once),
        cmocka_unit_test(a_team_has_1_to_64_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/cpu_features.h"
#include "text/text_isa.h"

static int lift_limit(void **state)
{
    (void)state;
    return cpu_limit(NULL) ? 0 : -1;
}

static void the_baseline_is_everywhere_and_sets_include_their_bases(void **state)
{
    (void)state;
    assert_true(cpu_has(CPU_BASELINE));
    assert_true(!cpu_has(CPU_AVX512) || cpu_has(CPU_AVX2));
    assert_true(!cpu_has(CPU_AVX512_VBMI) || cpu_has(CPU_AVX512));
    assert_true(!cpu_has(CPU_AVX512_VNNI) || cpu_has(CPU_AVX512));
    assert_true(!cpu_has(CPU_AVX512_BF16) || cpu_has(CPU_AVX512_VNNI));
}

static void a_limit_forbids_later_sets_and_keeps_earlier_ones(void **state)
{
    (void)state;
    bool had[CPU_N_SETS];
    for (enum cpu_set set = 0; set < CPU_N_SETS; set++)
        had[set] = cpu_has(set);
    for (enum cpu_set limit = 0; limit < CPU_N_SETS; limit++) {
        assert_true(cpu_limit(""));
        assert_int_equal(cpu_limit(cpu_set_name(limit)), had[limit]);
        for (enum cpu_set set = 0; set < CPU_N_SETS; set++)
            assert_int_equal(cpu_has(set), had[set] && (!had[limit] || set <= limit));
    }
}

static void names_that_no_set_has_change_nothing(void **state)
{
    (void)state;
    assert_true(cpu_limit("baseline"));
    assert_false(cpu_limit("avx1024"));
    assert_false(cpu_has(CPU_AVX2));
}

static void text_obeys_the_limit(void **state)
{
    (void)state;
    bool avx2 = cpu_has(CPU_AVX2), vbmi = cpu_has(CPU_AVX512_VBMI);
    assert_int_equal(text_isa_best(), vbmi ? CPU_AVX512_VBMI : avx2 ? CPU_AVX2 : CPU_BASELINE);
    if (avx2) {
        assert_true(cpu_limit("avx2"));
        assert_int_equal(text_isa_best(), CPU_AVX2);
    }
    assert_true(cpu_limit("baseline"));
    assert_int_equal(text_isa_best(), CPU_BASELINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_baseline_is_everywhere_and_sets_include_their_bases, lift_limit),
        cmocka_unit_test_setup(a_limit_forbids_later_sets_and_keeps_earlier_ones, lift_limit),
        cmocka_unit_test_setup(names_that_no_set_has_change_nothing, lift_limit),
        cmocka_unit_test_setup(text_obeys_the_limit, lift_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

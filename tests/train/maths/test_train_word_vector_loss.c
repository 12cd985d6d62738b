/* The loss of predicting word vectors, in double: by hand on two words, against central differences
 * (test_train_gradients has the whole objective), and where no word is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/maths/word_vector_loss.h"

#ifndef TRAIN_DOUBLE
#error "this test needs the trainer in double"
#endif

enum { P = 2, D = 3, N_WORDS = 3 };

static const float film[D] = {1, 2, 2}, good[D] = {0, 0, 3};
static const float *const targets[N_WORDS] = {film, NULL, good}; /* squares: 9 + 9 */
static const real vectors[N_WORDS * P] = {1, 0, 100, 100, 0, 2};

static double loss_of(const real *projection, real weight, real *dvectors, real *dprojection)
{
    struct arena arena = {0};
    double loss;
    assert_true(word_vector_loss(&loss, dvectors, dprojection, vectors, projection, targets,
                                 N_WORDS, P, D, weight, &arena));
    arena_done(&arena);
    return loss;
}

static void it_is_the_share_that_is_not_explained(void **state)
{
    (void)state;
    const real nothing[P * D] = {0}, all[P * D] = {1, 2, 2, 0, 0, 1.5}, half[P * D] = {1, 2, 2};
    real dv[N_WORDS * P] = {0}, da[P * D] = {0};
    assert_true(fabs(loss_of(nothing, 1, dv, da) - 1) < 1e-15);
    /* da = 2 / 18 * sum of v^T (v A - g) */
    const real expected[P * D] = {-1. / 9, -2. / 9, -2. / 9, 0, 0, -6. / 9};
    for (size_t k = 0; k < P * D; k++)
        assert_true(fabs(da[k] - expected[k]) < 1e-15);
    for (size_t k = 0; k < N_WORDS * P; k++)
        assert_true(dv[k] == 0); /* A is 0 */
    assert_true(fabs(loss_of(half, 1, dv, da) - 0.5) < 1e-15);
    assert_true(fabs(loss_of(half, 0.25, dv, da) - 0.125) < 1e-15);
    assert_true(loss_of(all, 1, dv, da) < 1e-15);
}

static void gradients_are_added_to_known_words_only(void **state)
{
    (void)state;
    const real half[P * D] = {1, 2, 2};
    real dv[N_WORDS * P] = {7, 7, 7, 7, 7, 7}, da[P * D] = {5, 5, 5, 5, 5, 5};
    loss_of(half, 1, dv, da);
    /* Of film nothing is left; good is off by -3 in the last dimension: dv = 2 / 18 * -3 * A[., 2].
     */
    const real expected[N_WORDS * P] = {7, 7, 7, 7, 7 - 6. / 9, 7};
    for (size_t k = 0; k < N_WORDS * P; k++)
        assert_true(fabs(dv[k] - expected[k]) < 1e-14);
    assert_true(fabs(da[5] - (5 - 6. / 9)) < 1e-14 && da[0] == 5);
}

static void without_a_known_word_it_is_0(void **state)
{
    (void)state;
    static const float zero[D];
    static const float *const none[N_WORDS] = {0}, *const zeros[N_WORDS] = {zero, zero, zero};
    const real half[P * D] = {1, 2, 2};
    real dv[N_WORDS * P] = {0}, da[P * D] = {0};
    struct arena arena = {0};
    double loss = 1;
    assert_true(word_vector_loss(&loss, dv, da, vectors, half, none, N_WORDS, P, D, 1, &arena));
    assert_true(loss == 0);
    loss = 1;
    assert_true(word_vector_loss(&loss, dv, da, vectors, half, zeros, N_WORDS, P, D, 1, &arena));
    assert_true(loss == 0);
    for (size_t k = 0; k < P * D; k++)
        assert_true(da[k] == 0);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_share_that_is_not_explained),
        cmocka_unit_test(gradients_are_added_to_known_words_only),
        cmocka_unit_test(without_a_known_word_it_is_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Each kernel against double precision: the error that its header states, over the whole range. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "kernels/kernels.h"
#include "kernels/packed_gemm.h"

#define STATED_ERROR 3e-7

static float next_random(uint64_t *seed) /* [-1, 1) */
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*seed >> 40) / 0x1p23 - 1);
}

static void check_activation(void (*kernel)(float *, size_t), double (*exact)(double),
                             const char *name)
{
    enum { N = 400001 };
    static float x[N], y[N];
    double worst = 0;
    for (size_t k = 0; k < N; k++)
        x[k] = y[k] = (float)((double)k - N / 2) * 1e-3f * (k % 3 ? 0.05f : 1.0f);
    kernel(y, N);
    for (size_t k = 0; k < N; k++)
        worst = fmax(worst, fabs((double)y[k] - exact((double)x[k])));
    printf("%s: max abs error %.2e\n", name, worst);
    assert_true(worst < STATED_ERROR);
}

static void tanh_keeps_its_stated_error(void **state)
{
    (void)state;
    check_activation(kernel_tanh, tanh, "tanh");
}

static void activations_saturate_without_nan(void **state)
{
    (void)state;
    const float ends[] = {-INFINITY, -3e38f, -1e4f, -88.0f, 88.0f, 1e4f, 3e38f, INFINITY};
    float t[ARRAY_LEN(ends)];
    memcpy(t, ends, sizeof ends);
    kernel_tanh(t, ARRAY_LEN(t));
    for (size_t k = 0; k < ARRAY_LEN(ends); k++)
        assert_true(fabs((double)t[k] - (ends[k] > 0 ? 1 : -1)) < STATED_ERROR);
}

static void nan_stays_nan(void **state)
{
    (void)state;
    float t = NAN;
    kernel_tanh(&t, 1);
    assert_true(t != t);
}

static void clip_and_relu_cut_where_they_should(void **state)
{
    (void)state;
    float x[] = {-5, -3, -1, 0, 1, 3, 5};
    kernel_clip(x, ARRAY_LEN(x), 0);
    assert_true(x[0] == -5 && x[6] == 5);
    kernel_clip(x, ARRAY_LEN(x), 3);
    assert_true(x[0] == -3 && x[1] == -3 && x[2] == -1 && x[5] == 3 && x[6] == 3);
    kernel_relu(x, ARRAY_LEN(x));
    assert_true(x[0] == 0 && x[2] == 0 && x[4] == 1 && x[6] == 3);
}

/* x @ w + bias for 1 to 9 rows: both sides of the row count where the product changes its way. */
static void linear_matches_double_for_all_row_counts(void **state)
{
    (void)state;
    enum { MAX_B = 9, IN = 37, OUT = 53 };
    static float x[MAX_B * IN], w[IN * OUT], bias[OUT], y[MAX_B * OUT];
    uint64_t seed = 1;
    for (size_t k = 0; k < ARRAY_LEN(x); k++)
        x[k] = next_random(&seed);
    for (size_t k = 0; k < ARRAY_LEN(w); k++)
        w[k] = next_random(&seed);
    for (size_t k = 0; k < ARRAY_LEN(bias); k++)
        bias[k] = next_random(&seed);
    for (size_t B = 1; B <= MAX_B; B++) {
        kernel_linear(y, x, B, w, bias, IN, OUT);
        kernel_linear_add(y, x, B, w, IN, OUT);
        for (size_t b = 0; b < B; b++)
            for (size_t n = 0; n < OUT; n++) {
                double exact = (double)bias[n];
                for (size_t k = 0; k < IN; k++)
                    exact += 2 * (double)x[b * IN + k] * (double)w[k * OUT + n];
                assert_true(fabs((double)y[b * OUT + n] - exact) < 1e-5);
            }
    }
}

/* x [B, IN] @ w [IN, OUT] of rows that are alone and in company, on both sides of a panel's and of
 * a block's end. */
enum { PACKED_B = 19, PACKED_IN = 700, PACKED_OUT = 75 };

static float *packed_of(const float *w, size_t n_in, size_t n_out, bool transposed)
{
    float *packed =
        aligned_alloc(64, (packed_gemm_floats(n_in, n_out) * sizeof(float) + 63) & ~63u);
    assert_non_null(packed);
    (transposed ? packed_gemm_pack_transposed : packed_gemm_pack)(packed, w, n_in, n_out);
    return packed;
}

static void check_packed(size_t n_in, size_t n_out, bool transposed)
{
    static float x[PACKED_B * PACKED_IN], w[PACKED_IN * PACKED_OUT], y[PACKED_B * PACKED_OUT];
    uint64_t seed = n_in + n_out;
    for (size_t k = 0; k < ARRAY_LEN(x); k++)
        x[k] = next_random(&seed);
    for (size_t k = 0; k < ARRAY_LEN(w); k++)
        w[k] = next_random(&seed);
    float *packed = packed_of(w, n_in, n_out, transposed);
    packed_gemm(y, x, PACKED_B, packed, n_in, n_out, false);
    packed_gemm(y, x, PACKED_B, packed, n_in, n_out, true);
    for (size_t b = 0; b < PACKED_B; b++)
        for (size_t n = 0; n < n_out; n++) {
            double exact = 0;
            for (size_t k = 0; k < n_in; k++)
                exact += 2 * (double)x[b * n_in + k] *
                         (double)(transposed ? w[n * n_in + k] : w[k * n_out + n]);
            assert_true(fabs((double)y[b * n_out + n] - exact) < 5e-5);
        }
    free(packed);
}

static void packed_products_match_double_for_all_sizes(void **state)
{
    (void)state;
    static const size_t n_ins[] = {1, 255, 256, 257, PACKED_IN},
                        n_outs[] = {1, 7, 16, 31, 32, 33, 64, PACKED_OUT};
    for (size_t i = 0; i < ARRAY_LEN(n_ins); i++)
        for (size_t o = 0; o < ARRAY_LEN(n_outs); o++) {
            check_packed(n_ins[i], n_outs[o], false);
            check_packed(n_ins[i], n_outs[o], true);
        }
}

static void packed_rows_have_the_same_bits_in_any_company(void **state)
{
    (void)state;
    static float x[PACKED_B * PACKED_IN], w[PACKED_IN * PACKED_OUT], alone[PACKED_OUT],
        together[PACKED_B * PACKED_OUT];
    uint64_t seed = 4;
    for (size_t k = 0; k < ARRAY_LEN(x); k++)
        x[k] = next_random(&seed);
    for (size_t k = 0; k < ARRAY_LEN(w); k++)
        w[k] = next_random(&seed);
    float *packed = packed_of(w, PACKED_IN, PACKED_OUT, false);
    for (size_t B = 1; B <= PACKED_B; B++) {
        packed_gemm(together, x, B, packed, PACKED_IN, PACKED_OUT, false);
        for (size_t b = 0; b < B; b++) {
            packed_gemm(alone, x + b * PACKED_IN, 1, packed, PACKED_IN, PACKED_OUT, false);
            assert_memory_equal(alone, together + b * PACKED_OUT, sizeof alone);
        }
    }
    free(packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tanh_keeps_its_stated_error),
        cmocka_unit_test(activations_saturate_without_nan),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(clip_and_relu_cut_where_they_should),
        cmocka_unit_test(linear_matches_double_for_all_row_counts),
        cmocka_unit_test(packed_products_match_double_for_all_sizes),
        cmocka_unit_test(packed_rows_have_the_same_bits_in_any_company),
    };
    kernels_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

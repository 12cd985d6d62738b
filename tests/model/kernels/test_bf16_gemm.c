/* Products in bfloat16, in every tile that this processor runs, against sums in double precision of
 * the same rounded factors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "file/safetensors.h"
#include "kernels/bf16_tile.h"

enum { MAX_M = 400, MAX_N = 1030, MAX_K = 1100 };

static float a_values[MAX_M * MAX_K], b_values[MAX_N * MAX_K], y[MAX_M * MAX_N];

static float next_random(uint64_t *seed) /* [-1, 1) */
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*seed >> 40) / 0x1p23 - 1);
}

static void fill(void)
{
    uint64_t seed = 11;
    for (size_t k = 0; k < ARRAY_LEN(a_values); k++)
        a_values[k] = next_random(&seed);
    for (size_t k = 0; k < ARRAY_LEN(b_values); k++)
        b_values[k] = next_random(&seed);
}

static double rounded(float value)
{
    uint32_t bits = (uint32_t)st_bf16_from_f32(value) << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return (double)wide;
}

static double at(struct bf16_factor f, size_t i, size_t k)
{
    return rounded(f.values[i * f.stride + k * f.k_stride]);
}

static struct bf16_factor factor(const float *values, size_t n, size_t K, bool k_side_by_side)
{
    return k_side_by_side ? (struct bf16_factor){values, K, 1} : (struct bf16_factor){values, 1, n};
}

static void assert_product(struct bf16_factor a, struct bf16_factor b, size_t M, size_t N, size_t K,
                           double before)
{
    for (size_t m = 0; m<M; m += M> 40 ? 13 : 1)
        for (size_t n = 0; n < N; n++) {
            double exact = before;
            for (size_t k = 0; k < K; k++)
                exact += at(a, m, k) * at(b, n, k);
            assert_true(fabs((double)y[m * N + n] - exact) < 1e-4);
        }
}

/* The two ways that each factor may lie, sizes on both sides of a tile's, a panel's and a block's
 * end. */
static void products_are_those_of_rounded_factors(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {
        {1, 1, 1},    {1, 75, 33},   {2, 32, 2},     {7, 31, 64},     {11, 33, 511},
        {12, 1, 512}, {13, 64, 513}, {24, 32, 1100}, {191, 40, 1025}, {192, 75, 1024},
        {193, 3, 40}, {400, 33, 37}, {3, 512, 40},   {13, 513, 33},   {5, 1030, 513}};
    fill();
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
        for (int way = 0; way < 4; way++) {
            size_t M = sizes[s][0], N = sizes[s][1], K = sizes[s][2];
            struct bf16_factor a = factor(a_values, M, K, way & 1),
                               b = factor(b_values, N, K, way & 2);
            bf16_gemm(y, a, b, M, N, K, false);
            assert_product(a, b, M, N, K, 0);
            for (size_t k = 0; k < M * N; k++)
                y[k] = 2;
            bf16_gemm(y, a, b, M, N, K, true);
            assert_product(a, b, M, N, K, 2);
        }
}

static uint32_t *packed_of(struct bf16_factor b, size_t N, size_t K)
{
    uint32_t *packed = aligned_alloc(64, (bf16_packed_size(N, K) * sizeof *packed + 63) & ~63u);
    assert_non_null(packed);
    bf16_pack(packed, b, N, K);
    return packed;
}

static void packed_products_have_the_same_bits_in_any_company(void **state)
{
    (void)state;
    enum { M = 50, N = 70, K = 1037 };
    static float alone[N];
    fill();
    for (int way = 0; way < 2; way++) {
        struct bf16_factor a = factor(a_values, M, K, true), b = factor(b_values, N, K, way);
        uint32_t *packed = packed_of(b, N, K);
        for (size_t rows = 1; rows <= M; rows += rows < 15 ? 1 : 7) {
            bf16_packed_gemm(y, a_values, rows, packed, N, K, false);
            assert_product(a, b, rows, N, K, 0);
            for (size_t m = 0; m < rows; m++) {
                bf16_packed_gemm(alone, a_values + m * K, 1, packed, N, K, false);
                assert_memory_equal(alone, y + m * N, sizeof alone);
            }
        }
        for (size_t k = 0; k < M * N; k++)
            y[k] = -1;
        bf16_packed_gemm(y, a_values, M, packed, N, K, true);
        assert_product(a, b, M, N, K, -1);
        free(packed);
    }
}

static void pack_panels(const struct bf16_tile *tile, uint32_t *b, struct bf16_factor f,
                        size_t columns, size_t K, size_t panel_stride)
{
    for (size_t n = 0; n < columns; n += BF16_COLUMNS, b += panel_stride) {
        const struct bf16_factor part = {f.values + n * f.stride, f.stride, f.k_stride};
        tile->pack_panel(b, part, min_size(BF16_COLUMNS, columns - n), K);
    }
}

/* Each tile by itself: what bf16_gemm chooses is one of them. */
static void check_tile(const struct bf16_tile *tile)
{
    enum { K = 75, MOST_PAIRS = 48 };
    static _Alignas(64) uint32_t a[MOST_PAIRS * BF16_MAX_ROWS], b[MOST_PAIRS * BF16_MAX_COLUMNS];
    size_t n_pairs = ((K + 1) / 2 + tile->pair_unit - 1) / tile->pair_unit * tile->pair_unit,
           stride = n_pairs * BF16_COLUMNS, most = tile->max_panels * BF16_COLUMNS;
    assert_true(tile->max_rows <= BF16_MAX_ROWS && most <= BF16_MAX_COLUMNS);
    fill();
    memset(a, 0xff, sizeof a); /* what is not packed is NaN */
    memset(b, 0xff, sizeof b);
    if (tile->begin)
        tile->begin();
    for (size_t rows = 1; rows <= tile->max_rows; rows++)
        for (size_t columns = 1; columns <= most; columns += columns % 5 + 1)
            for (int way = 0; way < 4; way++) {
                struct bf16_factor fa = factor(a_values, rows, K, way & 1),
                                   fb = factor(b_values, columns, K, way & 2);
                tile->pack_rows(a, fa, rows, K);
                pack_panels(tile, b, fb, columns, K, stride);
                y[rows * columns] = 77; /* after the end */
                tile->multiply(y, columns, rows, columns, a, b, stride, n_pairs, false);
                assert_product(fa, fb, rows, columns, K, 0);
                for (size_t k = 0; k < rows * columns; k++)
                    y[k] = 1;
                tile->multiply(y, columns, rows, columns, a, b, stride, n_pairs, true);
                assert_product(fa, fb, rows, columns, K, 1);
                assert_true(y[rows * columns] == 77);
            }
    if (tile->end)
        tile->end();
}

static void the_tile_in_plain_c_multiplies(void **state)
{
    (void)state;
    check_tile(&bf16_tile_baseline);
}

static void the_tile_of_vector_registers_multiplies(void **state)
{
    (void)state;
#ifdef HAVE_ISA_BUILDS
    if (__builtin_cpu_supports("avx512bf16")) {
        check_tile(&bf16_tile_avx512_bf16);
        return;
    }
#endif
    print_message("this processor has no AVX512_BF16\n");
    skip();
}

static void the_tile_of_amx_multiplies(void **state)
{
    (void)state;
#ifdef HAVE_ISA_BUILDS
    if (bf16_amx_is_there()) {
        check_tile(&bf16_amx);
        return;
    }
#endif
    print_message("this processor has no AMX\n");
    skip();
}

/* y = x * 1, x beside zeros, in rows long enough for every way of packing. */
static float one_product(float x, bool k_side_by_side)
{
    enum { K = 64 };
    static float values[2 * K], ones[2 * K];
    float two[4];
    for (size_t k = 0; k < 2 * K; k++)
        values[k] = 0, ones[k] = 1;
    values[0] = x;
    bf16_gemm(two, factor(values, 2, K, k_side_by_side), factor(ones, 2, K, true), 2, 2, K, false);
    return two[0];
}

static void numbers_round_to_nearest_even_and_nan_stays(void **state)
{
    (void)state;
    static const struct {
        float given, expected;
    } cases[] = {
        {1, 1},
        {1 + 0x1p-8f, 1},               /* half way: to even */
        {1 + 3 * 0x1p-8f, 1 + 0x1p-6f}, /* half way: to even */
        {1 + 0x1.1p-8f, 1 + 0x1p-7f},   /* above half way */
        {-1 - 0x1p-8f, -1},
        {0x1.fep127f, 0x1.fep127f},  /* the greatest */
        {0x1.fffffep127f, INFINITY}, /* rounds up */
        {-INFINITY, -INFINITY},
        {0x1p-100f, 0x1p-100f},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        for (int way = 0; way < 2; way++)
            assert_true(one_product(cases[k].given, way) == cases[k].expected);
    static const uint32_t nans[] = {0x7fc00000, 0x7f800001, 0xffffffff};
    for (size_t k = 0; k < ARRAY_LEN(nans); k++)
        for (int way = 0; way < 2; way++) {
            float nan;
            memcpy(&nan, &nans[k], sizeof nan);
            nan = one_product(nan, way);
            assert_true(nan != nan);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_rounded_factors),
        cmocka_unit_test(packed_products_have_the_same_bits_in_any_company),
        cmocka_unit_test(the_tile_in_plain_c_multiplies),
        cmocka_unit_test(the_tile_of_vector_registers_multiplies),
        cmocka_unit_test(the_tile_of_amx_multiplies),
        cmocka_unit_test(numbers_round_to_nearest_even_and_nan_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Packed products and LSTM steps in float32, bfloat16 and int8, of every kernel that this processor
 * has, against double: factors rounded as the type has it, sums exact. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "file/safetensors.h"
#include "kernels/packed.h"
#include "reference/test_rng.h"

#define MAX_B   19 /* more than three tiles of rows */
#define MAX_IN  1030
#define MAX_OUT 140

static float x[MAX_B * MAX_IN], w[MAX_IN * MAX_OUT];
static double rounded_x[MAX_B * MAX_IN], rounded_w[MAX_IN * MAX_OUT];

static void fill(float *values, size_t n, float size, struct rng *rng)
{
    for (size_t k = 0; k < n; k++)
        values[k] = size * rng_symmetric(rng, 1);
}

/* ---- What a type makes of numbers ---- */

static double as_bf16(float value)
{
    uint32_t bits = (uint32_t)st_bf16_from_f32(value) << 16;
    float widened;
    memcpy(&widened, &bits, sizeof widened);
    return (double)widened;
}

/* n numbers, `stride` apart, that share a scale in int8. */
static void round_as(double *to, const float *from, size_t n, size_t stride, enum elmo_dtype dtype)
{
    float greatest = 0;
    for (size_t k = 0; k < n; k++)
        greatest = fmaxf(greatest, fabsf(from[k * stride]));
    for (size_t k = 0; k < n; k++) {
        float value = from[k * stride], factor = greatest > 0 ? 127 / greatest : 0;
        to[k * stride] = dtype == ELMO_DTYPE_F32 ? (double)value
                         : dtype == ELMO_DTYPE_BF16
                             ? as_bf16(value)
                             : (double)roundf(value * factor) * (double)(greatest / 127);
    }
}

static double dot(size_t b, size_t n, size_t n_in, size_t n_out)
{
    double sum = 0;
    for (size_t k = 0; k < n_in; k++)
        sum += rounded_x[b * n_in + k] * rounded_w[k * n_out + n];
    return sum;
}

/* ---- A product ---- */

struct product {
    void *memory;
    struct packed_matrix matrix;
    uint32_t units[MAX_B * MAX_IN];
    float scales[MAX_B];
    struct lane_rows rows;
};

static struct product product;
static const struct kernel *kernel; /* that is tested */

static void product_init(enum elmo_dtype dtype, enum packed_order order, size_t B, size_t n_in,
                         size_t n_out)
{
    struct rng rng = {n_in * 1000 + n_out};
    struct product *p = &product;
    fill(x, B * n_in, 2, &rng);
    fill(w, n_in * n_out, 0.5f, &rng);
    for (size_t b = 0; b < B; b++)
        round_as(rounded_x + b * n_in, x + b * n_in, n_in, 1, dtype);
    for (size_t n = 0; n < n_out; n++)
        round_as(rounded_w + n, w + n, n_in, n_out, dtype);
    size_t n_bytes = packed_bytes(kernel->tile, dtype, order, n_in, n_out);
    assert_true(n_bytes > 0);
    p->memory = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    assert_non_null(p->memory);
    packed_init(&p->matrix, p->memory, kernel->tile, dtype, order, w, n_in, n_out);
    p->rows = packed_rows(&p->matrix, x, n_in, B, p->units, p->scales);
}

static void product_done(void)
{
    free(product.memory);
}

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: %.9g, expected %.9g", cpu_set_name(kernel->set), found, expected);
}

static void for_all_kernels(void (*check)(enum elmo_dtype dtype))
{
    for (size_t k = 0; (kernel = kernel_at(k)); k++) {
        if (!kernel_is_supported(kernel)) {
            print_message("SKIPPED: this processor has no %s\n", cpu_set_name(kernel->set));
            continue;
        }
        for (enum elmo_dtype dtype = 0; dtype < ELMO_N_DTYPES; dtype++)
            check(dtype);
    }
}

static void check_products(enum elmo_dtype dtype)
{
    static const size_t n_ins[] = {1, 2, 3, 5, 64, 511, 1025, MAX_IN},
                        n_outs[] = {1, 15, 16, 63, 64, 65, MAX_OUT}, rows[] = {1, 2, 7, MAX_B};
    static float y[MAX_B * MAX_OUT];
    for (size_t i = 0; i < ARRAY_LEN(n_ins); i++)
        for (size_t o = 0; o < ARRAY_LEN(n_outs); o++)
            for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
                size_t n_in = n_ins[i], n_out = n_outs[o], B = rows[r];
                product_init(dtype, PACKED_COLUMNS, B, n_in, n_out);
                packed_multiply(y, &product.rows, B, &product.matrix, packed_all(&product.matrix));
                packed_linear(y, &product.rows, B, &product.matrix, packed_all(&product.matrix),
                              NULL);
                for (size_t b = 0; b < B; b++)
                    for (size_t n = 0; n < n_out; n++)
                        assert_near((double)y[b * n_out + n], 2 * dot(b, n, n_in, n_out),
                                    2e-7 * (double)(n_in + 8));
                product_done();
            }
}

static void products_are_those_of_the_rounded_factors(void **state)
{
    (void)state;
    for_all_kernels(check_products);
}

/* Shares of the panels, walked either way, are the whole: no bit differs, and nobody writes what is
 * another's. */
static void check_shares(enum elmo_dtype dtype)
{
    enum { B = 7, N_IN = 70, N_OUT = 130 };
    static float whole[B * N_OUT], y[B * N_OUT], bias[N_OUT];
    const size_t sizes[] = {1, 2, 3, 4, 20};
    product_init(dtype, PACKED_COLUMNS, B, N_IN, N_OUT);
    fill(bias, N_OUT, 1, &(struct rng){5});
    packed_linear(whole, &product.rows, B, &product.matrix, packed_all(&product.matrix), bias);
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        memset(y, 0xff, sizeof y);
        for (size_t index = 0, n = 0; index < sizes[k]; index++) {
            struct panel_range range = packed_share(&product.matrix, index, sizes[k]);
            size_t begin, end;
            range.backwards = index % 2;
            packed_columns(&product.matrix, range, &begin, &end);
            assert_int_equal(begin, n);
            packed_linear(y, &product.rows, B, &product.matrix, range, bias);
            n = end;
            if (n < N_OUT)
                assert_true(isnan(y[n]));
        }
        assert_memory_equal(y, whole, sizeof whole);
    }
    product_done();
}

static void shares_make_the_whole(void **state)
{
    (void)state;
    for_all_kernels(check_shares);
}

/* ---- Steps ---- */

static double sigmoid(double z)
{
    return 1 / (1 + exp(-z));
}

/* A step of C cells behind n_in inputs, with a bias of its own as what came before. */
static void check_step(enum elmo_dtype dtype, size_t C, size_t n_in, size_t B, float clip)
{
    static float z[MAX_B * 4 * MAX_OUT], c[MAX_B * MAX_OUT], m[MAX_B * MAX_OUT];
    float bias[MAX_OUT], before[MAX_B * MAX_OUT] = {0};
    struct rng rng = {C};
    size_t G = packed_gate_floats(kernel->tile, C), stride = G / 4;
    product_init(dtype, PACKED_GATES, B, n_in, 4 * C);
    fill(bias, 4 * C, 8, &rng);
    for (size_t b = 0; b < B; b++) {
        packed_gate_bias(z + b * G, kernel->tile, bias, C);
        fill(before + b * stride, C, 2, &rng);
    }
    memcpy(c, before, sizeof before);
    packed_step(m, c, z, &product.rows, B, &product.matrix, packed_all(&product.matrix), clip);
    for (size_t b = 0; b < B; b++)
        for (size_t k = 0; k < stride; k++) {
            double gates[4] = {0}, limit = clip > 0 ? (double)clip : INFINITY;
            for (size_t g = 0; g < 4 && k < C; g++)
                gates[g] = (double)bias[g * C + k] + dot(b, g * C + k, n_in, 4 * C) + (g == 2);
            double cell = sigmoid(gates[2]) * (double)before[b * stride + k] +
                          sigmoid(gates[0]) * tanh(gates[1]);
            cell = fmax(-limit, fmin(limit, cell));
            assert_near((double)c[b * stride + k], cell, 1e-6 + 1e-7 * (double)n_in);
            assert_near((double)m[b * stride + k], sigmoid(gates[3]) * tanh(cell),
                        1e-6 + 1e-7 * (double)n_in);
        }
    product_done();
}

static void check_steps(enum elmo_dtype dtype)
{
    static const size_t sizes[] = {1, 4, 15, 16, 17, 35}, rows[] = {1, 3, 6, 13};
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
        for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
            check_step(dtype, sizes[s], 21, rows[r], 0);
            check_step(dtype, sizes[s], 4, rows[r], 0.7f);
        }
}

static void steps_follow_the_equations(void **state)
{
    (void)state;
    for_all_kernels(check_steps);
}

/* Gates of any size: sigmoid and tanh to their ends, and no NaN but where one came in. */
static void check_extremes(enum elmo_dtype dtype)
{
    static const float extremes[] = {0, 1e-30f, -1e-7f, 50, -50, 90, -90, 1e30f, -1e30f};
    float z[64], c[16], m[16], bias[64];
    assert_true(packed_gate_floats(kernel->tile, 1) <= 64);
    product_init(dtype, PACKED_GATES, 1, 3, 4);
    for (size_t k = 0; k < ARRAY_LEN(extremes); k++)
        for (size_t gate = 0; gate < 4; gate++) {
            for (size_t g = 0; g < 4; g++)
                bias[g] = g == gate ? extremes[k] : 0.25f;
            packed_gate_bias(z, kernel->tile, bias, 1);
            memset(c, 0, sizeof c);
            c[0] = 0.5f;
            packed_step(m, c, z, &product.rows, 1, &product.matrix, packed_all(&product.matrix), 0);
            double gates[4];
            for (size_t g = 0; g < 4; g++)
                gates[g] = (double)bias[g] + dot(0, g, 3, 4) + (g == 2);
            double cell = sigmoid(gates[2]) * 0.5 + sigmoid(gates[0]) * tanh(gates[1]);
            assert_near((double)c[0], cell, 2e-6);
            assert_near((double)m[0], sigmoid(gates[3]) * tanh(cell), 2e-6);
        }
    packed_gate_bias(z, kernel->tile, (float[]){0, NAN, 0, 0}, 1);
    packed_step(m, c, z, &product.rows, 1, &product.matrix, packed_all(&product.matrix), 3);
    assert_true(isnan(c[0]) && isnan(m[0]));
    product_done();
}

static void gates_saturate_without_nan(void **state)
{
    (void)state;
    for_all_kernels(check_extremes);
}

/* ---- Rows ---- */

static void check_company(enum elmo_dtype dtype)
{
    static float together[MAX_B * MAX_OUT], alone[MAX_OUT];
    for (size_t B = 1; B <= MAX_B; B++) {
        product_init(dtype, PACKED_COLUMNS, B, MAX_IN, MAX_OUT);
        packed_multiply(together, &product.rows, B, &product.matrix, packed_all(&product.matrix));
        for (size_t b = 0; b < B; b++) {
            const struct lane_rows one = {product.rows.units + b * product.rows.stride,
                                          product.rows.stride, product.scales + b};
            packed_multiply(alone, &one, 1, &product.matrix, packed_all(&product.matrix));
            assert_memory_equal(alone, together + b * MAX_OUT, sizeof alone);
        }
        product_done();
    }
}

static void rows_have_the_same_bits_in_any_company(void **state)
{
    (void)state;
    for_all_kernels(check_company);
}

static void check_not_finite(enum elmo_dtype dtype)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float y[3];
    for (size_t k = 0; k < ARRAY_LEN(bad); k++)
        for (size_t at = 0; at < 5; at++) {
            product_init(dtype, PACKED_COLUMNS, 1, 5, 3);
            x[at] = bad[k];
            product.rows = packed_rows(&product.matrix, x, 5, 1, product.units, product.scales);
            packed_multiply(y, &product.rows, 1, &product.matrix, packed_all(&product.matrix));
            for (size_t n = 0; n < 3; n++)
                assert_true(!isfinite(y[n]));
            product_done();
        }
}

static void what_is_not_finite_stays_so(void **state)
{
    (void)state;
    for_all_kernels(check_not_finite);
}

/* Next to nothing, and the greatest there is. */
static void check_sizes(enum elmo_dtype dtype)
{
    static const float sizes[] = {1e-44f, 1e-38f, 1e-31f, 1e30f, 3e38f};
    float y[3];
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        product_init(dtype, PACKED_COLUMNS, 1, 5, 3);
        for (size_t i = 0; i < 5; i++)
            x[i] = i ? 0 : sizes[k];
        round_as(rounded_x, x, 5, 1, sizes[k] < 1e-30f ? ELMO_DTYPE_F32 : dtype);
        product.rows = packed_rows(&product.matrix, x, 5, 1, product.units, product.scales);
        packed_multiply(y, &product.rows, 1, &product.matrix, packed_all(&product.matrix));
        for (size_t n = 0; n < 3; n++) {
            double exact = dot(0, n, 5, 3);
            assert_near((double)y[n], exact, 1e-30 + 1e-5 * fabs(exact));
        }
        product_done();
    }
}

static void numbers_of_any_size_are_multiplied(void **state)
{
    (void)state;
    for_all_kernels(check_sizes);
}

static void check_zeros(enum elmo_dtype dtype)
{
    float y[3] = {1, 1, 1};
    product_init(dtype, PACKED_COLUMNS, 1, 5, 3);
    memset(x, 0, 5 * sizeof *x);
    product.rows = packed_rows(&product.matrix, x, 5, 1, product.units, product.scales);
    packed_multiply(y, &product.rows, 1, &product.matrix, packed_all(&product.matrix));
    for (size_t n = 0; n < 3; n++)
        assert_true(y[n] == 0);
    product_done();
}

static void zeros_are_zeros(void **state)
{
    (void)state;
    for_all_kernels(check_zeros);
}

static void kernels_are_found_by_name(void **state)
{
    (void)state;
    size_t n = 0;
    for (const struct kernel *known; (known = kernel_at(n)); n++)
        assert_ptr_equal(kernel_find(cpu_set_name(known->set)),
                         kernel_is_supported(known) ? known : NULL);
    assert_ptr_equal(kernel_find("baseline"), kernel_at(n - 1));
    assert_non_null(kernel_find(""));
    assert_ptr_equal(kernel_find(NULL), kernel_find(""));
    assert_null(kernel_find("avx1024"));
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    const struct lane_tile *tile = kernel_find("")->tile;
    assert_int_equal(packed_bytes(tile, ELMO_DTYPE_F32, PACKED_COLUMNS, SIZE_MAX / 64, 640), 0);
    assert_int_equal(packed_bytes(tile, ELMO_DTYPE_INT8, PACKED_GATES, SIZE_MAX - 1, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_the_rounded_factors),
        cmocka_unit_test(shares_make_the_whole),
        cmocka_unit_test(steps_follow_the_equations),
        cmocka_unit_test(gates_saturate_without_nan),
        cmocka_unit_test(rows_have_the_same_bits_in_any_company),
        cmocka_unit_test(what_is_not_finite_stays_so),
        cmocka_unit_test(numbers_of_any_size_are_multiplied),
        cmocka_unit_test(zeros_are_zeros),
        cmocka_unit_test(kernels_are_found_by_name),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}

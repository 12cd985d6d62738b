#pragma once
/* Products of float matrices whose factors are rounded to bfloat16 (nearest even) and whose sums
 * are float32: several times the speed of sgemm where the processor has AMX, up to twice where it
 * has AMD's AVX512_BF16. The relative error is about 2^-9 in each factor. Factors beside each other
 * in the sum are multiplied as a pair.
 *
 * The order of additions depends only on the sizes, so the same call gives the same bits on the
 * same processor. No allocation; no state but a scratch of its own for each thread; any thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Are these products faster than sgemm's here? Elsewhere the same products are made more slowly, in
 * plain C at worst. */
bool bf16_gemm_is_fast(void);

/* Element (i, k) of a factor: values[i * stride + k * k_stride], one of the strides being 1. k
 * counts along the sum. */
struct bf16_factor {
    const float *values;
    size_t stride, k_stride;
};

/* y [M, N] (+)= the sum over k < K, K > 0, of a (m, k) b (n, k); `add` adds to y. */
void bf16_gemm(float *y, struct bf16_factor a, struct bf16_factor b, size_t M, size_t N, size_t K,
               bool add);

/* The factor b of many products, rounded and put in order once: [bf16_packed_size(N, K)], aligned
 * to 64 bytes. */
size_t bf16_packed_size(size_t N, size_t K); /* in uint32_t */
void bf16_pack(uint32_t *packed, struct bf16_factor b, size_t N, size_t K);
/* As bf16_gemm, a (m, k) = a[m * K + k]. */
void bf16_packed_gemm(float *y, const float *a, size_t M, const uint32_t *packed, size_t N,
                      size_t K, bool add);

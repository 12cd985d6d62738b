#include "limits_loops.h"

#include "kernels/lanes.h"

/* The sums start with different values, or the compiler would compute only one. */
static void init_sums(lanes sums[LIMITS_SUMS])
{
    for (size_t k = 0; k < LIMITS_SUMS; k++)
        sums[k] = lanes_of((float)(k + 1));
}

static float total(const lanes *sums, size_t n)
{
    lanes all = {0};
    float x = 0;
    for (size_t k = 0; k < n; k++)
        all += sums[k];
    for (size_t k = 0; k < LANES; k++)
        x += all[k];
    return x;
}

/* s = s / 2 + 1, which stays near 2. A product that does not depend on s would be computed once. */
static float multiply_f32(size_t n_rounds)
{
    lanes sums[LIMITS_SUMS], half = lanes_of(0.5f), one = lanes_of(1);
    init_sums(sums);
    for (size_t round = 0; round < n_rounds; round++)
        for (size_t k = 0; k < LIMITS_SUMS; k++)
            sums[k] = sums[k] * half + one;
    return total(sums, LIMITS_SUMS);
}

#ifdef __AVX512BF16__
static float multiply_bf16(size_t n_rounds)
{
    lanes sums[LIMITS_SUMS];
    __m512bh one = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    init_sums(sums);
    for (size_t round = 0; round < n_rounds; round++)
        for (size_t k = 0; k < LIMITS_SUMS; k++)
            sums[k] = (lanes)_mm512_dpbf16_ps((__m512)sums[k], one, one);
    return total(sums, LIMITS_SUMS);
}
#endif

#ifdef __AVX512VNNI__
static float multiply_int8(size_t n_rounds)
{
    __m512i sums[LIMITS_SUMS], one = _mm512_set1_epi32(0x01010101), all = _mm512_setzero_si512();
    for (size_t k = 0; k < LIMITS_SUMS; k++)
        sums[k] = _mm512_set1_epi32((int)k);
    for (size_t round = 0; round < n_rounds; round++)
        for (size_t k = 0; k < LIMITS_SUMS; k++)
            sums[k] = _mm512_dpbusd_epi32(sums[k], one, one);
    for (size_t k = 0; k < LIMITS_SUMS; k++)
        all = _mm512_add_epi32(all, sums[k]);
    return (float)_mm512_reduce_add_epi32(all);
}
#endif

static float read(const float *x, size_t n)
{
    enum { N_SUMS = 8 }; /* two loads per cycle, and four cycles per addition */
    const lanes *from = (const lanes *)x;
    lanes sums[N_SUMS] = {{0}};
    for (size_t k = 0; k < n / LANES; k += N_SUMS)
        for (size_t s = 0; s < N_SUMS; s++)
            sums[s] += from[k + s];
    return total(sums, N_SUMS);
}

const struct limits_loops ISA_NAME(limits_loops) = {
    .multiply =
        {
            [ELMO_DTYPE_F32] = multiply_f32,
#ifdef __AVX512BF16__
            [ELMO_DTYPE_BF16] = multiply_bf16,
#endif
#ifdef __AVX512VNNI__
            [ELMO_DTYPE_INT8] = multiply_int8,
#endif
        },
    .madds =
        {[ELMO_DTYPE_F32] = LANES, [ELMO_DTYPE_BF16] = 2 * LANES, [ELMO_DTYPE_INT8] = 4 * LANES},
    .read = read,
};

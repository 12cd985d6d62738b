/* Elements of safetensors.h: half-width floats to float32 and back. */
#include <string.h>

#include "safetensors.h"
#include "util/bf16.h"

static float f32_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t load_u16(const unsigned char *src)
{
    return (uint32_t)(src[0] | src[1] << 8);
}

static uint32_t load_u32(const unsigned char *src)
{
    return load_u16(src) | load_u16(src + 2) << 16;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float f32_from_f16(uint32_t half)
{
    uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    if (exponent == 0x1f)
        return f32_from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent)
        return f32_from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f; /* zero or subnormal */
    return sign ? -magnitude : magnitude;
}

void st_to_f32(float *dst, const unsigned char *src, enum st_dtype dtype, size_t n)
{
    for (size_t k = 0; k < n && dtype == ST_F32; k++)
        dst[k] = f32_from_bits(load_u32(src + 4 * k));
    for (size_t k = 0; k < n && dtype == ST_BF16; k++)
        dst[k] = f32_from_bits(load_u16(src + 2 * k) << 16);
    for (size_t k = 0; k < n && dtype == ST_F16; k++)
        dst[k] = f32_from_f16(load_u16(src + 2 * k));
}

static uint32_t bits_of_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

uint16_t st_bf16_from_f32(float value)
{
    return (uint16_t)bf16_from_f32_bits(bits_of_f32(value));
}

uint16_t st_f16_from_f32(float value)
{
    uint32_t bits = bits_of_f32(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u); /* NaN */
    if (magnitude >= 0x477ff000u)          /* 65520: nearer to 65536 than to the greatest */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) /* below 2^-14: the sum's last bit is worth 2^-24 */
        return (uint16_t)(sign | (bits_of_f32(f32_from_bits(magnitude) + 0.5f) - 0x3f000000u));
    magnitude -= (uint32_t)(127 - 15) << 23;
    return (uint16_t)(sign | (magnitude + 0xfffu + (magnitude >> 13 & 1u)) >> 13);
}

/* The k-th half-width value never overtakes the k-th float. */
void st_round_to_bf16(float *values, size_t n)
{
    unsigned char *bytes = (unsigned char *)values;
    for (size_t k = 0; k < n; k++) {
        uint16_t rounded = st_bf16_from_f32(values[k]);
        memcpy(bytes + 2 * k, &rounded, sizeof rounded);
    }
}

#pragma once
/* An exponential that a compiler can turn into vector code: no call, no branch. */
#include <stdint.h>

/* exp(x) for x in [-87, 87], outside that of the nearest end. With x = n ln 2 + r, |r| <= ln 2 / 2:
 * exp(x) = 2^n exp(r), and the Taylor series to r^7 is off by less than r^8 / 8! < 6e-9. ln 2 is
 * split in two so that n * LN2_HIGH is exact. */
static inline float fast_exp(float x)
{
    const float LOG2_E = 1.44269504f, LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
    x = x > 87.0f ? 87.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float nearest = x * LOG2_E + (x < 0 ? -0.5f : 0.5f);
    int32_t n = (int32_t)(x == x ? nearest : 0); /* NaN has no integer; r keeps it */
    float r = x - (float)n * LN2_HIGH - (float)n * LN2_LOW;
    float p = 1 / 5040.0f;
    p = p * r + 1 / 720.0f;
    p = p * r + 1 / 120.0f;
    p = p * r + 1 / 24.0f;
    p = p * r + 1 / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    union {
        int32_t bits;
        float value;
    } power = {.bits = (n + 127) << 23};
    return p * power.value;
}

/* Element-wise functions, written so that a compiler turns every loop into vector code: no calls
 * into libm, no branches. */
#include "kernels.h"

#include <stdint.h>
#include <string.h>

#include "fast_math.h"

/* From exp(-2|x|), which cannot overflow. */
static inline float fast_tanh(float x)
{
    float magnitude = x < 0 ? -x : x;
    float e = fast_exp(-2.0f * magnitude);
    float y = (1.0f - e) / (1.0f + e);
    return x < 0 ? -y : y;
}

static inline float clip_to(float x, float limit)
{
    x = x > limit ? limit : x;
    return x < -limit ? -limit : x;
}

void kernel_tanh(float *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        x[k] = fast_tanh(x[k]);
}

void kernel_relu(float *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        x[k] = x[k] > 0 ? x[k] : 0;
}

void kernel_clip(float *x, size_t n, float clip)
{
    for (size_t k = 0; k < n && clip > 0; k++)
        x[k] = clip_to(x[k], clip);
}

void kernel_add(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        y[k] += x[k];
}

bool kernel_all_finite(const float *x, size_t n)
{
    const uint32_t EXPONENT = 0x7f800000u; /* all ones: infinite, or no number */
    uint32_t n_bad = 0;
    for (size_t k = 0; k < n; k++) {
        uint32_t bits;
        memcpy(&bits, &x[k], sizeof bits);
        n_bad |= (bits & EXPONENT) == EXPONENT;
    }
    return !n_bad;
}

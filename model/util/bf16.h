#pragma once
/* bfloat16: the upper half of a float32. */
#include <stdint.h>

/* The bits of a float32 rounded to bfloat16, to nearest even. Infinities stay; NaN stays NaN. */
static inline uint32_t bf16_from_f32_bits(uint32_t bits)
{
    uint32_t up = bits + 0x7fffu + (bits >> 16 & 1u);
    return ((bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : up) >> 16;
}

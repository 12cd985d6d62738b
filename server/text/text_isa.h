#pragma once
/* float_text and base64 have loops for newer instruction sets: sources that are compiled once for
 * each (meson: text_builds). One for CPU_AVX2, one for
 * CPU_AVX512_VBMI. All write the same bytes. */
#include <stddef.h>

#include "machine/cpu_features.h"

/* The newest of these sets that may be used. Any thread. */
static inline enum cpu_set text_isa_best(void)
{
    if (cpu_has(CPU_AVX512_VBMI))
        return CPU_AVX512_VBMI;
    return cpu_has(CPU_AVX2) ? CPU_AVX2 : CPU_BASELINE;
}

/* The loops. Of base64: encodes whole groups of 3 bytes from the front and returns how many bytes
 * it encoded, at most 47 less than n_bytes; writes the 4 characters of each group and no more. */
size_t base64_encode_avx2(char *dst, const unsigned char *src, size_t n_bytes);
size_t base64_encode_avx512(char *dst, const unsigned char *src, size_t n_bytes);
size_t float_text_write_list_avx2(char *dst, const float *values, size_t n_values);
size_t float_text_write_list_avx512(char *dst, const float *values, size_t n_values);

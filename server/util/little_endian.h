#pragma once
/* float32 as little-endian bytes, the byte order of all binary formats here. */
#include <stdint.h>
#include <string.h>

/* Stores n values in dst[4 * n]. dst needs no alignment. */
static inline void little_endian_store(void *dst, const float *values, size_t n)
{
    memcpy(dst, values, n * sizeof *values);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (unsigned char *b = dst; n > 0; n--, b += 4) {
        const unsigned char swapped[4] = {b[3], b[2], b[1], b[0]};
        memcpy(b, swapped, sizeof swapped);
    }
#endif
}

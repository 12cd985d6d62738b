#include "base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_3(char dst[static 4], const unsigned char src[static 3])
{
    uint32_t group = (uint32_t)src[0] << 16 | (uint32_t)src[1] << 8 | src[2];
    dst[0] = alphabet[group >> 18];
    dst[1] = alphabet[group >> 12 & 63];
    dst[2] = alphabet[group >> 6 & 63];
    dst[3] = alphabet[group & 63];
}

/* Returns the number of bytes encoded, in whole groups of 3. encode_3 encodes the rest. */
static size_t encode_many(char *dst, const unsigned char *src, size_t n_bytes, enum cpu_set isa)
{
#ifdef HAVE_ISA_BUILDS
    if (isa == CPU_AVX512_VBMI)
        return base64_encode_avx512(dst, src, n_bytes);
    if (isa == CPU_AVX2)
        return base64_encode_avx2(dst, src, n_bytes);
#endif
    (void)dst, (void)src, (void)n_bytes, (void)isa;
    return 0;
}

void base64_encode(char *dst, const void *bytes, size_t n_bytes, enum cpu_set isa)
{
    const unsigned char *src = bytes;
    size_t i = encode_many(dst, src, n_bytes, isa);
    dst += i / 3 * 4;
    for (; n_bytes - i >= 3; i += 3, dst += 4)
        encode_3(dst, src + i);
    if (i < n_bytes) {
        unsigned char last[3] = {src[i], n_bytes - i > 1 ? src[i + 1] : 0, 0};
        encode_3(dst, last);
        dst[3] = '=';
        if (n_bytes - i == 1)
            dst[2] = '=';
    }
}

void base64_append(struct buffer *buffer, const void *bytes, size_t n_bytes)
{
    size_t n_chars;
    if (!mul_ok(n_bytes / 3 + (n_bytes % 3 > 0), 4, &n_chars)) {
        buffer->failed = true;
        return;
    }
    char *dst = buffer_reserve(buffer, n_chars);
    if (!dst)
        return;
    base64_encode(dst, bytes, n_bytes, text_isa_best());
    buffer_commit(buffer, n_chars);
}

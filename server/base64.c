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

void base64_append(struct buffer *buffer, const void *bytes, size_t n_bytes)
{
    const unsigned char *src = bytes;
    size_t n_groups = n_bytes / 3, n_rest = n_bytes % 3;
    size_t n_chars;
    if (!mul_ok(n_groups + (n_rest > 0), 4, &n_chars)) {
        buffer->failed = true;
        return;
    }
    char *dst = buffer_reserve(buffer, n_chars);
    if (!dst)
        return;
    for (size_t i = 0; i < n_groups; i++, src += 3, dst += 4)
        encode_3(dst, src);
    if (n_rest > 0) {
        unsigned char last[3] = {src[0], n_rest > 1 ? src[1] : 0, 0};
        encode_3(dst, last);
        dst[3] = '=';
        if (n_rest == 1)
            dst[2] = '=';
    }
    buffer_commit(buffer, n_chars);
}

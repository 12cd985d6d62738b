#pragma once
/* SHA-256 of bytes that come in parts, as 64 hex digits. No allocation; one thread at a time. */
#include <nettle/sha2.h>
#include <stddef.h>

#define SHA256_HEX_BYTES 65 /* with the NUL */

struct sha256 {
    struct sha256_ctx context;
};

void sha256_begin(struct sha256 *sha256);
void sha256_add(struct sha256 *sha256, const void *bytes, size_t n_bytes);
void sha256_end(struct sha256 *sha256, char ret_hex[static SHA256_HEX_BYTES]);

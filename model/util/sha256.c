#include "sha256.h"

#include <stdint.h>
#include <stdio.h>

void sha256_begin(struct sha256 *sha256)
{
    sha256_init(&sha256->context);
}

void sha256_add(struct sha256 *sha256, const void *bytes, size_t n_bytes)
{
    sha256_update(&sha256->context, n_bytes, bytes);
}

void sha256_end(struct sha256 *sha256, char ret_hex[static SHA256_HEX_BYTES])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&sha256->context, sizeof digest, digest);
    for (size_t k = 0; k < sizeof digest; k++)
        snprintf(ret_hex + 2 * k, 3, "%02x", digest[k]);
}

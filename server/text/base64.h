#pragma once
/* Base64 with padding, no line breaks (RFC 4648, section 4). */
#include "text_isa.h"
#include "util/buffer.h"

/* Appends the 4 * ceil(n_bytes / 3) characters; a failure shows in buffer->failed. */
void base64_append(struct buffer *buffer, const void *bytes, size_t n_bytes);

/* Writes as many to dst, with any instruction set up to text_isa_best(): all write the same. */
void base64_encode(char *dst, const void *bytes, size_t n_bytes, enum text_isa isa);

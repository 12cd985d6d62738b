#pragma once
/* Base64 with padding, no line breaks (RFC 4648, section 4). */
#include "text_isa.h"
#include "util/buffer.h"

/* Appends 4 * ceil(n_bytes / 3) characters. Failure: buffer->failed. */
void base64_append(struct buffer *buffer, const void *bytes, size_t n_bytes);

/* Writes the same characters to dst[4 * ceil(n_bytes / 3)], with any instruction set up to
 * text_isa_best(). The result does not depend on it. */
void base64_encode(char *dst, const void *bytes, size_t n_bytes, enum cpu_set isa);

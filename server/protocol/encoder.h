#pragma once
/* Content codings of answers (RFC 9110, section 8.4.1). An encoder reads plain bytes from a source
 * and returns encoded ones, piece by piece, so that an answer can be encoded while it is written.
 *
 *     AUTO(encoder_free) struct encoder *e = NULL;
 *     if (encoder_new(&e, CODING_GZIP, read_plain, plain, &err) == 0)
 *         while ((n = encoder_read(e, dst, sizeof dst)) > 0)
 *             send(dst, n);
 *
 * It uses the fast levels (zlib 1, zstd 1), because higher levels do not compress digits of floats
 * better. One owner at a time. */
#include <stdint.h>
#include <sys/types.h>

#include "defs.h"
#include "elmo.h"

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_ZSTD };

/* The name in Content-Encoding; NULL for CODING_IDENTITY. */
const char *coding_name(enum coding coding);

/* The most memory that an encoder uses, in bytes; 0 for CODING_IDENTITY. */
size_t coding_memory_bytes(enum coding coding);

/* Writes 1 to n_max bytes to dst and returns their number. 0: end; -1: failure. */
typedef ssize_t encoder_source(void *from, char *dst, size_t n_max);

struct encoder;

/* `coding` is not CODING_IDENTITY; `from` is borrowed. 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int encoder_new(struct encoder **ret_encoder, enum coding coding,
                              encoder_source *source, void *from, struct elmo_error *err);
void encoder_free(struct encoder *encoder); /* NULL is fine */
DEFINE_AUTO(encoder_free, struct encoder *);

/* Writes the next encoded bytes to dst; returns like an encoder_source. */
ssize_t encoder_read(struct encoder *encoder, char *dst, size_t n_max);

#pragma once
/* An answer in a content coding (RFC 9110, section 8.4.1): pulls plain bytes from a source and
 * gives coded ones, piece by piece, so that an answer that is made while it is sent stays one.
 *
 *     AUTO(encoder_free) struct encoder *e = NULL;
 *     if (encoder_new(&e, CODING_GZIP, read_plain, plain, &err) == 0)
 *         while ((n = encoder_read(e, dst, sizeof dst)) > 0)
 *             send(dst, n);
 *
 * The fast levels (zlib's 1, zstd's 1): digits of random floats do not shrink further by searching
 * longer. One owner at a time. */
#include <stdint.h>
#include <sys/types.h>

#include "defs.h"
#include "elmo.h"

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_ZSTD };

/* As Content-Encoding spells it; NULL for CODING_IDENTITY. */
const char *coding_name(enum coding coding);

/* Bytes that an encoder holds, at most; 0 for CODING_IDENTITY. */
size_t coding_memory_bytes(enum coding coding);

/* Puts 1 to n_max bytes into dst and says how many; 0: that was all; -1: it failed. */
typedef ssize_t encoder_source(void *from, char *dst, size_t n_max);

struct encoder;

/* `coding` is not CODING_IDENTITY; `from` is borrowed. 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int encoder_new(struct encoder **ret_encoder, enum coding coding,
                              encoder_source *source, void *from, struct elmo_error *err);
void encoder_free(struct encoder *encoder); /* NULL is fine */
DEFINE_AUTO(encoder_free, struct encoder *);

/* Like an encoder_source: the next coded bytes. */
ssize_t encoder_read(struct encoder *encoder, char *dst, size_t n_max);

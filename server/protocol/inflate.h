#pragma once
/* Decompresses a request body in gzip (RFC 1952: any number of members) piece by piece, up to a
 * limit of plain bytes, so that a small body cannot expand without bound. One owner at a time. */
#include "elmo.h"
#include "util/buffer.h"

enum inflate_outcome {
    INFLATE_OK,
    INFLATE_BAD,       /* the bytes are not gzip: the client's error */
    INFLATE_TOO_LARGE, /* out->max_bytes was exceeded */
    INFLATE_NOMEM,
};

struct inflate;

/* 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int inflate_new(struct inflate **ret_inflate, struct elmo_error *err);
void inflate_free(struct inflate *inflate); /* NULL is fine */
DEFINE_AUTO(inflate_free, struct inflate *);

/* Decompresses the next bytes and appends them to *out. After any outcome other than INFLATE_OK
 * only inflate_free may be called. */
enum inflate_outcome inflate_write(struct inflate *inflate, const char *bytes, size_t n_bytes,
                                   struct buffer *out);
/* Call this after the last byte. INFLATE_BAD: the body ends within a member, or is empty. */
enum inflate_outcome inflate_end(const struct inflate *inflate);

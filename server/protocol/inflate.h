#pragma once
/* A request body that comes in gzip (RFC 1952: any number of members): the plain bytes, as the
 * pieces arrive, and never more than a limit of them, however much a few bytes may stand for. One
 * owner at a time. */
#include "elmo.h"
#include "util/buffer.h"

enum inflate_outcome {
    INFLATE_OK,
    INFLATE_BAD,       /* the bytes are no gzip: the client's fault */
    INFLATE_TOO_LARGE, /* out->max_bytes was passed */
    INFLATE_NOMEM,
};

struct inflate;

/* 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int inflate_new(struct inflate **ret_inflate, struct elmo_error *err);
void inflate_free(struct inflate *inflate); /* NULL is fine */
DEFINE_AUTO(inflate_free, struct inflate *);

/* Appends what the next coded bytes stand for. After another outcome than INFLATE_OK it is only
 * good for inflate_free. */
enum inflate_outcome inflate_write(struct inflate *inflate, const char *bytes, size_t n_bytes,
                                   struct buffer *out);
/* All bytes came. INFLATE_BAD: they end within a member, or there were none. */
enum inflate_outcome inflate_end(const struct inflate *inflate);

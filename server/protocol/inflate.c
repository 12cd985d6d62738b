#include "inflate.h"

#include <limits.h>
#define ZLIB_CONST /* next_in points to const */
#include <zlib.h>

#include "error.h"

#define STEP_BYTES  (16 * 1024)
#define GZIP_WINDOW (15 + 16) /* 16: gzip only */

struct inflate {
    z_stream zlib;
    bool is_between; /* the last member is complete, no other has begun */
};

int inflate_new(struct inflate **ret_inflate, struct elmo_error *err)
{
    struct inflate *i = calloc(1, sizeof *i);
    if (!i || inflateInit2(&i->zlib, GZIP_WINDOW) != Z_OK) {
        free(i);
        return elmo_fail_nomem(err);
    }
    *ret_inflate = i;
    return 0;
}

void inflate_free(struct inflate *i)
{
    if (!i)
        return;
    inflateEnd(&i->zlib);
    free(i);
}

/* Appends at most STEP_BYTES to `out`. */
static enum inflate_outcome step(struct inflate *i, struct buffer *out)
{
    char plain[STEP_BYTES];
    i->zlib.next_out = (Bytef *)plain;
    i->zlib.avail_out = sizeof plain;
    if (i->is_between && inflateReset(&i->zlib) != Z_OK)
        return INFLATE_BAD;
    int r = inflate(&i->zlib, Z_NO_FLUSH);
    i->is_between = r == Z_STREAM_END;
    if (r == Z_MEM_ERROR)
        return INFLATE_NOMEM;
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) /* Z_BUF_ERROR: zlib needs more input */
        return INFLATE_BAD;
    size_t n = sizeof plain - i->zlib.avail_out;
    if (out->max_bytes > 0 && n > out->max_bytes - out->n_bytes)
        return INFLATE_TOO_LARGE;
    buffer_append(out, plain, n);
    return out->failed ? INFLATE_NOMEM : INFLATE_OK;
}

enum inflate_outcome inflate_write(struct inflate *i, const char *bytes, size_t n_bytes,
                                   struct buffer *out)
{
    while (n_bytes > 0) {
        uInt n = n_bytes < UINT_MAX ? (uInt)n_bytes : UINT_MAX;
        i->zlib.next_in = (const Bytef *)bytes;
        i->zlib.avail_in = n;
        do { /* a full step may leave output in zlib after the last byte of input */
            enum inflate_outcome outcome = step(i, out);
            if (outcome != INFLATE_OK)
                return outcome;
        } while (i->zlib.avail_in > 0 || (i->zlib.avail_out == 0 && !i->is_between));
        bytes += n;
        n_bytes -= n;
    }
    return INFLATE_OK;
}

enum inflate_outcome inflate_end(const struct inflate *i)
{
    return i->is_between ? INFLATE_OK : INFLATE_BAD;
}

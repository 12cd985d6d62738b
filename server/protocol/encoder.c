#include "encoder.h"

#include <limits.h>
#include <zlib.h>
#include <zstd.h>

#include "error.h"

#define BLOCK_BYTES (16 * 1024) /* bytes read from the source at once */

/* A window of 128 KiB: an answer of floats has no distant repetitions, and every connection needs
 * the memory. */
#define ZSTD_WINDOW_LOG 17
#define ZLIB_LEVEL      1
#define GZIP_WINDOW     (15 + 16) /* 16: with the header and trailer of gzip */
#define ZLIB_MEM_LEVEL  8

struct encoder {
    enum coding coding;
    encoder_source *source;
    void *from;
    bool source_ended, ended, failed;
    z_stream zlib;       /* CODING_GZIP */
    ZSTD_CCtx *zstd;     /* CODING_ZSTD; owned */
    size_t n_in, n_used; /* of the block */
    char block[BLOCK_BYTES];
};

const char *coding_name(enum coding coding)
{
    static const char *const names[] = {
        [CODING_IDENTITY] = NULL,
        [CODING_GZIP] = "gzip",
        [CODING_ZSTD] = "zstd",
    };
    return names[coding];
}

size_t coding_memory_bytes(enum coding coding)
{
    static const size_t n_bytes[] = {
        [CODING_IDENTITY] = 0,
        [CODING_GZIP] = sizeof(struct encoder) + (272 << 10), /* zlib.h at deflateInit2 */
        [CODING_ZSTD] = sizeof(struct encoder) + (1 << 20),   /* measured by test_encoder */
    };
    return n_bytes[coding];
}

static bool start_zstd(struct encoder *e)
{
    e->zstd = ZSTD_createCCtx();
    return e->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, 1)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_windowLog, ZSTD_WINDOW_LOG));
}

static bool start(struct encoder *e)
{
    if (e->coding == CODING_ZSTD)
        return start_zstd(e);
    return deflateInit2(&e->zlib, ZLIB_LEVEL, Z_DEFLATED, GZIP_WINDOW, ZLIB_MEM_LEVEL,
                        Z_DEFAULT_STRATEGY) == Z_OK;
}

int encoder_new(struct encoder **ret_encoder, enum coding coding, encoder_source *source,
                void *from, struct elmo_error *err)
{
    AUTO(encoder_free) struct encoder *e = calloc(1, sizeof *e);
    if (!e)
        return elmo_fail_nomem(err);
    e->coding = coding;
    e->source = source;
    e->from = from;
    if (!start(e))
        return elmo_fail_nomem(err);
    *ret_encoder = STEAL(e);
    return 0;
}

void encoder_free(struct encoder *e)
{
    if (!e)
        return;
    if (e->coding == CODING_GZIP)
        deflateEnd(&e->zlib);
    ZSTD_freeCCtx(e->zstd);
    free(e);
}

static void pull(struct encoder *e)
{
    ssize_t n = e->source(e->from, e->block, sizeof e->block);
    e->n_used = 0;
    e->n_in = n > 0 ? (size_t)n : 0;
    e->source_ended = n == 0;
    e->failed = n < 0;
}

/* Encodes the block until dst is full. Returns the number of bytes written. */
static size_t code_gzip(struct encoder *e, char *dst, size_t n_max)
{
    uInt n_room = n_max < UINT_MAX ? (uInt)n_max : UINT_MAX;
    e->zlib.next_in = (Bytef *)e->block + e->n_used;
    e->zlib.avail_in = (uInt)(e->n_in - e->n_used);
    e->zlib.next_out = (Bytef *)dst;
    e->zlib.avail_out = n_room;
    int r = deflate(&e->zlib, e->source_ended ? Z_FINISH : Z_NO_FLUSH);
    e->n_used = e->n_in - e->zlib.avail_in;
    e->ended = r == Z_STREAM_END;
    e->failed = r == Z_STREAM_ERROR;
    return n_room - e->zlib.avail_out;
}

static size_t code_zstd(struct encoder *e, char *dst, size_t n_max)
{
    ZSTD_inBuffer in = {e->block, e->n_in, e->n_used};
    ZSTD_outBuffer out = {dst, n_max, 0};
    size_t left =
        ZSTD_compressStream2(e->zstd, &out, &in, e->source_ended ? ZSTD_e_end : ZSTD_e_continue);
    e->failed = ZSTD_isError(left);
    e->n_used = in.pos;
    e->ended = e->source_ended && left == 0;
    return out.pos;
}

ssize_t encoder_read(struct encoder *e, char *dst, size_t n_max)
{
    size_t n = 0;
    n_max = n_max < SSIZE_MAX ? n_max : SSIZE_MAX;
    while (n == 0 && !e->ended && !e->failed) {
        if (e->n_used == e->n_in && !e->source_ended)
            pull(e);
        if (!e->failed)
            n = e->coding == CODING_GZIP ? code_gzip(e, dst, n_max) : code_zstd(e, dst, n_max);
    }
    return e->failed ? -1 : (ssize_t)n;
}

#include "text_source.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "error.h"

#define PACKED_BYTES      ((size_t)1 << 16)
#define READ_AHEAD_BYTES  ((size_t)1 << 18)
#define XZ_MAX_MEMORY     ((uint64_t)1 << 30) /* 15 times what xz -9 asks for */
#define LONGEST_SIGNATURE 6

enum packing { PLAIN, GZIP, XZ };

struct text_source {
    char *path;
    size_t max_line_bytes, n_cut;
    int fd;
    enum packing packing;
    z_stream gzip;    /* with GZIP */
    lzma_stream xz;   /* with XZ */
    bool packed_ends; /* no more bytes in the file than those in `packed` */
    bool text_ends;   /* no more text than that in `text` */
    bool in_cut_line; /* the last piece was not its line's end */
    size_t packed_begin, packed_end;
    double n_read, n_unpacked; /* bytes of the file and of its text so far */
    double file_bytes;         /* NAN: not known */
    size_t text_begin, text_end, text_bytes;
    char *text; /* [text_bytes] */
    unsigned char packed[PACKED_BYTES];
};

/* ---- Bytes of the file ---- */

static int read_packed(struct text_source *s, struct elmo_error *err)
{
    ssize_t n;
    do
        n = read(s->fd, s->packed + s->packed_end, PACKED_BYTES - s->packed_end);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot read '%.200s': %s", s->path, strerror(errno));
    s->packed_end += (size_t)n;
    s->n_read += (double)n;
    s->packed_ends = n == 0;
    return 0;
}

/* Some bytes in `packed`, unless the file has no more. */
static int refill_packed(struct text_source *s, struct elmo_error *err)
{
    if (s->packed_begin < s->packed_end || s->packed_ends)
        return 0;
    s->packed_begin = s->packed_end = 0;
    return read_packed(s, err);
}

static int fail_truncated(const struct text_source *s, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_IO, "'%.200s' ends early: the archive is truncated", s->path);
}

static int fail_corrupt(const struct text_source *s, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_IO, "'%.200s' is a corrupt archive", s->path);
}

/* ---- Unpacking: up to `capacity` bytes to `to`; sets text_ends at the end ---- */

static int unpack_plain(struct text_source *s, char *to, size_t capacity, size_t *ret_n)
{
    size_t n = s->packed_end - s->packed_begin;
    s->text_ends = n == 0;
    if (n > capacity)
        n = capacity;
    memcpy(to, s->packed + s->packed_begin, n);
    s->packed_begin += n;
    *ret_n = n;
    return 0;
}

/* A file may hold several gzip members, one after the other: their texts are one. */
static int unpack_gzip(struct text_source *s, char *to, size_t capacity, size_t *ret_n,
                       struct elmo_error *err)
{
    bool no_input = s->packed_begin == s->packed_end;
    *ret_n = 0;
    s->text_ends = no_input && s->gzip.total_in == 0; /* between two members */
    if (s->text_ends)
        return 0;
    s->gzip.next_in = s->packed + s->packed_begin;
    s->gzip.avail_in = (uInt)(s->packed_end - s->packed_begin);
    s->gzip.next_out = (unsigned char *)to;
    s->gzip.avail_out = (uInt)capacity;
    int status = inflate(&s->gzip, Z_NO_FLUSH);
    s->packed_begin = s->packed_end - s->gzip.avail_in;
    *ret_n = capacity - s->gzip.avail_out;
    if (status == Z_STREAM_END)
        status = inflateReset(&s->gzip);
    if (status == Z_BUF_ERROR) /* nothing left to read, nothing left to write */
        return fail_truncated(s, err);
    if (status == Z_MEM_ERROR)
        return elmo_fail_nomem(err);
    return status == Z_OK ? 0 : fail_corrupt(s, err);
}

static int unpack_xz(struct text_source *s, char *to, size_t capacity, size_t *ret_n,
                     struct elmo_error *err)
{
    s->xz.next_in = s->packed + s->packed_begin;
    s->xz.avail_in = s->packed_end - s->packed_begin;
    s->xz.next_out = (unsigned char *)to;
    s->xz.avail_out = capacity;
    lzma_ret status = lzma_code(&s->xz, s->packed_ends ? LZMA_FINISH : LZMA_RUN);
    s->packed_begin = s->packed_end - s->xz.avail_in;
    *ret_n = capacity - s->xz.avail_out;
    s->text_ends = status == LZMA_STREAM_END;
    if (status == LZMA_OK || status == LZMA_STREAM_END)
        return 0;
    if (status == LZMA_BUF_ERROR)
        return fail_truncated(s, err);
    if (status == LZMA_MEM_ERROR || status == LZMA_MEMLIMIT_ERROR)
        return elmo_fail(err, ELMO_E_NOMEM, "'%.200s' takes too much memory to unpack", s->path);
    return fail_corrupt(s, err);
}

/* Fills `text` to the brim, or up to the end of the file. */
static int fill_text(struct text_source *s, struct elmo_error *err)
{
    memmove(s->text, s->text + s->text_begin, s->text_end - s->text_begin);
    s->text_end -= s->text_begin;
    s->text_begin = 0;
    while (s->text_end < s->text_bytes && !s->text_ends) {
        char *to = s->text + s->text_end;
        size_t capacity = s->text_bytes - s->text_end, n = 0;
        int r = refill_packed(s, err);
        if (!r && s->packing == PLAIN)
            r = unpack_plain(s, to, capacity, &n);
        else if (!r && s->packing == GZIP)
            r = unpack_gzip(s, to, capacity, &n, err);
        else if (!r)
            r = unpack_xz(s, to, capacity, &n, err);
        if (r)
            return r;
        s->text_end += n;
        s->n_unpacked += (double)n;
    }
    return 0;
}

/* ---- Opening ---- */

static bool ends_in(const char *path, const char *suffix)
{
    size_t n = strlen(path), n_suffix = strlen(suffix);
    return n >= n_suffix && !strcmp(path + n - n_suffix, suffix);
}

/* Which packing the first bytes say, held to what the name says. */
static int find_packing(struct text_source *s, struct elmo_error *err)
{
    while (s->packed_end < LONGEST_SIGNATURE && !s->packed_ends) {
        int r = read_packed(s, err);
        if (r)
            return r;
    }
    if (s->packed_end >= 2 && !memcmp(s->packed, "\x1f\x8b", 2))
        s->packing = GZIP;
    if (s->packed_end >= 6 && !memcmp(s->packed,
                                      "\xfd"
                                      "7zXZ\0",
                                      6))
        s->packing = XZ;
    if (ends_in(s->path, ".gz") && s->packing != GZIP)
        return elmo_fail(err, ELMO_E_IO, "'%.200s' is no gzip archive", s->path);
    if (ends_in(s->path, ".xz") && s->packing != XZ)
        return elmo_fail(err, ELMO_E_IO, "'%.200s' is no xz archive", s->path);
    return 0;
}

static int start_unpacking(struct text_source *s, struct elmo_error *err)
{
    if (s->packing == GZIP && inflateInit2(&s->gzip, 16 + MAX_WBITS) != Z_OK)
        return elmo_fail_nomem(err);
    if (s->packing == XZ &&
        lzma_stream_decoder(&s->xz, XZ_MAX_MEMORY, LZMA_CONCATENATED) != LZMA_OK)
        return elmo_fail_nomem(err);
    int r = fill_text(s, err);
    if (!r && s->text_end >= 3 && !memcmp(s->text, "\xef\xbb\xbf", 3))
        s->text_begin = 3;
    return r;
}

int text_source_open(struct text_source **ret_source, const char *path, size_t max_line_bytes,
                     struct elmo_error *err)
{
    AUTO(text_source_free) struct text_source *s = calloc(1, sizeof *s);
    if (!s)
        return elmo_fail_nomem(err);
    s->fd = -1;
    s->max_line_bytes = max_line_bytes;
    s->path = strdup(strcmp(path, "-") ? path : "standard input");
    if (!s->path || !add_ok(max_line_bytes, READ_AHEAD_BYTES, &s->text_bytes) ||
        s->text_bytes > UINT32_MAX / 2) /* zlib counts in 32 bits */
        return elmo_fail_nomem(err);
    s->text = malloc(s->text_bytes);
    if (!s->text)
        return elmo_fail_nomem(err);
    s->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (s->fd < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot read '%.200s': %s", path, strerror(errno));
    struct stat file;
    bool sized = !fstat(s->fd, &file) && S_ISREG(file.st_mode) && file.st_size > 0;
    s->file_bytes = sized ? (double)file.st_size : (double)NAN;
    int r = find_packing(s, err);
    if (!r)
        r = start_unpacking(s, err);
    if (r)
        return r;
    *ret_source = STEAL(s);
    return 0;
}

void text_source_free(struct text_source *s)
{
    if (!s)
        return;
    if (s->packing == GZIP)
        inflateEnd(&s->gzip); /* fine before its init: the stream is all zero */
    lzma_end(&s->xz);
    if (s->fd > STDIN_FILENO)
        close(s->fd);
    free(s->text);
    free(s->path);
    free(s);
}

/* ---- Lines ---- */

/* How much of a long line [n > most] makes a piece of at most `most` bytes. */
static size_t piece_bytes(const char *line, size_t most)
{
    for (size_t n = most; n > 0; n--)
        if (line[n] == ' ' || line[n] == '\t')
            return n;
    for (size_t n = most; n > most - 4; n--)
        if (((unsigned char)line[n] & 0xc0) != 0x80)
            return n;
    return most; /* no UTF-8 at all */
}

int text_source_next(struct text_source *s, char **ret_line, size_t *ret_n_bytes,
                     struct elmo_error *err)
{
    size_t most = s->max_line_bytes + 2; /* with CR and LF */
    bool enough = s->text_end - s->text_begin >= most || s->text_ends;
    if (!enough && !memchr(s->text + s->text_begin, '\n', s->text_end - s->text_begin)) {
        int r = fill_text(s, err);
        if (r) {
            s->text_begin = s->text_end = 0;
            s->text_ends = true;
            return r;
        }
    }
    char *line = s->text + s->text_begin;
    size_t n_bytes = s->text_end - s->text_begin, n_left = n_bytes;
    if (!n_left) {
        *ret_line = NULL;
        return 0;
    }
    const char *end = memchr(line, '\n', n_left < most ? n_left : most);
    if (end)
        n_bytes = (size_t)(end - line);
    size_t n_taken = n_bytes + (end != NULL);
    if (n_bytes && line[n_bytes - 1] == '\r')
        n_bytes--;
    bool cut = n_bytes > s->max_line_bytes;
    if (cut) {
        n_bytes = n_taken = piece_bytes(line, s->max_line_bytes);
        n_taken += line[n_bytes] == ' ' || line[n_bytes] == '\t';
    }
    s->n_cut += cut && !s->in_cut_line;
    s->in_cut_line = cut;
    s->text_begin += n_taken;
    *ret_line = line;
    *ret_n_bytes = n_bytes;
    return 0;
}

bool text_source_goes_on(const struct text_source *s)
{
    return s->in_cut_line;
}

/* Text that waits stands for as much of the file as the text before it did. */
double text_source_done_share(const struct text_source *s)
{
    double n_taken = s->n_read - (double)(s->packed_end - s->packed_begin),
           n_waiting = (double)(s->text_end - s->text_begin);
    if (s->n_unpacked > 0)
        n_taken *= 1 - n_waiting / s->n_unpacked;
    return n_taken / s->file_bytes;
}

size_t text_source_n_cut(const struct text_source *s)
{
    return s->n_cut;
}

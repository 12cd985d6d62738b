#include "word_vectors_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "word_vectors.h"

#define HEADER_BYTES 4096u
#define ORDER_MARK   0x01020304u
#define SAMPLE_BYTES 65536u
#define N_SAMPLES    16u

static const char magic[8] = {'E', 'L', 'M', 'O', 'W', 'V', '0', '1'};

_Static_assert(sizeof(struct word_vectors_header) <= HEADER_BYTES, "");
_Static_assert(sizeof(struct word_vectors_header) % 8 == 0, "no padding in what is hashed");
_Static_assert(sizeof(struct word_vectors_entry) == 16, "");

/* ---- Hashes: for accidents, not for enemies, at the speed of memory. ---- */

#define PRIME UINT64_C(0x9e3779b97f4a7c15)

static uint64_t stir(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * PRIME;
    return hash ^ hash >> 29;
}

uint64_t word_vectors_hash(const void *bytes, size_t n_bytes)
{
    const unsigned char *next = bytes;
    uint64_t lanes[4] = {1, 2, 3, 4}, words[4], hash = n_bytes;
    for (; n_bytes >= sizeof words; n_bytes -= sizeof words, next += sizeof words) {
        memcpy(words, next, sizeof words);
        for (int k = 0; k < 4; k++)
            lanes[k] = stir(lanes[k], words[k]);
    }
    memset(words, 0, sizeof words);
    if (n_bytes > 0)
        memcpy(words, next, n_bytes);
    for (int k = 0; k < 4; k++)
        hash = stir(hash, stir(lanes[k], words[k]));
    return hash;
}

uint32_t word_vectors_row_hash(const float *row, size_t dim)
{
    uint64_t hash = word_vectors_hash(row, dim * sizeof *row);
    return (uint32_t)(hash ^ hash >> 32);
}

static uint64_t hash_tables(const struct word_vectors_header *header,
                            const struct word_vectors_tables *tables)
{
    const uint64_t hashes[3] = {
        word_vectors_hash(tables->entries, header->n_words * sizeof *tables->entries),
        word_vectors_hash(tables->slots, header->n_slots * sizeof *tables->slots),
        word_vectors_hash(tables->text, header->n_text_bytes),
    };
    return word_vectors_hash(hashes, sizeof hashes);
}

static uint64_t hash_header(const struct word_vectors_header *header)
{
    return word_vectors_hash(header, offsetof(struct word_vectors_header, header_hash));
}

/* ---- The source ---- */

/* Bytes that are spread over the whole file, its first and its last among them. */
static int sample(uint64_t *ret_hash, int fd, uint64_t n_bytes, const char *path,
                  struct elmo_error *err)
{
    AUTO(mem_free) char *block = malloc(SAMPLE_BYTES);
    uint64_t hash = 0, n_behind = n_bytes > SAMPLE_BYTES ? n_bytes - SAMPLE_BYTES : 0;
    if (!block)
        return elmo_fail_nomem(err);
    for (uint64_t k = 0; k < N_SAMPLES; k++) {
        ssize_t n = pread(fd, block, SAMPLE_BYTES, (off_t)(n_behind / (N_SAMPLES - 1) * k));
        if (n < 0)
            return elmo_fail(err, ELMO_E_IO, "cannot read '%.200s': %s", path, strerror(errno));
        hash = stir(hash, word_vectors_hash(block, (size_t)n));
    }
    ssize_t n = pread(fd, block, SAMPLE_BYTES, (off_t)n_behind);
    if (n < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot read '%.200s': %s", path, strerror(errno));
    *ret_hash = stir(hash, word_vectors_hash(block, (size_t)n));
    return 0;
}

int word_vectors_source_read(struct word_vectors_source *ret_source, const char *path,
                             struct elmo_error *err)
{
    struct stat status;
    uint64_t hash = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0;
    if (fd < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot open '%.200s': %s", path, strerror(errno));
    if (fstat(fd, &status))
        r = elmo_fail(err, ELMO_E_IO, "cannot stat '%.200s': %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode) || status.st_size <= 0)
        r = elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is empty or not a regular file", path);
    else
        r = sample(&hash, fd, (uint64_t)status.st_size, path, err);
    close(fd);
    if (!r)
        *ret_source = (struct word_vectors_source){(uint64_t)status.st_size,
                                                   (int64_t)status.st_mtim.tv_sec, hash};
    return r;
}

bool word_vectors_is_cache(const void *bytes, size_t n_bytes)
{
    return n_bytes >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

/* ---- Writing ---- */

static void write_zeros(FILE *out, size_t n_bytes)
{
    static const char zeros[HEADER_BYTES];
    fwrite(zeros, 1, n_bytes, out);
}

void word_vectors_cache_begin(FILE *out)
{
    write_zeros(out, HEADER_BYTES);
}

static size_t padding(size_t n_bytes)
{
    return (8 - n_bytes % 8) % 8;
}

bool word_vectors_cache_end(FILE *out, struct word_vectors_header *header,
                            const struct word_vectors_tables *tables)
{
    memcpy(header->magic, magic, sizeof magic);
    header->byte_order = ORDER_MARK;
    header->tables_hash = hash_tables(header, tables);
    header->header_hash = hash_header(header);
    write_zeros(out, padding(header->n_words * header->dim * sizeof(float)));
    fwrite(tables->entries, sizeof *tables->entries, header->n_words, out);
    fwrite(tables->slots, sizeof *tables->slots, header->n_slots, out);
    fwrite(tables->text, 1, header->n_text_bytes, out);
    if (fseek(out, 0, SEEK_SET))
        return false;
    fwrite(header, sizeof *header, 1, out);
    return !fflush(out) && !ferror(out) && !fsync(fileno(out));
}

/* ---- Reading ---- */

/* Takes a part of n * item_bytes from the bytes that are left; NULL: there are not so many. */
static const void *take(const unsigned char **next, size_t *n_left, uint64_t n, size_t item_bytes)
{
    size_t n_bytes;
    if (n > SIZE_MAX || !mul_ok((size_t)n, item_bytes, &n_bytes) || n_bytes > *n_left)
        return NULL;
    const void *part = *next;
    *next += n_bytes;
    *n_left -= n_bytes;
    return part;
}

/* Finds the parts; they must fill the file to its last byte. */
static bool place_parts(const struct word_vectors_header *h, const struct mapped_file *file,
                        struct word_vectors_tables *tables, const float **rows)
{
    const unsigned char *next = file->bytes;
    size_t n_left = file->n_bytes, row_bytes = h->dim * sizeof(float);
    if (!take(&next, &n_left, HEADER_BYTES, 1) ||
        !(*rows = take(&next, &n_left, h->n_words, row_bytes)) ||
        !take(&next, &n_left, padding(h->n_words * row_bytes), 1))
        return false;
    tables->entries = take(&next, &n_left, h->n_words, sizeof *tables->entries);
    tables->slots = take(&next, &n_left, h->n_slots, sizeof *tables->slots);
    tables->text = take(&next, &n_left, h->n_text_bytes, 1);
    return tables->entries && tables->slots && tables->text && n_left == 0;
}

static const char *fault_of(const struct mapped_file *file,
                            const struct word_vectors_source *source,
                            struct word_vectors_tables *tables, const float **rows)
{
    const struct word_vectors_header *h = file->bytes;
    if (file->n_bytes < HEADER_BYTES || !word_vectors_is_cache(file->bytes, file->n_bytes) ||
        h->byte_order != ORDER_MARK || h->header_hash != hash_header(h))
        return "is no cache of word vectors, or a damaged one";
    if (source && memcmp(source, &h->source, sizeof *source) != 0)
        return "was made from something else";
    if (h->dim == 0 || h->dim > WORD_VECTORS_MAX_DIM || h->n_words == 0 || h->n_slots == 0 ||
        (h->n_slots & (h->n_slots - 1)) != 0 || !place_parts(h, file, tables, rows))
        return "has sizes that do not fit";
    return h->tables_hash == hash_tables(h, tables) ? NULL : "is damaged";
}

int word_vectors_cache_map(struct mapped_file *ret_file, struct word_vectors_tables *ret_tables,
                           const float **ret_rows, const char *path,
                           const struct word_vectors_source *source, struct elmo_error *err)
{
    struct mapped_file file;
    struct word_vectors_tables tables = {0};
    const float *rows = NULL;
    int r = mapped_file_open(&file, path, err);
    if (r)
        return r;
    const char *fault = fault_of(&file, source, &tables, &rows);
    if (fault) {
        mapped_file_close(&file);
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' %s", path, fault);
    }
    *ret_file = file;
    *ret_tables = tables;
    *ret_rows = rows;
    return 0;
}

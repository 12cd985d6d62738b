#include "hdf5_strings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#define COLLECTION_MIN    4096u /* bytes of a collection of a heap */
#define COLLECTION_HEADER 16u
#define OBJECT_HEADER     16u
#define REFERENCE_BYTES   16u
#define EOF_AT            40 /* in a superblock of version 0: where the file ends */
#define PIECE_BYTES       ((size_t)1 << 14)

/* ---- The dataset ---- */

int hdf5_strings_reserve(hid_t file, const char *name, uint64_t n, haddr_t *ret_address,
                         struct elmo_error *err)
{
    char reason[HDF5_REASON_BYTES];
    const hsize_t dims[] = {n};
    AUTO(hdf5_close) hid_t type = H5Tcopy(H5T_C_S1);
    AUTO(hdf5_close) hid_t space = H5Screate_simple(1, dims, NULL);
    AUTO(hdf5_close) hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    bool ok = type >= 0 && space >= 0 && creation >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 &&
              H5Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
              H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0 &&
              H5Pset_obj_track_times(creation, false) >= 0;
    AUTO(hdf5_close)
    hid_t dataset = ok ? H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT)
                       : H5I_INVALID_HID;
    haddr_t address = dataset < 0 ? HADDR_UNDEF : H5Dget_offset(dataset);
    if (address == HADDR_UNDEF)
        return elmo_fail(err, ELMO_E_IO, "cannot write dataset '%s': %s", name,
                         hdf5_reason(reason));
    *ret_address = address;
    return 0;
}

/* ---- Its strings ---- */

struct strings {
    FILE *file, *from;
    uint64_t end; /* of the file */
};

static void put_number(unsigned char *to, uint64_t value, size_t n_bytes)
{
    for (size_t k = 0; k < n_bytes; k++)
        to[k] = (unsigned char)(value >> (8 * k));
}

static bool write_at(struct strings *s, uint64_t at, const void *bytes, size_t n_bytes)
{
    return !fseeko(s->file, (off_t)at, SEEK_SET) && fwrite(bytes, 1, n_bytes, s->file) == n_bytes;
}

static bool write_zeros(struct strings *s, uint64_t n_bytes)
{
    static const char zeros[COLLECTION_MIN];
    return n_bytes <= sizeof zeros && fwrite(zeros, 1, (size_t)n_bytes, s->file) == n_bytes;
}

/* Bytes of the next line of `from`, which stays where it is; false at its end. */
static bool measure_line(struct strings *s, uint64_t *ret_n_bytes)
{
    off_t begin = ftello(s->from);
    int c;
    *ret_n_bytes = 0;
    while ((c = getc_unlocked(s->from)) != EOF && c != '\n')
        ++*ret_n_bytes;
    return c == '\n' && !fseeko(s->from, begin, SEEK_SET);
}

static bool copy_line(struct strings *s, uint64_t n_bytes)
{
    char piece[PIECE_BYTES];
    while (n_bytes) {
        size_t n = n_bytes < sizeof piece ? (size_t)n_bytes : sizeof piece;
        if (fread(piece, 1, n, s->from) != n || fwrite(piece, 1, n, s->file) != n)
            return false;
        n_bytes -= n;
    }
    return getc_unlocked(s->from) == '\n';
}

/* A collection with one object, which is the next line, at the end of the file. */
static bool add_collection(struct strings *s, uint64_t n_bytes)
{
    uint64_t padding = -n_bytes % 8;
    uint64_t used = COLLECTION_HEADER + OBJECT_HEADER + n_bytes + padding, size = used;
    if (size < COLLECTION_MIN)
        size = COLLECTION_MIN;
    unsigned char header[COLLECTION_HEADER + OBJECT_HEADER] = "GCOL\1";
    put_number(header + 8, size, 8);
    put_number(header + COLLECTION_HEADER, 1, 2);     /* its index */
    put_number(header + COLLECTION_HEADER + 2, 1, 2); /* references to it */
    put_number(header + COLLECTION_HEADER + 8, n_bytes, 8);
    bool ok = write_at(s, s->end, header, sizeof header) && copy_line(s, n_bytes) &&
              write_zeros(s, padding);
    if (ok && size - used >= OBJECT_HEADER) { /* object 0: what is free */
        unsigned char gap[OBJECT_HEADER] = {0};
        put_number(gap + 8, size - used, 8);
        ok = fwrite(gap, 1, sizeof gap, s->file) == sizeof gap &&
             write_zeros(s, size - used - sizeof gap);
    } else if (ok) {
        ok = write_zeros(s, size - used);
    }
    s->end += size;
    return ok;
}

static bool add_string(struct strings *s, haddr_t reference_at)
{
    uint64_t n_bytes, at = s->end;
    if (!measure_line(s, &n_bytes) || n_bytes > UINT32_MAX || !add_collection(s, n_bytes))
        return false;
    unsigned char reference[REFERENCE_BYTES];
    put_number(reference, n_bytes, 4);
    put_number(reference + 4, at, 8);
    put_number(reference + 12, 1, 4);
    return write_at(s, reference_at, reference, sizeof reference);
}

/* The end that the superblock names must be where the file ends. */
static bool find_end(struct strings *s)
{
    static const unsigned char signature[9] = "\x89HDF\r\n\x1a\n"; /* and version 0 */
    unsigned char block[EOF_AT + 8], expected[8];
    if (fread(block, 1, sizeof block, s->file) != sizeof block ||
        memcmp(block, signature, sizeof signature) || fseeko(s->file, 0, SEEK_END))
        return false;
    s->end = (uint64_t)ftello(s->file);
    put_number(expected, s->end, 8);
    if (memcmp(block + EOF_AT, expected, sizeof expected))
        return false;
    uint64_t padding = -s->end % 8;
    bool ok = write_zeros(s, padding);
    s->end += padding;
    return ok;
}

static bool fill(struct strings *s, haddr_t address, uint64_t n)
{
    bool ok = find_end(s);
    for (uint64_t k = 0; ok && k < n; k++)
        ok = add_string(s, address + k * REFERENCE_BYTES);
    unsigned char end[8];
    put_number(end, s->end, 8);
    return ok && write_at(s, EOF_AT, end, sizeof end) && !fflush(s->file) &&
           !fsync(fileno(s->file));
}

int hdf5_strings_fill(const char *path, haddr_t address, uint64_t n, const char *from,
                      struct elmo_error *err)
{
    struct strings s = {.file = fopen(path, "r+b"), .from = fopen(from, "rb")};
    errno = 0;
    bool ok = s.file && s.from && fill(&s, address, n);
    int saved = errno;
    if (s.from)
        fclose(s.from);
    if (s.file && fclose(s.file) && ok) {
        ok = false;
        saved = errno;
    }
    return ok ? 0
              : elmo_fail(err, ELMO_E_IO, "cannot write the strings of '%.200s': %s", path,
                          saved ? strerror(saved) : "the file is not as expected");
}

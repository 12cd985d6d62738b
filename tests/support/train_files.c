#include "train_files.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <lzma.h>
#include <zlib.h>

#include "reference/test_files.h"

const char *train_suffix(enum train_packing packing)
{
    static const char *const suffixes[] = {".txt", ".gz", ".xz"};
    return suffixes[packing];
}

static size_t pack_gzip(unsigned char *to, size_t capacity, const void *bytes, size_t n_bytes)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)bytes;
    z.avail_in = (uInt)n_bytes;
    z.next_out = to;
    z.avail_out = (uInt)capacity;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return capacity - z.avail_out;
}

unsigned char *train_pack(const void *bytes, size_t n_bytes, enum train_packing packing,
                          size_t *ret_n_packed)
{
    size_t capacity = n_bytes + n_bytes / 8 + 1024, n = n_bytes;
    unsigned char *packed = malloc(capacity);
    assert_non_null(packed);
    if (packing == TRAIN_PLAIN)
        memcpy(packed, bytes, n_bytes);
    else if (packing == TRAIN_GZIP)
        n = pack_gzip(packed, capacity, bytes, n_bytes);
    else {
        n = 0;
        assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, bytes, n_bytes, packed,
                                                 &n, capacity),
                         LZMA_OK);
    }
    *ret_n_packed = n;
    return packed;
}

char *train_write(const char *folder, const char *name, const void *text, size_t n_bytes,
                  enum train_packing packing)
{
    size_t n_packed, n_path = strlen(folder) + strlen(name) + 8;
    unsigned char *packed = train_pack(text, n_bytes, packing, &n_packed);
    char *path = malloc(n_path);
    assert_non_null(path);
    snprintf(path, n_path, "%s/%s%s", folder, name, train_suffix(packing));
    assert_true(write_whole_file(path, packed, n_packed));
    free(packed);
    return path;
}

void train_write_review(const char *folder, const char *half, unsigned id, unsigned rating,
                        const void *text, size_t n_bytes)
{
    char path[600];
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/%s", folder, half);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%u_%u.txt", folder, half, id, rating);
    assert_true(write_whole_file(path, text, n_bytes));
}

void train_remove(const char *path)
{
    DIR *entries = opendir(path);
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        char inner[1024];
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            train_remove(inner);
    }
    if (entries)
        closedir(entries);
    remove(path);
}

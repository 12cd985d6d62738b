/* Reading a safetensors file that lies in memory. First the names and sizes of number types; then
 * the header: one tensor's entry (type, shape, offsets), all entries, and the check that they cover
 * the data; then safetensors_parse and the queries. safetensors_write.c writes, dtype.c converts
 * elements. */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

/* The format's own bound on a header is 100 MB; ours are a few hundred KB, most of it a
 * vocabulary, so 16 MiB is generous. */
#define MAX_HEADER_BYTES (16u << 20)
#define PREFIX_BYTES     8u
#define METADATA_KEY     "__metadata__"

struct safetensors {
    json_t *header;            /* owns every name and metadata string */
    struct st_tensor *tensors; /* [n_tensors], sorted by data */
    size_t n_tensors;
};

static const struct {
    const char *name;
    enum st_dtype dtype;
    size_t element_bytes;
} dtypes[] = {
    {"F32", ST_F32, 4},   {"F16", ST_F16, 2},       {"BF16", ST_BF16, 2},     {"BOOL", ST_OTHER, 1},
    {"U8", ST_OTHER, 1},  {"I8", ST_OTHER, 1},      {"I16", ST_OTHER, 2},     {"U16", ST_OTHER, 2},
    {"I32", ST_OTHER, 4}, {"U32", ST_OTHER, 4},     {"I64", ST_OTHER, 8},     {"U64", ST_OTHER, 8},
    {"F64", ST_OTHER, 8}, {"F8_E5M2", ST_OTHER, 1}, {"F8_E4M3", ST_OTHER, 1},
};

const char *st_dtype_name(enum st_dtype dtype)
{
    return dtype == ST_OTHER ? "another dtype" : dtypes[dtype].name;
}

size_t st_dtype_bytes(enum st_dtype dtype)
{
    return dtype == ST_OTHER ? 0 : dtypes[dtype].element_bytes;
}

const char *st_shape_text(const size_t *dims, size_t n_dims, char *buf, size_t buf_bytes)
{
    size_t used = 0;
    int n = snprintf(buf, buf_bytes, "[");
    for (size_t k = 0; k < n_dims && n >= 0 && (used += (size_t)n) < buf_bytes; k++)
        n = snprintf(buf + used, buf_bytes - used, "%s%zu", k ? ", " : "", dims[k]);
    if (n >= 0 && (used += (size_t)n) < buf_bytes)
        snprintf(buf + used, buf_bytes - used, "]");
    return buf;
}

/* ---- Reading ---- */

static int read_size(const json_t *value, size_t *ret)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -1;
    *ret = (size_t)json_integer_value(value);
    return 0;
}

static int read_dtype(struct st_tensor *t, const json_t *entry, size_t *ret_element_bytes,
                      struct elmo_error *err)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (!name)
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s': no dtype string", t->name);
    for (size_t k = 0; k < ARRAY_LEN(dtypes); k++)
        if (!strcmp(name, dtypes[k].name)) {
            t->dtype = dtypes[k].dtype;
            t->dtype_name = dtypes[k].name;
            *ret_element_bytes = dtypes[k].element_bytes;
            return 0;
        }
    return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s': unknown dtype '%.32s'", t->name, name);
}

/* Reads "shape"; *ret_bytes = the bytes that shape and dtype call for. */
static int read_shape(struct st_tensor *t, const json_t *entry, size_t element_bytes,
                      size_t *ret_bytes, struct elmo_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s': no shape array", t->name);
    t->n_dims = json_array_size(shape);
    if (t->n_dims > ST_MAX_DIMS)
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s': %zu dimensions, at most %d expected",
                         t->name, t->n_dims, ST_MAX_DIMS);
    size_t n_bytes = element_bytes;
    for (size_t k = 0; k < t->n_dims; k++)
        if (read_size(json_array_get(shape, k), &t->dims[k]))
            return elmo_fail(err, ELMO_E_FORMAT,
                             "tensor '%.96s': shape[%zu] is not a non-negative integer", t->name,
                             k);
        else if (!mul_ok(n_bytes, t->dims[k], &n_bytes))
            return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s': the shape's size overflows",
                             t->name);
    *ret_bytes = n_bytes;
    return 0;
}

static int read_offsets(struct st_tensor *t, const json_t *entry, size_t shape_bytes,
                        const unsigned char *data, size_t data_bytes, struct elmo_error *err)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin = 0, end = 0;
    if (json_array_size(offsets) != 2 || read_size(json_array_get(offsets, 0), &begin) ||
        read_size(json_array_get(offsets, 1), &end))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '%.96s': data_offsets is not a pair of non-negative integers",
                         t->name);
    if (begin > end || end > data_bytes)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '%.96s': data_offsets [%zu, %zu] lie outside the file's %zu data "
                         "bytes (truncated?)",
                         t->name, begin, end, data_bytes);
    t->n_bytes = end - begin;
    if (t->n_bytes != shape_bytes) {
        char shape[128];
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '%.96s': %s %s takes %zu bytes, data_offsets give %zu", t->name,
                         t->dtype_name, st_shape_text(t->dims, t->n_dims, shape, sizeof shape),
                         shape_bytes, t->n_bytes);
    }
    t->data = data + begin;
    return 0;
}

static int read_tensor(struct st_tensor *t, const char *name, const json_t *entry,
                       const unsigned char *data, size_t data_bytes, struct elmo_error *err)
{
    size_t element_bytes = 0, shape_bytes = 0;
    t->name = name;
    if (!json_is_object(entry))
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s': its entry is not an object", name);
    int r = read_dtype(t, entry, &element_bytes, err);
    if (!r)
        r = read_shape(t, entry, element_bytes, &shape_bytes, err);
    if (!r)
        r = read_offsets(t, entry, shape_bytes, data, data_bytes, err);
    return r;
}

static int check_metadata(const json_t *header, struct elmo_error *err)
{
    json_t *metadata = json_object_get(header, METADATA_KEY), *value;
    const char *key;
    if (metadata && !json_is_object(metadata))
        return elmo_fail(err, ELMO_E_FORMAT, "'" METADATA_KEY "' is not an object");
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return elmo_fail(
        err, ELMO_E_FORMAT, "'" METADATA_KEY "' value of '%.96s' is not a string", key);
    return 0;
}

static int by_data(const void *left, const void *right)
{
    const struct st_tensor *a = left, *b = right;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    return (a->n_bytes > b->n_bytes) - (a->n_bytes < b->n_bytes);
}

/* The tensors, sorted, must tile the data exactly: no overlap, no hole, nothing after them. */
static int check_tiling(const struct safetensors *file, const unsigned char *data,
                        size_t data_bytes, struct elmo_error *err)
{
    const unsigned char *end = data;
    for (size_t k = 0; k < file->n_tensors; k++) {
        const struct st_tensor *t = &file->tensors[k];
        if (t->data < end)
            return elmo_fail(err, ELMO_E_FORMAT, "tensors '%.96s' and '%.96s' overlap",
                             file->tensors[k - 1].name, t->name);
        if (t->data > end)
            return elmo_fail(err, ELMO_E_FORMAT, "%zu unused bytes before tensor '%.96s'",
                             (size_t)(t->data - end), t->name);
        end = t->data + t->n_bytes;
    }
    if (end != data + data_bytes)
        return elmo_fail(err, ELMO_E_FORMAT, "%zu unused bytes at the end of the file",
                         (size_t)(data + data_bytes - end));
    return 0;
}

static int read_tensors(struct safetensors *file, const unsigned char *data, size_t data_bytes,
                        struct elmo_error *err)
{
    const char *name;
    json_t *entry;
    int r = check_metadata(file->header, err);
    if (r)
        return r;
    file->tensors = calloc(json_object_size(file->header) + 1, sizeof *file->tensors);
    if (!file->tensors)
        return elmo_fail_nomem(err);
    json_object_foreach(file->header, name, entry)
    {
        if (!strcmp(name, METADATA_KEY))
            continue;
        r = read_tensor(&file->tensors[file->n_tensors], name, entry, data, data_bytes, err);
        if (r)
            return r;
        file->n_tensors++;
    }
    qsort(file->tensors, file->n_tensors, sizeof *file->tensors, by_data);
    return check_tiling(file, data, data_bytes, err);
}

static int read_prefix(const unsigned char *bytes, size_t n_bytes, size_t *ret_header_bytes,
                       struct elmo_error *err)
{
    if (n_bytes < PREFIX_BYTES)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "not a safetensors file: %zu bytes, at least %u expected", n_bytes,
                         PREFIX_BYTES);
    uint64_t header_bytes = 0;
    for (unsigned k = 0; k < PREFIX_BYTES; k++)
        header_bytes |= (uint64_t)bytes[k] << (8 * k);
    if (header_bytes > n_bytes - PREFIX_BYTES || header_bytes > MAX_HEADER_BYTES)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "not a safetensors file, or truncated: a header of %llu bytes in a file "
                         "of %zu (at most %u allowed)",
                         (unsigned long long)header_bytes, n_bytes, MAX_HEADER_BYTES);
    *ret_header_bytes = (size_t)header_bytes;
    return 0;
}

int safetensors_parse(struct safetensors **ret_file, const void *bytes, size_t n_bytes,
                      struct elmo_error *err)
{
    const unsigned char *base = bytes;
    size_t header_bytes = 0;
    int r = read_prefix(base, n_bytes, &header_bytes, err);
    if (r)
        return r;
    AUTO(safetensors_free) struct safetensors *file = calloc(1, sizeof *file);
    if (!file)
        return elmo_fail_nomem(err);
    json_error_t json_err;
    file->header = json_loadb((const char *)base + PREFIX_BYTES, header_bytes,
                              JSON_REJECT_DUPLICATES, &json_err);
    if (!file->header)
        return elmo_fail(err, ELMO_E_FORMAT, "the safetensors header is not JSON: %.120s",
                         json_err.text);
    if (!json_is_object(file->header))
        return elmo_fail(err, ELMO_E_FORMAT, "the safetensors header is not a JSON object");
    size_t data_begin = PREFIX_BYTES + header_bytes;
    r = read_tensors(file, base + data_begin, n_bytes - data_begin, err);
    if (r)
        return r;
    *ret_file = STEAL(file);
    return 0;
}

void safetensors_free(struct safetensors *file)
{
    if (!file)
        return;
    json_decref(file->header);
    free(file->tensors);
    free(file);
}

size_t safetensors_n_tensors(const struct safetensors *file)
{
    return file->n_tensors;
}

const struct st_tensor *safetensors_tensor(const struct safetensors *file, size_t index)
{
    return &file->tensors[index];
}

const struct st_tensor *safetensors_find(const struct safetensors *file, const char *name)
{
    for (size_t k = 0; k < file->n_tensors; k++)
        if (!strcmp(file->tensors[k].name, name))
            return &file->tensors[k];
    return NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, METADATA_KEY), key));
}

size_t safetensors_n_metadata(const struct safetensors *file)
{
    return json_object_size(json_object_get(file->header, METADATA_KEY));
}

void safetensors_all_metadata(struct st_metadata *ret_entries, const struct safetensors *file)
{
    json_t *metadata = json_object_get(file->header, METADATA_KEY);
    size_t n = 0;
    for (void *at = json_object_iter(metadata); at; at = json_object_iter_next(metadata, at))
        ret_entries[n++] = (struct st_metadata){json_object_iter_key(at),
                                                json_string_value(json_object_iter_value(at))};
}

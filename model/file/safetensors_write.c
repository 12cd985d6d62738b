/* The writing half of safetensors.h. */
#include "safetensors.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "util/atomic_file.h"

static json_t *shape_json(const struct st_tensor *t)
{
    json_t *shape = json_array();
    for (size_t k = 0; shape && k < t->n_dims; k++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->dims[k]))) {
            json_decref(shape);
            return NULL;
        }
    return shape;
}

static int check_tensor(const struct st_tensor *t, struct elmo_error *err)
{
    size_t n_bytes = st_dtype_bytes(t->dtype);
    for (size_t k = 0; k < t->n_dims; k++)
        if (!mul_ok(n_bytes, t->dims[k], &n_bytes))
            n_bytes = 0;
    if (!st_dtype_bytes(t->dtype) || t->n_dims > ST_MAX_DIMS || n_bytes != t->n_bytes)
        return elmo_fail(err, ELMO_E_INVALID,
                         "cannot write tensor '%.96s': its %zu bytes do not fit its shape and "
                         "dtype %s",
                         t->name, t->n_bytes, st_dtype_name(t->dtype));
    return 0;
}

static int add_metadata(json_t *header, const struct st_metadata *metadata, size_t n_metadata)
{
    json_t *object = json_object();
    if (json_object_set_new(header, "__metadata__", object))
        return -1;
    for (size_t k = 0; k < n_metadata; k++)
        if (json_object_set_new(object, metadata[k].key, json_string(metadata[k].value)))
            return -1;
    return 0;
}

/* `header` as text, padded so that the data begins on a multiple of 8 bytes. Not by json_dumps:
 * when that runs out of memory it can leave out a key and still succeed. */
static int padded_text(const json_t *header, char **ret_text, struct elmo_error *err)
{
    size_t n = json_dumpb(header, NULL, 0, JSON_COMPACT), padded = (n + 7) & ~(size_t)7;
    AUTO(mem_free) char *text = n ? malloc(padded + 1) : NULL;
    if (!text || json_dumpb(header, text, n, JSON_COMPACT) != n)
        return elmo_fail_nomem(err);
    memset(text + n, ' ', padded - n);
    text[padded] = '\0';
    *ret_text = STEAL(text);
    return 0;
}

static int header_text(const struct st_tensor *tensors, size_t n_tensors,
                       const struct st_metadata *metadata, size_t n_metadata, char **ret_text,
                       struct elmo_error *err)
{
    json_auto_t *header = json_object();
    size_t begin = 0;
    if (!header || (n_metadata && add_metadata(header, metadata, n_metadata)))
        return elmo_fail(err, ELMO_E_INVALID, "metadata is not UTF-8, or out of memory");
    for (size_t k = 0; k < n_tensors; k++) {
        const struct st_tensor *t = &tensors[k];
        int r = check_tensor(t, err);
        if (r)
            return r;
        size_t end = begin + t->n_bytes; /* cannot wrap: the tensors are in memory */
        json_t *entry =
            json_pack("{s:s, s:o, s:[I, I]}", "dtype", st_dtype_name(t->dtype), "shape",
                      shape_json(t), "data_offsets", (json_int_t)begin, (json_int_t)end);
        if (json_object_set_new(header, t->name, entry))
            return elmo_fail_nomem(err);
        begin = end;
    }
    return padded_text(header, ret_text, err);
}

static void write_all(FILE *out, const char *header, const struct st_tensor *tensors,
                      size_t n_tensors)
{
    unsigned char prefix[8];
    size_t n = strlen(header);
    for (unsigned k = 0; k < sizeof prefix; k++)
        prefix[k] = (unsigned char)((uint64_t)n >> (8 * k));
    fwrite(prefix, 1, sizeof prefix, out);
    fwrite(header, 1, n, out);
    for (size_t k = 0; k < n_tensors; k++)
        if (tensors[k].n_bytes)
            fwrite(tensors[k].data, 1, tensors[k].n_bytes, out);
}

int safetensors_write(const char *path, const struct st_tensor *tensors, size_t n_tensors,
                      const struct st_metadata *metadata, size_t n_metadata, struct elmo_error *err)
{
    AUTO(mem_free) char *header = NULL;
    struct atomic_file file;
    int r = header_text(tensors, n_tensors, metadata, n_metadata, &header, err);
    if (!r)
        r = atomic_file_open(&file, path, err);
    if (r)
        return r;
    write_all(file.out, header, tensors, n_tensors);
    return atomic_file_commit(&file, err);
}

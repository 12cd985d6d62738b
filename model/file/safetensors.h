#pragma once
/* The safetensors container: u64 header length, a JSON header that names the tensors, their bytes.
 * Reading trusts nothing: lengths are compared by subtraction, tensors may not overlap or leave
 * holes, and names are unique. Writing is atomic. Format:
 * https://github.com/huggingface/safetensors */
#include "defs.h"
#include "elmo.h"

#define ST_MAX_DIMS 8

enum st_dtype { ST_F32, ST_F16, ST_BF16, ST_OTHER /* known to the format, not to us */ };

struct st_tensor {
    const char *name;
    enum st_dtype dtype;
    const char *dtype_name; /* as the file spells it; not read when writing */
    size_t n_dims;
    size_t dims[ST_MAX_DIMS];  /* row-major */
    const unsigned char *data; /* little-endian, not aligned; may be NULL when n_bytes is 0 */
    size_t n_bytes;
};

struct st_metadata { /* one entry of __metadata__ */
    const char *key;
    const char *value;
};

/* ---- Reading: immutable once parsed, any thread. ---- */
struct safetensors;

/* Parses and checks the whole header; `bytes` is borrowed until safetensors_free. ELMO_E_FORMAT
 * says which tensor or field is wrong, what was expected and what was found. */
ELMO_MUST_USE int safetensors_parse(struct safetensors **ret_file, const void *bytes,
                                    size_t n_bytes, struct elmo_error *err);
void safetensors_free(struct safetensors *file);
DEFINE_AUTO(safetensors_free, struct safetensors *);

size_t safetensors_n_tensors(const struct safetensors *file);
/* In the order of their bytes. */
const struct st_tensor *safetensors_tensor(const struct safetensors *file, size_t index);
const struct st_tensor *safetensors_find(const struct safetensors *file,
                                         const char *name);                        /* or NULL */
const char *safetensors_metadata(const struct safetensors *file, const char *key); /* or NULL */
/* All entries of __metadata__: ret_entries [safetensors_n_metadata()]; their strings are the
 * file's. */
size_t safetensors_n_metadata(const struct safetensors *file);
void safetensors_all_metadata(struct st_metadata *ret_entries, const struct safetensors *file);

/* "F32", ...; the size of one element in bytes, 0 for ST_OTHER. */
const char *st_dtype_name(enum st_dtype dtype);
size_t st_dtype_bytes(enum st_dtype dtype);
/* "[2, 3]" into buf; returns buf. */
const char *st_shape_text(const size_t *dims, size_t n_dims, char *buf, size_t buf_bytes);

/* ---- Writing ---- */
/* Writes path.tmp, fsyncs it and renames it over `path`: an older file survives any failure. Every
 * tensor's n_bytes must fit its shape and dtype (F32, F16 or BF16). */
ELMO_MUST_USE int safetensors_write(const char *path, const struct st_tensor *tensors,
                                    size_t n_tensors, const struct st_metadata *metadata,
                                    size_t n_metadata, struct elmo_error *err);

/* ---- Elements ---- */
/* n elements of `dtype` at src (little-endian, any alignment) to float32; exact. */
void st_to_f32(float *dst, const unsigned char *src, enum st_dtype dtype, size_t n);
/* float32 to bf16, round to nearest even; NaN stays NaN. */
uint16_t st_bf16_from_f32(float value);
/* float32 to IEEE 754 binary16, likewise; what is too large becomes infinite. */
uint16_t st_f16_from_f32(float value);
/* n floats to bf16, in place: the first 2 * n bytes hold them afterwards. */
void st_round_to_bf16(float *values, size_t n);

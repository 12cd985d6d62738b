#pragma once
/* Named float32 tensors in memory: what the naive reference reads, what a random model is made of
 * and what golden files hold. A tool of the tests: when memory is short it ends the program. */
#include "defs.h"
#include "elmo.h"
#include "file/safetensors.h"
#include "inference/tensor_specs.h"

struct named_tensor {
    char name[TENSOR_NAME_MAX];
    size_t n_dims;
    size_t dims[TENSOR_MAX_DIMS];
    size_t n_values;
    float *values; /* row-major */
};

struct tensor_set { /* {0} is empty */
    struct named_tensor *items;
    size_t n_items;
};

/* Adds a tensor of zeros and returns its values; valid until tensor_set_done, as the set is moved
 * but never the values. */
float *tensor_set_add(struct tensor_set *set, const char *name, const size_t *dims, size_t n_dims);
/* NULL when there is none of that name. */
const struct named_tensor *tensor_set_find(const struct tensor_set *set, const char *name);
/* The values of a tensor, NULL when there is none; the name is printf-like. */
const float *tensor_set_values(const struct tensor_set *set, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void tensor_set_done(struct tensor_set *set);

/* Adds every tensor of the file; ELMO_E_FORMAT when a name is longer or a shape deeper than ours.
 */
ELMO_MUST_USE int tensor_set_add_file(struct tensor_set *set, const struct safetensors *file,
                                      struct elmo_error *err);
/* All tensors as f32, by safetensors_write. */
ELMO_MUST_USE int tensor_set_write(const struct tensor_set *set, const char *path,
                                   const struct st_metadata *metadata, size_t n_metadata,
                                   struct elmo_error *err);

/* calloc that ends the program when memory is short. */
void *must_calloc(size_t n, size_t element_bytes);

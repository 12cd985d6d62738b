#include "tensor_set.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

void *must_calloc(size_t n, size_t element_bytes)
{
    void *memory = calloc(n ? n : 1, element_bytes);
    if (!memory) {
        fprintf(stderr, "test tools: no memory for %zu elements of %zu bytes\n", n, element_bytes);
        exit(EXIT_FAILURE);
    }
    return memory;
}

float *tensor_set_add(struct tensor_set *set, const char *name, const size_t *dims, size_t n_dims)
{
    struct named_tensor *items = must_calloc(set->n_items + 1, sizeof *items);
    if (set->n_items)
        memcpy(items, set->items, set->n_items * sizeof *items);
    free(set->items);
    set->items = items;

    struct named_tensor *tensor = &items[set->n_items++];
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->n_dims = n_dims;
    tensor->n_values = 1;
    for (size_t k = 0; k < n_dims; k++) {
        tensor->dims[k] = dims[k];
        tensor->n_values *= dims[k];
    }
    tensor->values = must_calloc(tensor->n_values, sizeof *tensor->values);
    return tensor->values;
}

const struct named_tensor *tensor_set_find(const struct tensor_set *set, const char *name)
{
    for (size_t k = 0; k < set->n_items; k++)
        if (!strcmp(set->items[k].name, name))
            return &set->items[k];
    return NULL;
}

const float *tensor_set_values(const struct tensor_set *set, const char *format, ...)
{
    char name[TENSOR_NAME_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const struct named_tensor *tensor = tensor_set_find(set, name);
    return tensor ? tensor->values : NULL;
}

void tensor_set_done(struct tensor_set *set)
{
    for (size_t k = 0; k < set->n_items; k++)
        free(set->items[k].values);
    free(set->items);
    *set = (struct tensor_set){0};
}

int tensor_set_add_file(struct tensor_set *set, const struct safetensors *file,
                        struct elmo_error *err)
{
    for (size_t k = 0; k < safetensors_n_tensors(file); k++) {
        const struct st_tensor *t = safetensors_tensor(file, k);
        if (strlen(t->name) >= TENSOR_NAME_MAX || t->n_dims > TENSOR_MAX_DIMS ||
            t->dtype == ST_OTHER)
            return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s' is not one of a test's", t->name);
        float *values = tensor_set_add(set, t->name, t->dims, t->n_dims);
        st_to_f32(values, t->data, t->dtype, t->n_bytes / st_dtype_bytes(t->dtype));
    }
    return 0;
}

int tensor_set_write(const struct tensor_set *set, const char *path,
                     const struct st_metadata *metadata, size_t n_metadata, struct elmo_error *err)
{
    AUTO(mem_free) struct st_tensor *tensors = must_calloc(set->n_items, sizeof *tensors);
    for (size_t k = 0; k < set->n_items; k++) {
        const struct named_tensor *from = &set->items[k];
        tensors[k] = (struct st_tensor){
            .name = from->name,
            .dtype = ST_F32,
            .n_dims = from->n_dims,
            .data = (const unsigned char *)from->values,
            .n_bytes = from->n_values * sizeof *from->values,
        };
        memcpy(tensors[k].dims, from->dims, sizeof from->dims);
    }
    return safetensors_write(path, tensors, set->n_items, metadata, n_metadata, err);
}

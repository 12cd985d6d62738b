#include "bilm_files.h"

#include <string.h>

#include "convert/hdf5_file.h"
#include "file/model_file.h"

static int write_tensors(const struct random_model *model, const char *path, bool head,
                         struct elmo_error *err)
{
    AUTO(hdf5_output_free) struct hdf5_output *output = NULL;
    size_t prefix = strlen(HEAD_PREFIX);
    int r = hdf5_output_new(&output, path, err);
    for (size_t k = 0; !r && k < model->weights.n_items; k++) {
        const struct named_tensor *t = &model->weights.items[k];
        struct hdf5_shape shape = {.n_dims = t->n_dims};
        memcpy(shape.dims, t->dims, sizeof t->dims);
        if (!strncmp(t->name, HEAD_PREFIX, prefix) == head)
            r = hdf5_output_add(output, t->name + (head ? prefix : 0), &shape, t->values, err);
    }
    return r ? r : hdf5_output_commit(output, err);
}

int bilm_weights_write(const struct random_model *model, const char *path, struct elmo_error *err)
{
    return write_tensors(model, path, false, err);
}

int bilm_head_write(const struct random_model *model, const char *path, struct elmo_error *err)
{
    return write_tensors(model, path, true, err);
}

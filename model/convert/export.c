#include "export.h"

#include <string.h>

#include "error.h"
#include "file/model_file.h"
#include "hdf5_file.h"
#include "inference/model.h"
#include "util/text_file.h"

DEFINE_AUTO(elmo_model_free, struct elmo_model *);

static int add_tensor(struct hdf5_output *output, const char *name, const struct st_tensor *t,
                      struct elmo_error *err)
{
    struct hdf5_shape shape = {.n_dims = t->n_dims};
    memcpy(shape.dims, t->dims, t->n_dims * sizeof *shape.dims);
    size_t n_values = t->n_bytes / st_dtype_bytes(t->dtype);
    AUTO(mem_free) float *values = calloc(n_values, sizeof *values);
    if (!values)
        return elmo_fail_nomem(err);
    st_to_f32(values, t->data, t->dtype, n_values);
    return hdf5_output_add(output, name, &shape, values, err);
}

/* All tensors of the head, without their prefix, or all others. */
static int write_tensors(const char *path, const struct safetensors *file, bool head,
                         struct hdf5_output **ret_output, struct elmo_error *err)
{
    AUTO(hdf5_output_free) struct hdf5_output *output = NULL;
    size_t prefix = strlen(HEAD_PREFIX);
    int r = hdf5_output_new(&output, path, err);
    for (size_t k = 0; !r && k < safetensors_n_tensors(file); k++) {
        const struct st_tensor *t = safetensors_tensor(file, k);
        bool in_head = !strncmp(t->name, HEAD_PREFIX, prefix);
        if (in_head == head)
            r = add_tensor(output, t->name + (head ? prefix : 0), t, err);
    }
    if (!r)
        *ret_output = STEAL(output);
    return r;
}

int export_run(const struct export_job *job, struct elmo_error *err)
{
    AUTO(elmo_model_free) struct elmo_model *model = NULL;
    AUTO(hdf5_output_free) struct hdf5_output *weights = NULL;
    AUTO(hdf5_output_free) struct hdf5_output *sentiment = NULL;
    int r = elmo_model_open(&model, job->model, NULL, err);
    if (!r && job->sentiment && !model->weights.head.present)
        r = elmo_fail(err, ELMO_E_INVALID, "'%.200s' has no sentiment head", job->model);
    if (!r)
        r = write_tensors(job->weights, model->file, false, &weights, err);
    if (!r && job->sentiment)
        r = write_tensors(job->sentiment, model->file, true, &sentiment, err);
    if (!r)
        r = hdf5_output_commit(weights, err);
    if (!r && sentiment)
        r = hdf5_output_commit(sentiment, err);
    if (!r && job->options)
        r = text_file_write(job->options, elmo_model_info(model)->options, err);
    return r;
}

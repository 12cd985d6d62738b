#include "warm_start.h"

#include <string.h>

#include "error.h"
#include "mapped_file.h"
#include "safetensors.h"

static int copy_tensors(real *values, const struct net *net, const struct safetensors *file,
                        struct elmo_error *err)
{
    for (size_t k = 0; net->offsets[k] < net->n_dense; k++) {
        const struct tensor_spec *spec = &net->specs.items[k];
        const struct st_tensor *t = safetensors_find(file, spec->name);
        size_t n = net->offsets[k + 1] - net->offsets[k];
        if (!t || t->dtype == ST_OTHER || t->n_bytes != n * st_dtype_bytes(t->dtype) ||
            t->n_dims != spec->n_dims || memcmp(t->dims, spec->dims, t->n_dims * sizeof *t->dims)) {
            char expected[96];
            st_shape_text(spec->dims, spec->n_dims, expected, sizeof expected);
            return elmo_fail(err, ELMO_E_FORMAT,
                             "tensor '%s' of the model to start from is missing or not %s: it must "
                             "have the architecture of the options",
                             spec->name, expected);
        }
        st_to_f32(values + net->offsets[k], t->data, t->dtype, n);
    }
    return 0;
}

int warm_start(real *values, const struct net *net, const char *model_path, struct elmo_error *err)
{
    struct mapped_file mapping = {0};
    AUTO(safetensors_free) struct safetensors *file = NULL;
    int r = mapped_file_open(&mapping, model_path, err);
    if (!r)
        r = safetensors_parse(&file, mapping.bytes, mapping.n_bytes, err);
    if (!r)
        r = copy_tensors(values, net, file, err);
    mapped_file_close(&mapping);
    return r;
}

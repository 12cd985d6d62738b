#include "grow_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file/model_file.h"

void grow_parse(struct grow_parsed *p, const char *path)
{
    p->bytes = read_whole_file(path, &p->n_bytes);
    assert_non_null(p->bytes);
    assert_int_equal(safetensors_parse(&p->file, p->bytes, p->n_bytes, NULL), 0);
}

void grow_parsed_done(struct grow_parsed *p)
{
    safetensors_free(p->file);
    free(p->bytes);
}

/* The tensor rounded; free() the data. */
static struct st_tensor changed_tensor(const struct st_tensor *t, const struct grow_change *change)
{
    struct st_tensor changed = *t;
    size_t n = t->n_bytes / sizeof(float);
    changed.dtype = t->n_dims > 1 ? change->dtype : ST_F32;
    changed.n_bytes = n * st_dtype_bytes(changed.dtype);
    unsigned char *bytes = must_calloc(n, sizeof(float));
    for (size_t k = 0; k < n; k++) {
        float value;
        st_to_f32(&value, t->data + 4 * k, ST_F32, 1);
        uint16_t half = changed.dtype == ST_BF16 ? st_bf16_from_f32(value) : st_f16_from_f32(value);
        if (changed.dtype == ST_F32)
            memcpy(bytes + k * sizeof value, &value, sizeof value);
        else
            memcpy(bytes + k * sizeof half, &half, sizeof half);
    }
    changed.data = bytes;
    if (change->flattened && !strcmp(t->name, change->flattened)) {
        changed.dims[0] = n;
        changed.n_dims = 1;
    }
    return changed;
}

void grow_change_file(const char *path, const struct grow_change *change)
{
    struct grow_parsed p;
    struct st_metadata metadata[16];
    struct st_tensor tensors[128];
    size_t n = 0;
    grow_parse(&p, path);
    size_t n_metadata = safetensors_n_metadata(p.file);
    assert_true(n_metadata < ARRAY_LEN(metadata));
    assert_true(safetensors_n_tensors(p.file) <= ARRAY_LEN(tensors));
    safetensors_all_metadata(metadata, p.file);
    if (change->provenance)
        metadata[n_metadata++] = (struct st_metadata){META_PROVENANCE, change->provenance};
    for (size_t k = 0; k < safetensors_n_tensors(p.file); k++) {
        const struct st_tensor *t = safetensors_tensor(p.file, k);
        if (!change->left_out || strcmp(t->name, change->left_out))
            tensors[n++] = changed_tensor(t, change);
    }
    assert_int_equal(safetensors_write(path, tensors, n, metadata, n_metadata, NULL), 0);
    for (size_t k = 0; k < n; k++)
        free((void *)(uintptr_t)tensors[k].data);
    grow_parsed_done(&p);
}

/* A random architecture whose LSTMs have a projection. */
void grow_case_init(struct grow_case *f, uint64_t seed, const struct grow_change *change)
{
    struct rng rng = {seed};
    struct random_model any;
    *f = (struct grow_case){0};
    temp_dir_init(&f->dir);
    f->model = temp_path(&f->dir, "model.safetensors");
    f->softmax = temp_path(&f->dir, "softmax.safetensors");
    f->out = temp_path(&f->dir, "out.safetensors");
    f->softmax_out = temp_path(&f->dir, "softmax-out.safetensors");
    random_model_init(&any, &rng);
    random_model_init_with(&f->random, &rng, &any.options, any.has_head ? &any.head : NULL,
                           any.pooling, true);
    random_model_done(&any);
    random_softmax_init(&f->random_softmax, &rng, GROW_N_WORDS, f->random.options.proj_dim, 3);
    assert_int_equal(random_model_write(&f->random, f->model, NULL), 0);
    grow_change_file(f->model, change);
    assert_int_equal(random_softmax_write(&f->random_softmax, f->model, f->softmax, NULL), 0);
    f->job = (struct grow_job){.model = f->model,
                               .out = f->out,
                               .n_cells = f->random.options.cell_dim + 1 + rng_below(&rng, 20),
                               .softmax = f->softmax,
                               .softmax_out = f->softmax_out};
}

void grow_case_done(struct grow_case *f)
{
    random_model_done(&f->random);
    random_softmax_done(&f->random_softmax);
    temp_dir_done(&f->dir);
    free(f->model);
    free(f->softmax);
    free(f->out);
    free(f->softmax_out);
}

void grow_must_work(const struct grow_job *job)
{
    struct elmo_error err = {0};
    if (grow_file(job, &err))
        fail_msg("%s", err.message);
}

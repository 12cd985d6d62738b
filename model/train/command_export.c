/* elmo-train export: a checkpoint as the model file that elmod serves, and its softmax. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "common/model_replace.h"
#include "error.h"
#include "file/model_file.h"
#include "file/safetensors.h"
#include "inference/lm_softmax.h"
#include "train/bilm/checkpoint_open.h"
#include "train/bilm/checkpoint_small.h"
#include "train/bilm/provenance.h"
#include "util/mapped_file.h"
#include "util/text_file.h"

/* The tensors of one kind, float32 or rounded, appended to `tensors`. Rounds the values in place.
 */
static size_t add_tensors(struct st_tensor *tensors, size_t n, const struct open_checkpoint *c,
                          bool rounded, enum st_dtype dtype)
{
    for (size_t k = 0; c->net.offsets[k] < c->net.n_dense; k++) {
        const struct tensor_spec *spec = &c->net.specs.items[k];
        size_t n_values = c->net.offsets[k + 1] - c->net.offsets[k];
        real *values = c->values + c->net.offsets[k];
        if (tensor_spec_is_rounded(spec) != rounded)
            continue;
        struct st_tensor t = {.name = spec->name, .dtype = ST_F32, .n_dims = spec->n_dims};
        memcpy(t.dims, spec->dims, spec->n_dims * sizeof *spec->dims);
        if (rounded && dtype == ST_BF16) {
            st_round_to_bf16(values, n_values);
            t.dtype = ST_BF16;
        }
        t.data = (const unsigned char *)values;
        t.n_bytes = n_values * st_dtype_bytes(t.dtype);
        tensors[n++] = t;
    }
    return n;
}

static enum st_dtype dtype_of(const struct arguments *a)
{
    return a->dtype && !strcmp(a->dtype, "f32") ? ST_F32 : ST_BF16;
}

static int describe(char **ret_json, const struct open_checkpoint *c, const struct arguments *a,
                    struct elmo_error *err)
{
    AUTO(mem_free) char *extra = NULL;
    int r = a->provenance ? text_file_read(&extra, a->provenance, err) : 0;
    return r ? r : provenance_of_checkpoint(ret_json, a->checkpoint, c, extra, err);
}

/* For model_replace(). */
struct export
{
    const struct open_checkpoint *checkpoint;
    const struct arguments *arguments;
};

static int write_model(void *arg, const char *path, struct elmo_error *err)
{
    const struct export *export = arg;
    const struct open_checkpoint *c = export->checkpoint;
    const struct arguments *a = export->arguments;
    enum st_dtype dtype = dtype_of(a);
    AUTO(mem_free) char *provenance = NULL;
    int r = describe(&provenance, c, a, err);
    if (r)
        return r;
    AUTO(mem_free) struct st_tensor *tensors = calloc(c->net.specs.n_items, sizeof *tensors);
    if (!tensors)
        return elmo_fail_nomem(err);
    size_t n = add_tensors(tensors, 0, c, false, dtype); /* float32 first: they stay aligned */
    n = add_tensors(tensors, n, c, true, dtype);
    const struct st_metadata metadata[] = {
        {META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
        {META_NAME, a->name},
        {META_TOKENIZER, tokenizer_name(c->tokenizer)},
        {META_OPTIONS, c->options_json},
        {META_PROVENANCE, provenance},
    };
    return safetensors_write(path, tensors, n, metadata, ARRAY_LEN(metadata), err);
}

/* The softmax of the checkpoint, for the model file that was just written. */
static int write_softmax(const struct open_checkpoint *c, const struct arguments *a,
                         struct elmo_error *err)
{
    struct mapped_file model = {0};
    AUTO(safetensors_free) struct safetensors *file = NULL;
    struct net_tensors w;
    char digest[65];
    int r = mapped_file_open(&model, a->out, err);
    if (!r)
        r = safetensors_parse(&file, model.bytes, model.n_bytes, err);
    if (!r)
        r = bilm_digest(digest, file, err);
    mapped_file_close(&model);
    if (r)
        return r;
    net_tensors(&w, &c->net, c->values);
    const struct lm_softmax_parts parts = {
        .name = a->name,
        .bilm_sha256 = digest,
        .vocabulary = &c->vocab.words,
        .dim = c->net.options.proj_dim,
        .w = w.softmax_w,
        .b = w.softmax_b,
        .w_dtype = dtype_of(a),
    };
    return lm_softmax_write(a->softmax, &parts, err);
}

int command_export(const struct arguments *a, struct elmo_error *err)
{
    if (a->checkpoint && a->to_resume && !a->out && !a->softmax)
        return checkpoint_make_small(a->to_resume, a->checkpoint, err);
    if (a->to_resume)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--to-resume goes with --checkpoint, and without --out and --softmax");
    struct open_checkpoint c = {0};
    struct export export = {&c, a};
    if (!a->checkpoint || !a->out || !a->name)
        return elmo_fail(err, ELMO_E_INVALID, "--checkpoint, --out and --name are needed");
    if (a->dtype && strcmp(a->dtype, "bf16") && strcmp(a->dtype, "f32"))
        return elmo_fail(err, ELMO_E_INVALID, "--dtype is bf16 or f32");
    if (a->softmax && !strcmp(a->softmax, a->out))
        return elmo_fail(err, ELMO_E_INVALID, "--out and --softmax are two files");
    int r = open_checkpoint_init(&c, a->checkpoint, err);
    if (!r)
        r = model_replace(a->out, write_model, &export, err);
    if (!r && a->softmax)
        r = write_softmax(&c, a, err);
    open_checkpoint_done(&c);
    return r;
}

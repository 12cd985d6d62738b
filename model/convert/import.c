#include "import.h"

#include <jansson.h>
#include <string.h>

#include "common/model_replace.h"
#include "error.h"
#include "file/model_file.h"
#include "hdf5_file.h"
#include "inference/tensor_specs.h"
#include "util/text_file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "floats are written as they lie in memory");

DEFINE_AUTO(json_decref, json_t *);

/* One model on its way from HDF5 to safetensors. */
struct import {
    const struct import_job *job;
    FILE *notes;
    struct options options;
    char *options_text, *provenance_text, *labels_text; /* owned */
    struct hdf5_input *weights;                         /* owned */
    struct hdf5_input *sentiment;                       /* owned; NULL: no head */
    struct tensor_specs specs;                          /* owned */
    struct st_tensor *tensors;                          /* [n_tensors], owned, their data too */
    size_t n_tensors;
};

static void free_tensors(struct import *import)
{
    for (size_t k = 0; k < import->n_tensors; k++)
        free((void *)import->tensors[k].data);
    free(import->tensors);
    import->tensors = NULL;
    import->n_tensors = 0;
}

static void import_done_auto(struct import *import)
{
    free(import->options_text);
    free(import->provenance_text);
    free(import->labels_text);
    hdf5_input_free(import->weights);
    hdf5_input_free(import->sentiment);
    free_tensors(import);
    tensor_specs_done(&import->specs);
}

/* The head's tensors are named "sentiment/..." in the model file, and without it in their HDF5. */
static const char *head_dataset(const char *tensor_name)
{
    size_t n = strlen(HEAD_PREFIX);
    return strncmp(tensor_name, HEAD_PREFIX, n) ? NULL : tensor_name + n;
}

/* ---- What the job names ---- */

/* "a,b" -> ["a", "b"]; that there are as many as the head has outputs is the loader's to check. */
static int make_labels(char **ret_text, const char *labels, struct elmo_error *err)
{
    AUTO(json_decref) json_t *array = json_array();
    for (const char *at = labels; array; at++) {
        size_t n = strcspn(at, ",");
        if (json_array_append_new(array, json_stringn(at, n)))
            return elmo_fail(err, ELMO_E_INVALID, "labels: entry %zu is not UTF-8",
                             json_array_size(array));
        at += n;
        if (!*at)
            break;
    }
    *ret_text = array ? json_dumps(array, JSON_COMPACT) : NULL;
    return *ret_text ? 0 : elmo_fail_nomem(err);
}

static int open_inputs(struct import *import, struct elmo_error *err)
{
    const struct import_job *job = import->job;
    int r = text_file_read(&import->options_text, job->options, err);
    if (!r)
        r = options_parse(&import->options, import->options_text, err);
    if (!r && job->provenance)
        r = text_file_read(&import->provenance_text, job->provenance, err);
    if (!r)
        r = hdf5_input_open(&import->weights, job->weights, err);
    if (!r && job->sentiment)
        r = hdf5_input_open(&import->sentiment, job->sentiment, err);
    if (!r && job->sentiment)
        r = make_labels(&import->labels_text, job->labels ? job->labels : "negative,positive", err);
    return r;
}

static bool is_head_dim(size_t n)
{
    return n >= 1 && n <= HEAD_MAX_DIM;
}

static int read_ngram_rows(const struct import *import, size_t n_outputs, size_t *ret_rows,
                           struct elmo_error *err)
{
    const char *name = head_dataset(HEAD_NGRAMS);
    struct hdf5_shape table = {0};
    int r = hdf5_input_shape(import->sentiment, name, &table, err);
    if (r)
        return r;
    char found[96];
    if (table.n_dims != 2 || table.dims[1] != n_outputs || table.dims[0] < 1 ||
        table.dims[0] > HEAD_MAX_NGRAM_ROWS)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "'%.120s': dataset '%s': expected shape [rows, %zu], found %s",
                         import->job->sentiment, name, n_outputs,
                         st_shape_text(table.dims, table.n_dims, found, sizeof found));
    *ret_rows = table.dims[0];
    return 0;
}

/* The head's sizes are those of its two kernels. */
static int read_head_shape(const struct import *import, struct head_shape *ret_head,
                           struct elmo_error *err)
{
    const char *pooling = import->job->pooling;
    bool all_layers = import->job->head_input && !strcmp(import->job->head_input, "layers");
    size_t pooled = head_pooled_dim(&import->options, all_layers) *
                    (pooling && !strcmp(pooling, "mean_max") ? 2 : 1);
    const char *name_1 = head_dataset(HEAD_DENSE_1_KERNEL);
    const char *name_2 = head_dataset(HEAD_DENSE_2_KERNEL);
    struct hdf5_shape first = {0}, second = {0};
    int r = hdf5_input_shape(import->sentiment, name_1, &first, err);
    if (!r)
        r = hdf5_input_shape(import->sentiment, name_2, &second, err);
    if (r)
        return r;
    char found[96];
    if (first.n_dims != 2 || first.dims[0] != pooled || !is_head_dim(first.dims[1]))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "'%.120s': dataset '%s': expected shape [%zu, hidden] for pooling %s, "
                         "found %s",
                         import->job->sentiment, name_1, pooled, pooling ? pooling : "mean",
                         st_shape_text(first.dims, first.n_dims, found, sizeof found));
    if (second.n_dims != 2 || second.dims[0] != first.dims[1] || !is_head_dim(second.dims[1]))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "'%.120s': dataset '%s': expected shape [%zu, outputs], found %s",
                         import->job->sentiment, name_2, first.dims[1],
                         st_shape_text(second.dims, second.n_dims, found, sizeof found));
    *ret_head = (struct head_shape){first.dims[0], first.dims[1], second.dims[1], all_layers, 0};
    return import->job->ngram_order
               ? read_ngram_rows(import, second.dims[1], &ret_head->n_ngram_rows, err)
               : 0;
}

static int find_specs(struct import *import, struct elmo_error *err)
{
    struct head_shape head;
    int r = import->sentiment ? read_head_shape(import, &head, err) : 0;
    return r ? r
             : tensor_specs_init(&import->specs, &import->options, import->sentiment ? &head : NULL,
                                 err);
}

/* ---- Tensors ---- */

/* Reads one tensor, in the dtype it is to have. */
static int read_tensor(struct import *import, const struct tensor_spec *spec,
                       struct elmo_error *err)
{
    const char *head_name = head_dataset(spec->name);
    struct hdf5_input *input = head_name ? import->sentiment : import->weights;
    const char *name = head_name ? head_name : spec->name;
    if (spec->optional && !hdf5_input_has(input, name))
        return 0;

    struct hdf5_shape shape = {.n_dims = spec->n_dims};
    struct st_tensor t = {.name = spec->name, .dtype = ST_F32, .n_dims = spec->n_dims};
    size_t n_values = 1;
    for (size_t k = 0; k < spec->n_dims; k++) {
        shape.dims[k] = t.dims[k] = spec->dims[k];
        if (!mul_ok(n_values, spec->dims[k], &n_values))
            return elmo_fail_nomem(err);
    }
    AUTO(mem_free) float *values = calloc(n_values, sizeof *values);
    if (!values)
        return elmo_fail_nomem(err);
    int r = hdf5_input_read(input, name, &shape, values, import->notes, err);
    if (r)
        return r;
    if (import->job->dtype == ST_BF16 && tensor_spec_is_rounded(spec)) {
        st_round_to_bf16(values, n_values);
        t.dtype = ST_BF16;
    }
    t.n_bytes = n_values * st_dtype_bytes(t.dtype);
    t.data = (const unsigned char *)STEAL(values);
    import->tensors[import->n_tensors++] = t;
    return 0;
}

/* float32 tensors first, so that each of them starts on a multiple of four bytes. */
static int read_tensors(struct import *import, struct elmo_error *err)
{
    import->tensors = calloc(import->specs.n_items, sizeof *import->tensors);
    if (!import->tensors)
        return elmo_fail_nomem(err);
    for (int rounded = 0; rounded < 2; rounded++)
        for (size_t k = 0; k < import->specs.n_items; k++) {
            const struct tensor_spec *spec = &import->specs.items[k];
            int r = tensor_spec_is_rounded(spec) == rounded ? read_tensor(import, spec, err) : 0;
            if (r)
                return r;
        }
    return 0;
}

/* ---- Datasets that nobody asked for ---- */

struct unused {
    const struct import *import;
    const struct hdf5_input *input;
    const char *path;
};

static void note_unused(void *context, const char *name)
{
    const struct unused *u = context;
    for (size_t k = 0; k < u->import->n_tensors; k++) {
        const char *tensor_name = u->import->tensors[k].name;
        const char *head_name = head_dataset(tensor_name);
        if (u->input == u->import->sentiment ? head_name && !strcmp(head_name, name)
                                             : !strcmp(tensor_name, name))
            return;
    }
    fprintf(u->import->notes, "note: %s: dataset '%s' is not used\n", u->path, name);
}

static int note_all_unused(const struct import *import, struct elmo_error *err)
{
    if (!import->notes)
        return 0;
    struct unused weights = {import, import->weights, import->job->weights};
    struct unused sentiment = {import, import->sentiment, import->job->sentiment};
    int r = hdf5_input_each(import->weights, note_unused, &weights, err);
    if (!r && import->sentiment)
        r = hdf5_input_each(import->sentiment, note_unused, &sentiment, err);
    return r;
}

/* ---- The model file ---- */

static int write_file(void *arg, const char *path, struct elmo_error *err)
{
    struct import *import = arg;
    const struct import_job *job = import->job;
    struct st_metadata metadata[10] = {
        {META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
        {META_NAME, job->name},
        {META_TOKENIZER, job->tokenizer},
        {META_OPTIONS, import->options_text},
    };
    size_t n = 4;
    if (import->provenance_text)
        metadata[n++] = (struct st_metadata){META_PROVENANCE, import->provenance_text};
    if (import->sentiment) {
        metadata[n++] = (struct st_metadata){META_LABELS, import->labels_text};
        metadata[n++] = (struct st_metadata){META_POOLING, job->pooling ? job->pooling : "mean"};
        if (job->head_input)
            metadata[n++] = (struct st_metadata){META_HEAD_INPUT, job->head_input};
        if (job->ngram_order)
            metadata[n++] = (struct st_metadata){META_NGRAM_ORDER, job->ngram_order};
    }
    int r = safetensors_write(path, import->tensors, import->n_tensors, metadata, n, err);
    free_tensors(import); /* the model that is opened next may be as large */
    return r;
}

int import_run(const struct import_job *job, FILE *notes, struct elmo_error *err)
{
    __attribute__((cleanup(import_done_auto))) struct import import = {.job = job, .notes = notes};
    int r = open_inputs(&import, err);
    if (!r)
        r = find_specs(&import, err);
    if (!r)
        r = read_tensors(&import, err);
    if (!r)
        r = note_all_unused(&import, err);
    return r ? r : model_replace(job->out, write_file, &import, err);
}

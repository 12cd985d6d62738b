#include "head_file.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "mapped_file.h"
#include "model_file.h"
#include "model_replace.h"
#include "safetensors.h"

#define N_HEAD_TENSORS  7
#define N_METADATA      9
#define N_HEAD_METADATA 4 /* the last ones */

/* What is being put together; parts_done frees. */
struct parts {
    const struct head_file *job;
    struct mapped_file mapping;
    struct safetensors *source;
    struct st_tensor *tensors;
    size_t n_tensors;
    float *tuned;  /* a copy of job->values, parts of it rounded in place */
    float *ngrams; /* a copy of the table, rounded in place */
    char *labels;
};

static void parts_done(struct parts *p)
{
    free(p->tensors);
    free(p->tuned);
    free(p->ngrams);
    free(p->labels);
    safetensors_free(p->source);
    mapped_file_close(&p->mapping);
}

static int open_source(struct parts *p, struct elmo_error *err)
{
    const struct head_file *job = p->job;
    const struct trained_head *head = job->head;
    int r = mapped_file_open(&p->mapping, job->model, err);
    if (!r)
        r = safetensors_parse(&p->source, p->mapping.bytes, p->mapping.n_bytes, err);
    if (r)
        return r;
    size_t n_ngrams = head ? head->shape.n_ngram_rows * head->shape.output_dim : 0;
    size_t n_tensors = safetensors_n_tensors(p->source) + N_HEAD_TENSORS;
    p->tensors =
        calloc(n_tensors + (job->values ? job->net->specs.n_items : 0), sizeof *p->tensors);
    p->tuned = job->values ? calloc(job->net->n_dense, sizeof *p->tuned) : NULL;
    p->ngrams = n_ngrams ? calloc(n_ngrams, sizeof *p->ngrams) : NULL;
    if (!p->tensors || (job->values && !p->tuned) || (n_ngrams && !p->ngrams))
        return elmo_fail_nomem(err);
    for (size_t k = 0; p->tuned && k < job->net->n_dense; k++)
        p->tuned[k] = (float)job->values[k];
    if (p->ngrams)
        memcpy(p->ngrams, head->ngrams, n_ngrams * sizeof *p->ngrams);
    return 0;
}

/* The new values of a tensor of the biLM, stored as the source stores it; NULL: not tuned. */
static const unsigned char *tuned_data(struct parts *p, const struct st_tensor *t)
{
    const struct net *net = p->job->net;
    for (size_t k = 0; p->tuned && k < net->specs.n_items; k++) {
        float *values = p->tuned + net->offsets[k];
        if (strcmp(net->specs.items[k].name, t->name))
            continue;
        if (t->dtype == ST_BF16)
            st_round_to_bf16(values, net->offsets[k + 1] - net->offsets[k]);
        return (const unsigned char *)values;
    }
    return NULL;
}

/* The biLM's tensors that are float32, or those that are not. */
static int add_bilm(struct parts *p, bool f32, struct elmo_error *err)
{
    for (size_t k = 0; k < safetensors_n_tensors(p->source); k++) {
        struct st_tensor t = *safetensors_tensor(p->source, k);
        if (!strncmp(t.name, HEAD_PREFIX, strlen(HEAD_PREFIX)) || (t.dtype == ST_F32) != f32)
            continue;
        if (p->tuned && t.dtype != ST_F32 && t.dtype != ST_BF16)
            return elmo_fail(err, ELMO_E_INVALID,
                             "tensor '%s' is %s: tuned models are written from f32 or bf16 ones",
                             t.name, t.dtype_name);
        const unsigned char *tuned = tuned_data(p, &t);
        t.data = tuned ? tuned : t.data;
        p->tensors[p->n_tensors++] = t;
    }
    return 0;
}

/* A projection that the source leaves out, being the identity, is none once it was tuned. */
static void add_tuned_projections(struct parts *p)
{
    const struct net *net = p->job->net;
    for (size_t k = 0; p->tuned && net->offsets[k] < net->n_dense; k++) {
        const struct tensor_spec *spec = &net->specs.items[k];
        if (safetensors_find(p->source, spec->name))
            continue;
        struct st_tensor t = {.name = spec->name,
                              .dtype = ST_F32,
                              .n_dims = spec->n_dims,
                              .data = (const unsigned char *)(p->tuned + net->offsets[k]),
                              .n_bytes = (net->offsets[k + 1] - net->offsets[k]) * sizeof(float)};
        memcpy(t.dims, spec->dims, spec->n_dims * sizeof *t.dims);
        p->tensors[p->n_tensors++] = t;
    }
}

/* columns 0: a vector. */
static void add(struct parts *p, const char *name, const float *values, size_t rows, size_t columns)
{
    struct st_tensor t = {.name = name,
                          .dtype = ST_F32,
                          .n_dims = columns ? 2 : 1,
                          .dims = {rows, columns},
                          .data = (const unsigned char *)values,
                          .n_bytes = rows * (columns ? columns : 1) * sizeof *values};
    p->tensors[p->n_tensors++] = t;
}

static void add_head(struct parts *p, size_t n_layers)
{
    const struct trained_head *head = p->job->head;
    const struct head_shape *s = &head->shape;
    if (!s->all_layers) {
        add(p, HEAD_MIX_WEIGHTS, head->mix_weights, 1 + n_layers, 0);
        add(p, HEAD_MIX_GAMMA, head->mix_gamma, 1, 0);
    }
    add(p, HEAD_DENSE_1_KERNEL, head->w1, s->input_dim, s->hidden_dim);
    add(p, HEAD_DENSE_1_BIAS, head->b1, s->hidden_dim, 0);
    add(p, HEAD_DENSE_2_KERNEL, head->w2, s->hidden_dim, s->output_dim);
    add(p, HEAD_DENSE_2_BIAS, head->b2, s->output_dim, 0);
}

static void add_ngrams(struct parts *p)
{
    if (!p->ngrams)
        return;
    const struct head_shape *s = &p->job->head->shape;
    add(p, HEAD_NGRAMS, p->ngrams, s->n_ngram_rows, s->output_dim);
    struct st_tensor *t = &p->tensors[p->n_tensors - 1];
    st_round_to_bf16(p->ngrams, s->n_ngram_rows * s->output_dim);
    t->dtype = ST_BF16;
    t->n_bytes /= 2;
}

static int labels_text(struct parts *p, struct elmo_error *err)
{
    json_auto_t *array = json_array();
    for (size_t k = 0; array && p->job->head && k < p->job->head->n_labels; k++)
        if (json_array_append_new(array, json_string(p->job->head->labels[k])))
            return elmo_fail_nomem(err);
    p->labels = array ? json_dumps(array, JSON_COMPACT) : NULL;
    return p->labels ? 0 : elmo_fail_nomem(err);
}

static int write_parts(void *arg, const char *path, struct elmo_error *err)
{
    const struct parts *p = arg;
    const struct head_file *job = p->job;
    const struct trained_head *head = job->head;
    char order[2] = {(char)('0' + (head ? head->ngram_order : 0))};
    size_t n = head ? N_METADATA - (p->ngrams ? 0 : 1) : N_METADATA - N_HEAD_METADATA;
    const char *name = job->name ? job->name : safetensors_metadata(p->source, META_NAME);
    const struct st_metadata metadata[N_METADATA] = {
        {META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
        {META_NAME, name},
        {META_TOKENIZER, safetensors_metadata(p->source, META_TOKENIZER)},
        {META_OPTIONS, safetensors_metadata(p->source, META_OPTIONS)},
        {META_PROVENANCE, job->provenance},
        {META_LABELS, p->labels},
        {META_POOLING, head ? head->pooling : ""},
        {META_HEAD_INPUT, head && head->shape.all_layers ? "layers" : "mix"},
        {META_NGRAM_ORDER, order},
    };
    return safetensors_write(path, p->tensors, p->n_tensors, metadata, n, err);
}

int head_file_write(const struct head_file *file, struct elmo_error *err)
{
    struct parts p = {.job = file};
    struct options options;
    int r = open_source(&p, err);
    if (!r)
        r = options_parse(&options, safetensors_metadata(p.source, META_OPTIONS), err);
    if (!r)
        r = labels_text(&p, err);
    if (!r)
        r = add_bilm(&p, true, err);
    if (!r) { /* float32 first: it stays aligned */
        add_tuned_projections(&p);
        if (file->head)
            add_head(&p, options.n_layers);
        r = add_bilm(&p, false, err);
    }
    if (!r) {
        add_ngrams(&p);
        r = model_replace(file->out, write_parts, &p, err);
    }
    parts_done(&p);
    return r;
}

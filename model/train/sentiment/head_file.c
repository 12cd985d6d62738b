#include "head_file.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/model_replace.h"
#include "error.h"
#include "file/model_file.h"
#include "file/safetensors.h"
#include "text/vocabulary.h"
#include "util/mapped_file.h"

#define N_NEW_TENSORS 8 /* the head's and the lexicon */
#define N_METADATA    10

/* What is being put together; parts_done frees. */
struct parts {
    const struct head_file *job;
    struct mapped_file mapping;
    struct safetensors *source;
    struct st_tensor *tensors;
    size_t n_tensors;
    float *tuned;   /* a copy of the tuned values, parts of it rounded in place */
    float *lexicon; /* the same of the tuned vectors */
    float *ngrams;  /* the same of the table */
    char *labels, *vocabulary;
};

static void parts_done(struct parts *p)
{
    free(p->tensors);
    free(p->tuned);
    free(p->lexicon);
    free(p->ngrams);
    free(p->labels);
    free(p->vocabulary);
    safetensors_free(p->source);
    mapped_file_close(&p->mapping);
}

static int copy_tuned(struct parts *p, const struct finetuned *tuned, struct elmo_error *err)
{
    size_t n = tuned->net.n_dense;
    size_t n_lexicon = tuned->words.words.n_items * tuned->net.options.proj_dim;
    p->tuned = calloc(n, sizeof *p->tuned);
    p->lexicon = calloc(n_lexicon, sizeof *p->lexicon);
    if (!p->tuned || !p->lexicon)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n; k++)
        p->tuned[k] = (float)tuned->values[k];
    memcpy(p->lexicon, tuned->words.vectors, n_lexicon * sizeof *p->lexicon);
    return vocabulary_text(&p->vocabulary, &tuned->words.words, err);
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
    size_t n_tensors = safetensors_n_tensors(p->source) + N_NEW_TENSORS;
    p->tensors =
        calloc(n_tensors + (job->tuned ? job->tuned->net.specs.n_items : 0), sizeof *p->tensors);
    p->ngrams = n_ngrams ? calloc(n_ngrams, sizeof *p->ngrams) : NULL;
    if (!p->tensors || (n_ngrams && !p->ngrams))
        return elmo_fail_nomem(err);
    if (p->ngrams)
        memcpy(p->ngrams, head->ngrams, n_ngrams * sizeof *p->ngrams);
    return job->tuned ? copy_tuned(p, job->tuned, err) : 0;
}

static bool is_of_head(const struct st_tensor *t)
{
    return !strncmp(t->name, HEAD_PREFIX, strlen(HEAD_PREFIX));
}

/* The new values of a tensor of the biLM, stored as the source stores it; NULL: not tuned. */
static const unsigned char *tuned_data(struct parts *p, const struct st_tensor *t)
{
    for (size_t k = 0; p->tuned && k < p->job->tuned->net.specs.n_items; k++) {
        const struct net *net = &p->job->tuned->net;
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
static void add_bilm(struct parts *p, bool f32)
{
    for (size_t k = 0; k < safetensors_n_tensors(p->source); k++) {
        struct st_tensor t = *safetensors_tensor(p->source, k);
        bool replaced = is_of_head(&t) || (p->tuned && !strcmp(t.name, LEXICON_VECTORS));
        if (replaced || (t.dtype == ST_F32) != f32)
            continue;
        const unsigned char *tuned = tuned_data(p, &t);
        t.data = tuned ? tuned : t.data;
        p->tensors[p->n_tensors++] = t;
    }
}

/* A projection that the source leaves out, being the identity, is none once it was tuned. */
static void add_tuned_projections(struct parts *p)
{
    const struct net *net = &p->job->tuned->net;
    for (size_t k = 0; net->offsets[k] < net->n_dense; k++) {
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

/* `values` are rounded in place. */
static void add_bf16(struct parts *p, const char *name, float *values, size_t rows, size_t columns)
{
    add(p, name, values, rows, columns);
    struct st_tensor *t = &p->tensors[p->n_tensors - 1];
    st_round_to_bf16(values, rows * columns);
    t->dtype = ST_BF16;
    t->n_bytes /= 2;
}

static bool bilm_has_bf16(const struct parts *p)
{
    for (size_t k = 0; k < safetensors_n_tensors(p->source); k++) {
        const struct st_tensor *t = safetensors_tensor(p->source, k);
        if (t->dtype == ST_BF16 && !is_of_head(t))
            return true;
    }
    return false;
}

/* As exact as the source. */
static void add_lexicon(struct parts *p, bool bf16)
{
    if (!p->lexicon || bilm_has_bf16(p) != bf16)
        return;
    const struct finetuned *tuned = p->job->tuned;
    size_t rows = tuned->words.words.n_items, P = tuned->net.options.proj_dim;
    if (bf16)
        add_bf16(p, LEXICON_VECTORS, p->lexicon, rows, P);
    else
        add(p, LEXICON_VECTORS, p->lexicon, rows, P);
}

static void add_ngrams(struct parts *p)
{
    if (p->ngrams)
        add_bf16(p, HEAD_NGRAMS, p->ngrams, p->job->head->shape.n_ngram_rows,
                 p->job->head->shape.output_dim);
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
    const char *name = job->name ? job->name : safetensors_metadata(p->source, META_NAME);
    const struct st_metadata all[N_METADATA] = {
        {META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
        {META_NAME, name},
        {META_TOKENIZER, safetensors_metadata(p->source, META_TOKENIZER)},
        {META_OPTIONS, safetensors_metadata(p->source, META_OPTIONS)},
        {META_PROVENANCE, job->provenance},
        {META_VOCABULARY,
         p->tuned ? p->vocabulary : safetensors_metadata(p->source, META_VOCABULARY)},
        {META_LABELS, head ? p->labels : NULL},
        {META_POOLING, head ? head->pooling : NULL},
        {META_HEAD_INPUT, !head                    ? NULL
                          : head->shape.all_layers ? "layers"
                                                   : "mix"},
        {META_NGRAM_ORDER, p->ngrams ? order : NULL},
    };
    struct st_metadata metadata[N_METADATA];
    size_t n = 0;
    for (size_t k = 0; k < N_METADATA; k++)
        if (all[k].value)
            metadata[n++] = all[k];
    return safetensors_write(path, p->tensors, p->n_tensors, metadata, n, err);
}

static int check_tunable(const struct safetensors *source, struct elmo_error *err)
{
    for (size_t k = 0; k < safetensors_n_tensors(source); k++) {
        const struct st_tensor *t = safetensors_tensor(source, k);
        if (!is_of_head(t) && t->dtype != ST_F32 && t->dtype != ST_BF16)
            return elmo_fail(err, ELMO_E_INVALID,
                             "tensor '%s' is %s: tuned models are written from f32 or bf16 ones",
                             t->name, t->dtype_name);
    }
    return 0;
}

int head_file_check_tunable(const char *model, struct elmo_error *err)
{
    struct mapped_file mapping = {0};
    struct safetensors *source = NULL;
    int r = mapped_file_open(&mapping, model, err);
    if (!r)
        r = safetensors_parse(&source, mapping.bytes, mapping.n_bytes, err);
    if (!r)
        r = check_tunable(source, err);
    safetensors_free(source);
    mapped_file_close(&mapping);
    return r;
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
        r = file->tuned ? check_tunable(p.source, err) : 0;
    if (!r) { /* float32 first: it stays aligned */
        add_bilm(&p, true);
        if (file->tuned)
            add_tuned_projections(&p);
        if (file->head)
            add_head(&p, options.n_layers);
        add_lexicon(&p, false);
        add_bilm(&p, false);
        add_lexicon(&p, true);
        add_ngrams(&p);
        r = model_replace(file->out, write_parts, &p, err);
    }
    parts_done(&p);
    return r;
}

#include "checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "file/model_file.h"
#include "file/safetensors.h"
#include "train_options.h"
#include "util/mapped_file.h"

#ifdef TRAIN_DOUBLE
#error "checkpoints hold float32: this file is not part of the double build"
#endif

/* An array of a checkpoint with the layout of the net, and what its tensors' names begin with. */
struct part {
    const char *prefix;
    enum st_dtype dtype; /* of the array and of the file: ST_F32 or ST_BF16 */
    void *flat;
};

#define MAX_PARTS 4

#define ROW_SECOND "adam/softmax/second" /* [V]: see checkpoint_small.h */

static size_t parts_of(const struct checkpoint *c, struct part parts[static MAX_PARTS])
{
    const struct optimizer *o = c->optimizer;
    bool compact = o && o->moments == MOMENTS_COMPACT;
    size_t n = 0;
    parts[n++] = (struct part){"", ST_F32, c->values};
    if (o) {
        parts[n++] = compact ? (struct part){"adam/first/", ST_BF16, o->compact_first}
                             : (struct part){"adam/first/", ST_F32, o->first};
        parts[n++] = compact ? (struct part){"adam/second/", ST_BF16, o->compact_second}
                             : (struct part){"adam/second/", ST_F32, o->second};
    }
    if (c->average)
        parts[n++] = (struct part){CHECKPOINT_AVERAGE, ST_F32, c->average->values};
    return n;
}

static bool has_average(const struct checkpoint *c, const struct safetensors *file)
{
    char name[2 * TENSOR_NAME_MAX];
    snprintf(name, sizeof name, CHECKPOINT_AVERAGE "%s", c->net->specs.items[0].name);
    return safetensors_find(file, name);
}

/* Those that the file has. Where no average was kept it has none; who wants only weights gets the
 * average. */
static size_t parts_in(const struct checkpoint *c, const struct safetensors *file,
                       struct part parts[static MAX_PARTS])
{
    bool has = has_average(c, file);
    size_t n = parts_of(c, parts);
    if (!c->optimizer && has)
        parts[0].prefix = CHECKPOINT_AVERAGE;
    return c->average && !has ? n - 1 : n;
}

/* ---- Writing ---- */

/* The tensors of one file, with their names. */
struct tensor_list {
    struct st_tensor *tensors;
    char (*names)[TENSOR_NAME_MAX];
    size_t n;
};

static struct st_tensor *add_tensor(struct tensor_list *list, const char *prefix, const char *name,
                                    enum st_dtype dtype, const void *data, size_t n_values)
{
    struct st_tensor *t = &list->tensors[list->n];
    snprintf(list->names[list->n], TENSOR_NAME_MAX, "%s%s", prefix, name);
    *t = (struct st_tensor){
        .name = list->names[list->n++],
        .dtype = dtype,
        .n_dims = 1,
        .dims = {n_values},
        .data = data,
        .n_bytes = n_values * st_dtype_bytes(dtype),
    };
    return t;
}

static void add_part(struct tensor_list *list, const struct part *part, const struct net *net)
{
    for (size_t k = 0; k < net->specs.n_items; k++) {
        const struct tensor_spec *spec = &net->specs.items[k];
        const unsigned char *data = part->flat;
        struct st_tensor *t = add_tensor(list, part->prefix, spec->name, part->dtype,
                                         data + net->offsets[k] * st_dtype_bytes(part->dtype),
                                         net->offsets[k + 1] - net->offsets[k]);
        t->n_dims = spec->n_dims;
        memcpy(t->dims, spec->dims, spec->n_dims * sizeof *spec->dims);
    }
}

int checkpoint_write(const char *path, const struct checkpoint *c, struct elmo_error *err)
{
    struct part parts[MAX_PARTS];
    size_t n_parts = parts_of(c, parts), most = n_parts * c->net->specs.n_items;
    AUTO(mem_free) struct st_tensor *tensors = calloc(most, sizeof *tensors);
    AUTO(mem_free) char(*names)[TENSOR_NAME_MAX] = calloc(most, sizeof *names);
    struct train_state now = *c->state;
    now.optimizer_steps = c->optimizer ? c->optimizer->n_steps : 0;
    now.average_steps = c->average ? c->average->n_steps : 0;
    AUTO(mem_free) char *state = train_state_text(&now);
    struct tensor_list list = {tensors, names, 0};
    if (!tensors || !names || !state)
        return elmo_fail_nomem(err);
    for (size_t p = 0; p < n_parts; p++)
        if (parts[p].dtype == ST_F32)
            add_part(&list, &parts[p], c->net);
    for (size_t p = 0; p < n_parts; p++) /* float32 first: they stay aligned */
        if (parts[p].dtype != ST_F32)
            add_part(&list, &parts[p], c->net);
    struct st_metadata metadata[] = {
        {META_OPTIONS, c->options_json},          {META_TOKENIZER, c->tokenizer},
        {META_VOCABULARY, c->vocabulary},         {META_STATE, state},
        {META_CORPUS_WEIGHTS, c->corpus_weights}, {META_PROVENANCE, c->provenance},
    };
    size_t n_metadata = 0;
    for (size_t k = 0; k < ARRAY_LEN(metadata); k++)
        if (metadata[k].value)
            metadata[n_metadata++] = metadata[k];
    return safetensors_write(path, tensors, list.n, metadata, n_metadata, err);
}

/* ---- Reading ---- */

static int fail_tensor(const char *name, enum st_dtype dtype, size_t n, bool is_moment,
                       struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_FORMAT,
                     "checkpoint: tensor '%s' is missing or not of %zu %s values%s", name, n,
                     dtype == ST_F32 ? "float32" : "bfloat16",
                     is_moment ? "; where another version of elmo-train wrote it, export the "
                                 "weights and start from them with --init"
                               : "");
}

/* n values of a tensor, which must have the array's own type, or bfloat16 as a small checkpoint has
 * it. */
static int read_values(void *values, const struct safetensors *file, const char *prefix,
                       const char *tensor, enum st_dtype dtype, size_t n, struct elmo_error *err)
{
    char name[2 * TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s%s", prefix, tensor);
    const struct st_tensor *t = safetensors_find(file, name);
    bool is_rounded = t && dtype == ST_F32 && t->dtype == ST_BF16 && !*prefix;
    if (!t || (t->dtype != dtype && !is_rounded) || t->n_bytes != n * st_dtype_bytes(t->dtype))
        return fail_tensor(name, dtype, n, *prefix, err);
    if (dtype == ST_F32)
        st_to_f32(values, t->data, t->dtype, n);
    else
        memcpy(values, t->data, t->n_bytes);
    return 0;
}

/* What stays 0 where the file does not have it: the map to word vectors of a run that began without
 * them, and the softmax's moments where the file has ROW_SECOND instead. */
static bool may_be_missing(const struct safetensors *file, const struct part *part,
                           const struct tensor_spec *spec)
{
    char name[2 * TENSOR_NAME_MAX];
    bool is_map = !strcmp(spec->name, NET_WORD_VECTORS_W),
         is_softmax = !strcmp(spec->name, SOFTMAX_W) || !strcmp(spec->name, SOFTMAX_B);
    snprintf(name, sizeof name, "%s%s", part->prefix, spec->name);
    return (is_map || (is_softmax && *part->prefix && safetensors_find(file, ROW_SECOND))) &&
           !safetensors_find(file, name);
}

static int read_part(const struct safetensors *file, const struct part *part, const struct net *net,
                     struct elmo_error *err)
{
    int r = 0;
    for (size_t k = 0; k < net->specs.n_items && !r; k++) {
        unsigned char *values = part->flat;
        if (may_be_missing(file, part, &net->specs.items[k]))
            continue;
        r = read_values(values + net->offsets[k] * st_dtype_bytes(part->dtype), file, part->prefix,
                        net->specs.items[k].name, part->dtype,
                        net->offsets[k + 1] - net->offsets[k], err);
    }
    return r;
}

static int check_options(const struct checkpoint *c, const struct safetensors *file,
                         struct elmo_error *err)
{
    const char *options = safetensors_metadata(file, META_OPTIONS), *key = NULL;
    if (!options)
        return elmo_fail(err, ELMO_E_FORMAT, "__metadata__ has no '" META_OPTIONS "'");
    int r = train_options_compare(&key, options, c->options_json, err);
    if (r || !key)
        return r;
    return elmo_fail(
        err, ELMO_E_INVALID,
        "cannot resume: the checkpoint has another architecture: --options has another "
        "%s",
        key);
}

/* The same sizes are not enough: words in another order, or another tokeniser, would go on with the
 * wrong rows, and say nothing. */
static int check_same(const struct checkpoint *c, const struct safetensors *file,
                      struct elmo_error *err)
{
    const char *other = NULL;
    const char *tokenizer = safetensors_metadata(file, META_TOKENIZER);
    const char *vocabulary = safetensors_metadata(file, META_VOCABULARY);
    int r = c->options_json ? check_options(c, file, err) : 0;
    if (r)
        return r;
    if (c->tokenizer && (!tokenizer || strcmp(tokenizer, c->tokenizer)))
        other = "tokeniser (--tokenizer)";
    else if (c->vocabulary && (!vocabulary || strcmp(vocabulary, c->vocabulary)))
        other = "vocabulary (--vocab)";
    if (other)
        return elmo_fail(err, ELMO_E_INVALID, "cannot resume: the checkpoint has another %s",
                         other);
    return 0;
}

/* Of a row of the softmax a small checkpoint has one second moment: it becomes that of each
 * element. */
static int spread_row_moments(const struct checkpoint *c, const struct safetensors *file,
                              struct elmo_error *err)
{
    const struct optimizer *o = c->optimizer;
    const struct net *net = c->net;
    size_t V = net->n_vocab, P = net->options.proj_dim;
    if (!o || o->moments != MOMENTS_COMPACT || !safetensors_find(file, ROW_SECOND))
        return 0;
    AUTO(mem_free) float *rows = calloc(V, sizeof *rows);
    if (!rows)
        return elmo_fail_nomem(err);
    int r = read_values(rows, file, "", ROW_SECOND, ST_F32, V, err);
    for (size_t id = 0; id < V && !r; id++) {
        moment value = st_bf16_from_f32(rows[id]), *row = o->compact_second + net->n_dense + id * P;
        for (size_t k = 0; k < P; k++)
            row[k] = value;
        o->compact_second[net->n_dense + V * P + id] = value;
    }
    return r;
}

/* In a small checkpoint the weights are the average. */
static void take_average(const struct checkpoint *c, const struct safetensors *file)
{
    c->average->n_steps = c->state->average_steps;
    if (!has_average(c, file) && c->average->n_steps)
        memcpy(c->average->values, c->values, net_size(c->net) * sizeof(real));
}

static int read_bytes(const struct checkpoint *c, const void *bytes, size_t n_bytes,
                      struct elmo_error *err)
{
    struct part parts[MAX_PARTS];
    size_t n_parts = 0;
    AUTO(safetensors_free) struct safetensors *file = NULL;
    int r = safetensors_parse(&file, bytes, n_bytes, err);
    if (!r)
        r = check_same(c, file, err);
    if (!r)
        n_parts = parts_in(c, file, parts);
    for (size_t p = 0; p < n_parts && !r; p++)
        r = read_part(file, &parts[p], c->net, err);
    if (!r)
        r = spread_row_moments(c, file, err);
    if (!r)
        r = train_state_parse(c->state, safetensors_metadata(file, META_STATE), err);
    if (!r && c->optimizer)
        c->optimizer->n_steps = c->state->optimizer_steps;
    if (!r && c->average)
        take_average(c, file);
    return r;
}

size_t checkpoint_word_vectors_dim(const struct safetensors *file, size_t proj_dim)
{
    const struct st_tensor *t = safetensors_find(file, NET_WORD_VECTORS_W);
    return t && t->n_dims == 2 && t->dims[0] == proj_dim ? t->dims[1] : 0;
}

int checkpoint_read(const char *path, const struct checkpoint *c, struct elmo_error *err)
{
    struct mapped_file mapping = {0};
    int r = mapped_file_open(&mapping, path, err);
    if (!r)
        r = read_bytes(c, mapping.bytes, mapping.n_bytes, err);
    mapped_file_close(&mapping);
    return r;
}

/* From the tensors of a model file to struct weights. In this order: each tensor is checked against
 * its specification; those that cannot be used in place are widened to float32; pointers are set by
 * name; matrices are packed for the kernel; the sizes of the head and the lexicon are found. Last,
 * weights_init finds the sizes first and then runs the other steps. */
#include "weights.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "file/model_file.h"
#include "kernels/kernels.h"
#include "tensor_specs.h"
#include "text/ngrams.h"
#include "util/big_alloc.h"

#define ALIGN_BYTES  ((size_t)64) /* widened and packed tensors start on a cache line */
#define ALIGN_FLOATS (ALIGN_BYTES / sizeof(float))

/* A matrix is filled up to whole panels: one of a column grows by a panel's width. Small ones may.
 */
#define MAX_GROWTH 8u
#define MIN_LIMIT  ((size_t)64 << 20)

/* The specs of a file and, beside each, where its float32 values lie (NULL: optional and absent).
 */
struct loader {
    const struct safetensors *file;
    struct tensor_specs specs;
    const float **values; /* [specs.n_items] */
    float *widened;       /* owned: of what is packed, and not kept */
};

static void loader_done_auto(struct loader *loader)
{
    tensor_specs_done(&loader->specs);
    free(loader->values);
    free(loader->widened);
}

/* ---- Checking ---- */

/* A scalar () may stand for [1]: bilm-tf style files have gamma so. */
static bool same_shape(const struct tensor_spec *spec, const struct st_tensor *t)
{
    if (!t->n_dims)
        return spec->n_dims == 1 && spec->dims[0] == 1;
    return spec->n_dims == t->n_dims &&
           !memcmp(spec->dims, t->dims, spec->n_dims * sizeof *spec->dims);
}

static int check_tensor(const struct tensor_spec *spec, const struct st_tensor *t,
                        struct elmo_error *err)
{
    char expected[96], found[96];
    if (!t && spec->optional)
        return 0;
    st_shape_text(spec->dims, spec->n_dims, expected, sizeof expected);
    if (!t)
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s' %s is missing", spec->name, expected);
    if (t->dtype == ST_OTHER)
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s': expected F32, BF16 or F16, found %s",
                         spec->name, t->dtype_name);
    if (!same_shape(spec, t))
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s': expected shape %s, found %s", spec->name,
                         expected, st_shape_text(t->dims, t->n_dims, found, sizeof found));
    return 0;
}

static bool is_known(const struct tensor_specs *specs, const char *name)
{
    for (size_t k = 0; k < specs->n_items; k++)
        if (!strcmp(specs->items[k].name, name))
            return true;
    return false;
}

static int check_all(const struct loader *loader, struct elmo_error *err)
{
    for (size_t k = 0; k < loader->specs.n_items; k++) {
        const struct tensor_spec *spec = &loader->specs.items[k];
        int r = check_tensor(spec, safetensors_find(loader->file, spec->name), err);
        if (r)
            return r;
    }
    for (size_t k = 0; k < safetensors_n_tensors(loader->file); k++) {
        const char *name = safetensors_tensor(loader->file, k)->name;
        if (!is_known(&loader->specs, name))
            return elmo_fail(err, ELMO_E_FORMAT, "unexpected tensor '%.96s'", name);
    }
    return 0;
}

/* ---- Widening ---- */

static size_t n_elements(const struct st_tensor *t)
{
    return t->n_bytes / st_dtype_bytes(t->dtype);
}

static bool usable_in_place(const struct st_tensor *t)
{
    const union {
        uint16_t number;
        unsigned char first_byte;
    } host = {1};
    return t->dtype == ST_F32 && (uintptr_t)t->data % sizeof(float) == 0 && host.first_byte == 1;
}

static size_t aligned_floats(size_t n)
{
    return (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

static size_t aligned_bytes(size_t n)
{
    return (n + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

static size_t widened_floats(const struct st_tensor *t)
{
    if (!t || usable_in_place(t))
        return 0;
    return aligned_floats(n_elements(t));
}

/* The dtype that most elements are stored in. */
static const char *main_dtype(const struct safetensors *file)
{
    static const char *const names[] = {[ST_F32] = "f32", [ST_F16] = "f16", [ST_BF16] = "bf16"};
    size_t count[ARRAY_LEN(names)] = {0}, best = ST_F32;
    for (size_t k = 0; k < safetensors_n_tensors(file); k++) {
        const struct st_tensor *t = safetensors_tensor(file, k);
        count[t->dtype] += n_elements(t);
    }
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        best = count[k] > count[best] ? k : best;
    return names[best];
}

/* The matrices, and all of the LSTMs. */
static bool is_packed(const struct tensor_spec *spec)
{
    const char *name = strchr(spec->name, '/');
    return !strncmp(spec->name, "RNN_", 4) ||
           (!strncmp(spec->name, "CNN", 3) && name && !strncmp(name, "/W_", 3));
}

/* Memory for the tensors to pack that have to be widened, or for the others. */
static float *alloc_widened(const struct loader *loader, bool packed)
{
    size_t n_floats = ALIGN_FLOATS, n_bytes;
    for (size_t k = 0; k < loader->specs.n_items; k++)
        if (is_packed(&loader->specs.items[k]) == packed)
            n_floats += widened_floats(safetensors_find(loader->file, loader->specs.items[k].name));
    /* A float takes at most twice the bytes of the mapped file: this cannot wrap on 64 bits. */
    if (!mul_ok(n_floats, sizeof(float), &n_bytes))
        return NULL;
    return aligned_alloc(ALIGN_FLOATS * sizeof(float), n_bytes);
}

/* Sets loader->values: every tensor as float32, in the file or widened. */
static int widen_all(struct weights *weights, struct loader *loader, struct elmo_error *err)
{
    weights->widened = alloc_widened(loader, false);
    loader->widened = alloc_widened(loader, true);
    if (!weights->widened || !loader->widened)
        return elmo_fail_nomem(err);
    float *ends[] = {weights->widened, loader->widened};
    for (size_t k = 0; k < loader->specs.n_items; k++) {
        const struct st_tensor *t = safetensors_find(loader->file, loader->specs.items[k].name);
        float **next = &ends[is_packed(&loader->specs.items[k])];
        if (!t)
            continue;
        if (usable_in_place(t)) {
            loader->values[k] = (const float *)(const void *)t->data;
        } else {
            st_to_f32(*next, t->data, t->dtype, n_elements(t));
            loader->values[k] = *next;
            *next += widened_floats(t);
        }
        if (!kernel_all_finite(loader->values[k], n_elements(t)))
            return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s' holds values that are not finite",
                             t->name);
        weights->n_parameters += n_elements(t);
    }
    weights->dtype = main_dtype(loader->file);
    return 0;
}

/* ---- From names to fields ---- */

__attribute__((format(printf, 2, 3))) static const float *value(const struct loader *loader,
                                                                const char *format, ...)
{
    char name[TENSOR_NAME_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    for (size_t k = 0; k < loader->specs.n_items; k++)
        if (!strcmp(loader->specs.items[k].name, name))
            return loader->values[k];
    return NULL;
}

/* ---- Packing ---- */

/* Goes over the matrices twice: to know how many bytes they take, and to pack them. */
struct packer {
    const struct loader *loader;
    const struct options *options;
    const struct compute *how;
    struct weights *weights;
    unsigned char *next; /* NULL: sizes are added up */
    size_t n_bytes;
    bool too_large;
};

/* `n_bytes` and what aligns the next ones; NULL while sizes are added up. */
static void *take(struct packer *p, size_t n_bytes)
{
    void *taken = p->next;
    size_t n = aligned_bytes(n_bytes);
    p->too_large |= n < n_bytes || p->n_bytes > SIZE_MAX - n;
    p->n_bytes += n;
    p->next = taken ? p->next + n : NULL;
    return taken;
}

static void pack(struct packer *p, struct packed_matrix *to, enum elmo_dtype dtype,
                 enum packed_order order, const float *w, size_t n_in, size_t n_out)
{
    const struct lane_tile *tile = p->how->tile;
    size_t n_bytes = packed_bytes(tile, dtype, order, n_in, n_out);
    p->too_large |= !n_bytes;
    void *memory = take(p, n_bytes);
    if (memory)
        packed_init(to, memory, tile, dtype, order, w, n_in, n_out);
}

static void pack_lstm(struct packer *p, unsigned direction, size_t layer)
{
    struct lstm_weights *lstm = &p->weights->lstm[direction][layer];
    enum elmo_dtype dtype = p->how->dtype;
    size_t P = p->options->proj_dim, C = p->options->cell_dim;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "RNN_%u/RNN/MultiRNNCell/Cell%zu/LSTMCell", direction, layer);
    const float *w = value(p->loader, "%s/W_0", prefix); /* [2P, 4C]: x first, then h */
    const float *w_proj = value(p->loader, "%s/W_P_0", prefix);
    float *bias = take(p, packed_gate_floats(p->how->tile, C) * sizeof *bias);
    if (bias)
        packed_gate_bias(bias, p->how->tile, value(p->loader, "%s/B", prefix), C);
    lstm->bias = bias;
    pack(p, &lstm->input, dtype, PACKED_GATES, w, P, 4 * C);
    pack(p, &lstm->recurrent, dtype, PACKED_GATES, w + P * 4 * C, P, 4 * C);
    if (w_proj)
        pack(p, &lstm->projection, dtype, PACKED_COLUMNS, w_proj, C, P);
}

static void pack_convolution(struct packer *p, size_t filter)
{
    const struct options *o = p->options;
    const struct lane_tile *tile = p->how->tile;
    size_t width = o->char_filters[filter].width, n = o->char_filters[filter].n_filters;
    size_t n_bytes = char_table_bytes(tile, width, n, CHAR_COUNT);
    p->too_large |= !n_bytes;
    void *memory = take(p, n_bytes);
    if (memory)
        char_table_init(&p->weights->conv[filter].table, memory, tile,
                        value(p->loader, "char_embed"), value(p->loader, "CNN/W_cnn_%zu", filter),
                        o->char_dim, width, n, CHAR_COUNT);
}

static void pack_token_encoder(struct packer *p)
{
    const struct options *o = p->options;
    enum elmo_dtype dtype = p->how->dtype;
    size_t F = o->filter_dim;
    struct weights *w = p->weights;
    const float *projection = value(p->loader, "CNN_proj/W_proj");
    for (size_t k = 0; k < o->n_char_filters; k++)
        pack_convolution(p, k);
    for (size_t k = 0; k < o->n_highway; k++) {
        pack(p, &w->highway[k].carry, dtype, PACKED_COLUMNS,
             value(p->loader, "CNN_high_%zu/W_carry", k), F, F);
        pack(p, &w->highway[k].transform, dtype, PACKED_COLUMNS,
             value(p->loader, "CNN_high_%zu/W_transform", k), F, F);
    }
    if (projection)
        pack(p, &w->projection, dtype, PACKED_COLUMNS, projection, F, o->proj_dim);
}

static void pack_all(struct packer *p)
{
    pack_token_encoder(p);
    for (unsigned direction = 0; direction < 2; direction++)
        for (size_t layer = 0; layer < p->options->n_layers; layer++)
            pack_lstm(p, direction, layer);
}

static int pack_matrices(struct weights *w, const struct loader *loader, const struct options *o,
                         const struct compute *how, struct elmo_error *err)
{
    struct packer p = {.loader = loader, .options = o, .how = how, .weights = w};
    if (how->dtype == ELMO_DTYPE_INT8 &&
        (o->proj_dim > PACKED_INT8_MAX_INPUTS || o->cell_dim > PACKED_INT8_MAX_INPUTS ||
         o->filter_dim > PACKED_INT8_MAX_INPUTS))
        return elmo_fail(err, ELMO_E_INVALID, "more than %u filters, cells or outputs: not in int8",
                         PACKED_INT8_MAX_INPUTS);
    pack_all(&p);
    if (!p.too_large && p.n_bytes / MAX_GROWTH > w->n_parameters * sizeof(float) + MIN_LIMIT)
        return elmo_fail(err, ELMO_E_INVALID,
                         "matrices of so few columns would take %zu bytes of memory", p.n_bytes);
    w->packed = p.too_large ? NULL : big_alloc(p.n_bytes);
    if (!w->packed)
        return elmo_fail_nomem(err);
    p.next = w->packed;
    p.n_bytes = 0;
    pack_all(&p);
    return 0;
}

static void head_fields(struct head_weights *head, const struct loader *loader)
{
    head->mix_weights = value(loader, HEAD_MIX_WEIGHTS);
    head->mix_gamma = head->mix_weights ? *value(loader, HEAD_MIX_GAMMA) : 1;
    head->dense_1_kernel = value(loader, HEAD_DENSE_1_KERNEL);
    head->dense_1_bias = value(loader, HEAD_DENSE_1_BIAS);
    head->dense_2_kernel = value(loader, HEAD_DENSE_2_KERNEL);
    head->dense_2_bias = value(loader, HEAD_DENSE_2_BIAS);
    head->ngrams = value(loader, HEAD_NGRAMS);
}

static int set_fields(struct weights *w, const struct loader *loader, const struct options *o,
                      struct elmo_error *err)
{
    for (size_t k = 0; k < o->n_char_filters; k++)
        w->conv[k].bias = value(loader, "CNN/b_cnn_%zu", k);
    for (size_t k = 0; k < o->n_highway; k++) {
        w->highway[k].b_carry = value(loader, "CNN_high_%zu/b_carry", k);
        w->highway[k].b_transform = value(loader, "CNN_high_%zu/b_transform", k);
    }
    w->b_proj = value(loader, "CNN_proj/b_proj");
    if (!value(loader, "CNN_proj/W_proj") != !w->b_proj)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor 'CNN_proj/%s' is missing: W_proj and b_proj go together",
                         w->b_proj ? "W_proj" : "b_proj");
    w->lexicon = value(loader, LEXICON_VECTORS);
    if (w->head.present)
        head_fields(&w->head, loader);
    return 0;
}

/* Sizes of the head from its own kernels; they must still fit the specs made from them. */
static int head_sizes(struct head_shape *shape, const struct safetensors *file,
                      struct elmo_error *err)
{
    const struct st_tensor *first = safetensors_find(file, HEAD_DENSE_1_KERNEL);
    const struct st_tensor *second = safetensors_find(file, HEAD_DENSE_2_KERNEL);
    if (!first || !second || first->n_dims != 2 || second->n_dims != 2 || !first->n_bytes ||
        !second->n_bytes)
        return elmo_fail(
            err, ELMO_E_FORMAT,
            "sentiment head: '%s' and '%s' must both be there, each with two dimensions",
            HEAD_DENSE_1_KERNEL, HEAD_DENSE_2_KERNEL);
    shape->input_dim = first->dims[0];
    shape->hidden_dim = first->dims[1];
    shape->output_dim = second->dims[1];
    if (shape->hidden_dim > HEAD_MAX_DIM || shape->output_dim > HEAD_MAX_DIM)
        return elmo_fail(
            err, ELMO_E_FORMAT,
            "sentiment head: expected at most %u hidden and outputs, found %zu and %zu",
            HEAD_MAX_DIM, shape->hidden_dim, shape->output_dim);
    return 0;
}

/* What the head pools: its input is that, or twice that for mean_max. */
static int head_input(struct head_shape *shape, const struct options *o,
                      const struct safetensors *file, struct elmo_error *err)
{
    const char *found = safetensors_metadata(file, META_HEAD_INPUT);
    shape->all_layers = found && !strcmp(found, "layers");
    if (found && strcmp(found, "layers") && strcmp(found, "mix"))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_HEAD_INPUT
                         "': expected \"mix\" or \"layers\", found \"%.32s\"",
                         found);
    size_t dim = head_pooled_dim(o, shape->all_layers);
    if (shape->input_dim != dim && shape->input_dim != 2 * dim)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '%s': expected %zu (or %zu for mean_max) rows, "
                         "found %zu",
                         HEAD_DENSE_1_KERNEL, dim, 2 * dim, shape->input_dim);
    return 0;
}

static int head_ngrams(struct head_weights *head, const struct safetensors *file,
                       struct elmo_error *err)
{
    const struct st_tensor *table = safetensors_find(file, HEAD_NGRAMS);
    const char *order = safetensors_metadata(file, META_NGRAM_ORDER);
    if (!table)
        return 0;
    if (table->n_dims != 2 || !table->n_bytes || table->dims[0] > HEAD_MAX_NGRAM_ROWS)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '%s': expected two dimensions and 1 to %u rows", HEAD_NGRAMS,
                         HEAD_MAX_NGRAM_ROWS);
    if (!order || order[0] < '1' || order[0] > '0' + NGRAMS_MAX_ORDER || order[1])
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_NGRAM_ORDER
                         "': expected \"1\" to \"%d\", found %s%.32s",
                         NGRAMS_MAX_ORDER, order ? "" : "nothing", order ? order : "");
    head->shape.n_ngram_rows = table->dims[0];
    head->ngram_order = (size_t)(order[0] - '0');
    return 0;
}

static int find_head(struct head_weights *head, const struct options *o,
                     const struct safetensors *file, struct elmo_error *err)
{
    head->present =
        safetensors_find(file, HEAD_DENSE_1_KERNEL) || safetensors_find(file, HEAD_DENSE_2_KERNEL);
    if (!head->present)
        return 0;
    int r = head_sizes(&head->shape, file, err);
    if (!r)
        r = head_input(&head->shape, o, file, err);
    return r ? r : head_ngrams(head, file, err);
}

static int find_lexicon(size_t *ret_n_words, const struct safetensors *file, struct elmo_error *err)
{
    const struct st_tensor *t = safetensors_find(file, LEXICON_VECTORS);
    *ret_n_words = t && t->n_dims == 2 ? t->dims[0] : 0;
    if (t && (!*ret_n_words || !t->n_bytes))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '%s': expected two dimensions and at least one row",
                         LEXICON_VECTORS);
    return 0;
}

int weights_init(struct weights *ret_weights, const struct options *o,
                 const struct safetensors *file, const struct compute *how, struct elmo_error *err)
{
    struct weights *w = ret_weights;
    *w = (struct weights){0};
    AUTO(loader_done) struct loader loader = {.file = file};
    int r = find_head(&w->head, o, file, err);
    if (r)
        return r;
    r = find_lexicon(&w->n_lexicon, file, err);
    if (!r)
        r = tensor_specs_init(&loader.specs, o, w->head.present ? &w->head.shape : NULL, err);
    if (!r && w->n_lexicon)
        r = tensor_specs_add_lexicon(&loader.specs, w->n_lexicon, o, err);
    if (r)
        return r;
    loader.values = calloc(loader.specs.n_items, sizeof *loader.values);
    w->highway = calloc(o->n_highway + 1, sizeof *w->highway);
    w->lstm[0] = calloc(o->n_layers, sizeof *w->lstm[0]);
    w->lstm[1] = calloc(o->n_layers, sizeof *w->lstm[1]);
    if (!loader.values || !w->highway || !w->lstm[0] || !w->lstm[1])
        return elmo_fail_nomem(err);
    if ((r = check_all(&loader, err)) || (r = widen_all(w, &loader, err)))
        return r;
    r = set_fields(w, &loader, o, err);
    return r ? r : pack_matrices(w, &loader, o, how, err);
}

void weights_done(struct weights *weights)
{
    free(weights->highway);
    free(weights->lstm[0]);
    free(weights->lstm[1]);
    free(weights->widened);
    free(weights->packed);
    *weights = (struct weights){0};
}

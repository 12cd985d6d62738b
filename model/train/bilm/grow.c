#include "grow.h"

#include <string.h>

#include "error.h"

#ifdef TRAIN_DOUBLE
#error "files hold float32 at best: this file is not part of the double build"
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "floats are written as they lie in memory");

#define N_GATES        4
#define AVERAGE_PREFIX "average/"

int growth_init(struct growth *ret_growth, const struct options *from, size_t n_cells,
                uint64_t seed, struct elmo_error *err)
{
    struct growth g = {.n_cells = from->cell_dim, .seed = seed};
    struct options to = *from;
    if (n_cells <= from->cell_dim)
        return elmo_fail(err, ELMO_E_INVALID,
                         "cannot grow to %zu cells: the model has %zu, and --cells must be more",
                         n_cells, from->cell_dim);
    to.cell_dim = n_cells;
    int r = tensor_specs_init(&g.from, from, NULL, err);
    if (!r)
        r = net_init(&g.to, &to, 1, err); /* its softmax is not used */
    if (r)
        growth_done(&g);
    else
        *ret_growth = g;
    return r;
}

void growth_done(struct growth *g)
{
    tensor_specs_done(&g->from);
    net_done(&g->to);
    *g = (struct growth){0};
}

/* ---- Which tensors ---- */

static bool same_shape(const struct tensor_spec *a, const struct tensor_spec *b)
{
    return !memcmp(a->dims, b->dims, sizeof a->dims);
}

static bool grows(const struct growth *g, size_t index)
{
    return !same_shape(&g->from.items[index], &g->to.specs.items[index]);
}

int growth_check(const struct growth *g, const struct safetensors *file, struct elmo_error *err)
{
    for (size_t k = 0; k < g->from.n_items; k++) {
        const struct tensor_spec *spec = &g->from.items[k];
        if (!grows(g, k) || safetensors_find(file, spec->name))
            continue;
        if (spec->optional)
            return elmo_fail(err, ELMO_E_INVALID,
                             "cannot grow: the model's LSTMs have no projection (tensor '%s')",
                             spec->name);
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s' is missing", spec->name);
    }
    return 0;
}

/* Whether `name` is that of the spec, alone or after a prefix that ends in a slash; then
 * *ret_n_prefix are the prefix's bytes. */
static bool is_named(const char *name, const struct tensor_spec *spec, size_t *ret_n_prefix)
{
    size_t n_name = strlen(name), n_spec = strlen(spec->name);
    if (n_name < n_spec || strcmp(name + n_name - n_spec, spec->name))
        return false;
    *ret_n_prefix = n_name - n_spec;
    return n_name == n_spec || name[n_name - n_spec - 1] == '/';
}

/* The index of the tensor that grows, itself or as a copy; false: this one does not. */
static bool find(size_t *ret_index, size_t *ret_n_prefix, const struct growth *g, const char *name)
{
    for (size_t k = 0; k < g->from.n_items; k++)
        if (grows(g, k) && is_named(name, &g->from.items[k], ret_n_prefix)) {
            *ret_index = k;
            return true;
        }
    return false;
}

/* ---- New elements ---- */

/* A tensor's elements lie in blocks, and each gets new ones at its end. */
struct blocks {
    size_t n, before, after; /* blocks; elements of one */
    bool is_random;          /* the new ones of weights; else zero */
};

static struct blocks blocks_of(const struct tensor_spec *from, const struct tensor_spec *to)
{
    if (from->n_dims == 1) /* B */
        return (struct blocks){N_GATES, from->dims[0] / N_GATES, to->dims[0] / N_GATES, false};
    if (from->dims[0] == to->dims[0]) /* W_0 */
        return (struct blocks){from->dims[0] * N_GATES, from->dims[1] / N_GATES,
                               to->dims[1] / N_GATES, true};
    /* W_P_0 */
    return (struct blocks){1, from->dims[0] * from->dims[1], to->dims[0] * to->dims[1], false};
}

static bool holds_weights(const char *name, size_t n_prefix)
{
    return n_prefix == 0 || (n_prefix == strlen(AVERAGE_PREFIX) &&
                             !strncmp(name, AVERAGE_PREFIX, strlen(AVERAGE_PREFIX)));
}

static void store(unsigned char *to, const float *values, size_t n, enum st_dtype dtype)
{
    for (size_t k = 0; k < n && dtype != ST_F32; k++) {
        uint16_t half = dtype == ST_BF16 ? st_bf16_from_f32(values[k]) : st_f16_from_f32(values[k]);
        memcpy(to + k * sizeof half, &half, sizeof half);
    }
    if (dtype == ST_F32)
        memcpy(to, values, n * sizeof *values);
}

/* Random values in the place of all elements. */
static int randomize(unsigned char *to, const struct growth *g, size_t index, enum st_dtype dtype,
                     struct elmo_error *err)
{
    size_t n = g->to.offsets[index + 1] - g->to.offsets[index];
    AUTO(mem_free) real *values = calloc(n, sizeof *values);
    if (!values)
        return elmo_fail_nomem(err);
    net_randomize_tensor(&g->to, index, values, g->seed);
    store(to, values, n, dtype);
    return 0;
}

/* ---- A tensor ---- */

static int check_tensor(const struct st_tensor *t, const struct tensor_spec *spec,
                        struct elmo_error *err)
{
    char expected[96], found[128];
    if (t->dtype == ST_OTHER)
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s': expected F32, BF16 or F16, found %s",
                         t->name, t->dtype_name);
    if (t->n_dims != spec->n_dims || memcmp(t->dims, spec->dims, t->n_dims * sizeof *t->dims))
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%.96s': expected shape %s, found %s", t->name,
                         st_shape_text(spec->dims, spec->n_dims, expected, sizeof expected),
                         st_shape_text(t->dims, t->n_dims, found, sizeof found));
    return 0;
}

static int grow_bytes(unsigned char **ret_data, const struct growth *g, size_t index,
                      const struct st_tensor *t, bool is_weights, struct elmo_error *err)
{
    const struct blocks blocks = blocks_of(&g->from.items[index], &g->to.specs.items[index]);
    size_t element_bytes = st_dtype_bytes(t->dtype);
    size_t before = blocks.before * element_bytes, after = blocks.after * element_bytes;
    AUTO(mem_free) unsigned char *data = calloc(blocks.n, after);
    if (!data)
        return elmo_fail_nomem(err);
    int r = is_weights && blocks.is_random ? randomize(data, g, index, t->dtype, err) : 0;
    if (r)
        return r;
    for (size_t k = 0; k < blocks.n; k++)
        memcpy(data + k * after, t->data + k * before, before);
    *ret_data = STEAL(data);
    return 0;
}

int growth_tensor(struct st_tensor *ret_tensor, unsigned char **ret_data, const struct growth *g,
                  const struct st_tensor *t, struct elmo_error *err)
{
    struct st_tensor grown = *t;
    unsigned char *data = NULL;
    size_t index, n_prefix;
    if (find(&index, &n_prefix, g, t->name)) {
        const struct tensor_spec *to = &g->to.specs.items[index];
        int r = check_tensor(t, &g->from.items[index], err);
        if (!r)
            r = grow_bytes(&data, g, index, t, holds_weights(t->name, n_prefix), err);
        if (r)
            return r;
        memcpy(grown.dims, to->dims, to->n_dims * sizeof *to->dims);
        grown.n_bytes =
            (g->to.offsets[index + 1] - g->to.offsets[index]) * st_dtype_bytes(t->dtype);
        grown.data = data;
    }
    *ret_tensor = grown;
    *ret_data = data;
    return 0;
}

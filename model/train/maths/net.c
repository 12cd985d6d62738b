#include "net.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "file/model_file.h"
#include "util/rng.h"

/* Appends the map to word vectors, if there is one, and the softmax to the biLM's tensors. */
static int add_tensors(struct net *net, struct elmo_error *err)
{
    struct tensor_specs *specs = &net->specs;
    size_t V = net->n_vocab, P = net->options.proj_dim, D = net->word_vectors_dim;
    struct tensor_spec *items = realloc(specs->items, (specs->n_items + 3) * sizeof *specs->items);
    if (!items)
        return elmo_fail_nomem(err);
    specs->items = items;
    net->n_bilm_tensors = specs->n_items;
    if (D)
        items[specs->n_items++] =
            (struct tensor_spec){.name = NET_WORD_VECTORS_W, .n_dims = 2, .dims = {P, D}};
    items[specs->n_items++] = (struct tensor_spec){.name = SOFTMAX_W, .n_dims = 2, .dims = {V, P}};
    items[specs->n_items++] = (struct tensor_spec){.name = SOFTMAX_B, .n_dims = 1, .dims = {V}};
    return 0;
}

static size_t n_elements(const struct tensor_spec *spec)
{
    size_t n = 1;
    for (size_t k = 0; k < spec->n_dims; k++)
        n *= spec->dims[k];
    return n;
}

int net_init(struct net *ret_net, const struct options *options, size_t n_vocab,
             struct elmo_error *err)
{
    return net_init_with_word_vectors(ret_net, options, n_vocab, 0, err);
}

int net_init_with_word_vectors(struct net *ret_net, const struct options *options, size_t n_vocab,
                               size_t word_vectors_dim, struct elmo_error *err)
{
    struct net net = {
        .options = *options, .n_vocab = n_vocab, .word_vectors_dim = word_vectors_dim};
    int r = tensor_specs_init(&net.specs, options, NULL, err);
    if (!r)
        r = add_tensors(&net, err);
    if (!r && !(net.offsets = calloc(net.specs.n_items + 1, sizeof *net.offsets)))
        r = elmo_fail_nomem(err);
    if (r) {
        net_done(&net);
        return r;
    }
    for (size_t k = 0; k < net.specs.n_items; k++)
        net.offsets[k + 1] = net.offsets[k] + n_elements(&net.specs.items[k]);
    net.n_dense = net.offsets[net.specs.n_items - 2];
    *ret_net = net;
    return 0;
}

void net_done(struct net *net)
{
    tensor_specs_done(&net->specs);
    free(net->offsets);
    *net = (struct net){0};
}

static real *find(const struct net *net, real *flat, const char *name)
{
    for (size_t k = 0; k < net->specs.n_items; k++)
        if (!strcmp(net->specs.items[k].name, name))
            return flat + net->offsets[k];
    return NULL;
}

static real *find_in(const struct net *net, real *flat, const char *group, size_t index,
                     const char *name)
{
    char full[2 * TENSOR_NAME_MAX];
    snprintf(full, sizeof full, "%s%zu%s", group, index, name);
    return find(net, flat, full);
}

void net_tensors(struct net_tensors *ret, const struct net *net, real *flat)
{
    const struct options *o = &net->options;
    *ret = (struct net_tensors){
        .char_embed = find(net, flat, "char_embed"),
        .w_proj = find(net, flat, "CNN_proj/W_proj"),
        .b_proj = find(net, flat, "CNN_proj/b_proj"),
        .word_vectors_w = find(net, flat, NET_WORD_VECTORS_W),
        .softmax_w = find(net, flat, SOFTMAX_W),
        .softmax_b = find(net, flat, SOFTMAX_B),
    };
    for (size_t k = 0; k < o->n_char_filters; k++) {
        ret->conv[k].kernel = find_in(net, flat, "CNN/W_cnn_", k, "");
        ret->conv[k].bias = find_in(net, flat, "CNN/b_cnn_", k, "");
    }
    for (size_t k = 0; k < o->n_highway; k++) {
        ret->highway[k].w_carry = find_in(net, flat, "CNN_high_", k, "/W_carry");
        ret->highway[k].b_carry = find_in(net, flat, "CNN_high_", k, "/b_carry");
        ret->highway[k].w_transform = find_in(net, flat, "CNN_high_", k, "/W_transform");
        ret->highway[k].b_transform = find_in(net, flat, "CNN_high_", k, "/b_transform");
    }
    for (unsigned d = 0; d < 2; d++)
        for (size_t l = 0; l < o->n_layers; l++) {
            char group[64];
            snprintf(group, sizeof group, "RNN_%u/RNN/MultiRNNCell/Cell", d);
            ret->lstm[d][l].w = find_in(net, flat, group, l, "/LSTMCell/W_0");
            ret->lstm[d][l].b = find_in(net, flat, group, l, "/LSTMCell/B");
            ret->lstm[d][l].w_proj = find_in(net, flat, group, l, "/LSTMCell/W_P_0");
        }
}

/* ---- Initial weights ---- */

/* Gaussian by Box and Muller's transform. */
static double gaussian(struct rng *rng)
{
    double u = 1 - rng_uniform(rng), v = rng_uniform(rng);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

enum init { INIT_CONSTANT, INIT_UNIFORM, INIT_GAUSSIAN };

/* bilm-tf's initialisers: how, and how wide, by the tensor's name. */
static enum init initialiser(const struct tensor_spec *spec, double *ret_width)
{
    size_t fan_in = spec->dims[0], fan_out = spec->n_dims > 1 ? spec->dims[1] : 1;
    const char *name = spec->name;
    *ret_width = 0;
    if (!strcmp(name, "char_embed")) {
        *ret_width = 1;
        return INIT_UNIFORM;
    }
    if (!strncmp(name, "CNN/W", 5)) { /* He et al. 2015, for width * D inputs */
        *ret_width = sqrt(1 / (double)(spec->dims[1] * spec->dims[2]));
        return INIT_GAUSSIAN;
    }
    if (!strncmp(name, "RNN_", 4) && spec->n_dims == 2) { /* Glorot and Bengio 2010 */
        *ret_width = sqrt(6 / (double)(fan_in + fan_out));
        return INIT_UNIFORM;
    }
    if (!strcmp(name, SOFTMAX_W)) {
        *ret_width = sqrt(1 / (double)fan_out);
        return INIT_GAUSSIAN;
    }
    if (!strcmp(name, NET_WORD_VECTORS_W)) /* 0 */
        return INIT_CONSTANT;
    if (spec->n_dims == 2) { /* highways and projection */
        *ret_width = sqrt(1 / (double)fan_in);
        return INIT_GAUSSIAN;
    }
    /* Highways start closed: the input is carried, not transformed (model/inference/README.md,
     * section 4). */
    *ret_width = strstr(name, "b_carry") ? -2 : 0;
    return INIT_CONSTANT;
}

void net_randomize_tensor(const struct net *net, size_t index, real *values, uint64_t seed)
{
    struct rng rng = {seed + index};
    size_t n = net->offsets[index + 1] - net->offsets[index];
    double width;
    enum init how = initialiser(&net->specs.items[index], &width);
    for (size_t i = 0; i < n; i++)
        values[i] = (real)(how == INIT_GAUSSIAN  ? width * gaussian(&rng)
                           : how == INIT_UNIFORM ? width * (2 * rng_uniform(&rng) - 1)
                                                 : width);
}

void net_randomize(const struct net *net, real *flat, uint64_t seed)
{
    for (size_t k = 0; k < net->specs.n_items; k++)
        net_randomize_tensor(net, k, flat + net->offsets[k], seed);
}

#include "random_model.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "file/model_file.h"

static size_t between(struct rng *rng, size_t least, size_t most)
{
    return least + rng_below(rng, most - least + 1);
}

/* ---- Architecture ---- */

/* One draw a statement: the order within an initializer is the compiler's. */
static struct options random_options(struct rng *rng)
{
    static const float cell_clips[] = {0.0f, 0.125f, 0.25f, 0.5f};
    static const float proj_clips[] = {0.0f, 0.0625f, 0.125f, 0.25f};
    struct options o = {0};
    o.char_dim = between(rng, 1, 6);
    o.max_chars = rng_chance(rng, 30) ? 50 : between(rng, 3, 16);
    o.n_char_filters = between(rng, 1, 4);
    for (size_t k = 0; k < o.n_char_filters; k++) {
        o.char_filters[k].width = between(rng, 1, o.max_chars < 7 ? o.max_chars : 7);
        o.char_filters[k].n_filters = between(rng, 1, 8);
        o.filter_dim += o.char_filters[k].n_filters;
    }
    o.n_highway = rng_below(rng, 4);
    o.activation = rng_chance(rng, 50) ? ACT_RELU : ACT_TANH;
    o.n_layers = between(rng, 1, 3);
    o.proj_dim = rng_chance(rng, 30) ? o.filter_dim : between(rng, 1, 12);
    o.cell_dim = rng_chance(rng, 30) ? o.proj_dim : between(rng, 1, 20);
    o.cell_clip = cell_clips[rng_below(rng, ARRAY_LEN(cell_clips))];
    o.proj_clip = proj_clips[rng_below(rng, ARRAY_LEN(proj_clips))];
    o.skip_connections = rng_chance(rng, 50);
    return o;
}

/* Absent values are spelled in one of the ways in use: 0, null or no key at all. */
static void optional_number(char *text, size_t text_bytes, const char *key, double value,
                            struct rng *rng)
{
    size_t way = rng_below(rng, 3);
    if (value != 0.0 || way == 0)
        snprintf(text, text_bytes, "\"%s\": %.9g, ", key, value);
    else if (way == 1)
        text[0] = '\0';
    else
        snprintf(text, text_bytes, "\"%s\": null, ", key);
}

static void write_options_json(struct random_model *model, struct rng *rng)
{
    const struct options *o = &model->options;
    char filters[2048] = "", cell_clip[64], proj_clip[64], n_highway[64];
    size_t used = 0;
    for (size_t k = 0; k < o->n_char_filters; k++)
        used +=
            (size_t)snprintf(filters + used, sizeof filters - used, "%s[%zu, %zu]", k ? ", " : "",
                             o->char_filters[k].width, o->char_filters[k].n_filters);
    optional_number(cell_clip, sizeof cell_clip, "cell_clip", (double)o->cell_clip, rng);
    optional_number(proj_clip, sizeof proj_clip, "proj_clip", (double)o->proj_clip, rng);
    optional_number(n_highway, sizeof n_highway, "n_highway", (double)o->n_highway, rng);
    snprintf(model->options_json, sizeof model->options_json,
             "{\"lstm\": {%s%s\"dim\": %zu, \"projection_dim\": %zu, \"n_layers\": %zu, "
             "\"use_skip_connections\": %s}, \"char_cnn\": {%s\"activation\": \"%s\", "
             "\"embedding\": {\"dim\": %zu}, \"filters\": [%s], \"n_characters\": 262, "
             "\"max_characters_per_token\": %zu}%s}",
             cell_clip, proj_clip, o->cell_dim, o->proj_dim, o->n_layers,
             o->skip_connections ? "true" : "false", n_highway,
             o->activation == ACT_RELU ? "relu" : "tanh", o->char_dim, filters, o->max_chars,
             rng_chance(rng, 50) ? ", \"dropout\": 0.1, \"n_epochs\": 10" : "");
}

/* ---- Weights ---- */

/* Uniform, with the variance that gives a sum over its inputs a standard deviation of `gain`. */
static float weight_limit(const struct tensor_spec *spec)
{
    bool in_lstm = !strncmp(spec->name, "RNN_", 4);
    if (spec->n_dims == 1)
        return in_lstm ? 1.0f : 0.5f;
    if (!strcmp(spec->name, "char_embed"))
        return 1.0f;
    double gain = in_lstm ? 1.5 : 1.0, n_inputs = 1.0;
    for (size_t k = 0; k + 1 < spec->n_dims; k++)
        n_inputs *= (double)spec->dims[k];
    return (float)(gain * sqrt(3.0 / n_inputs));
}

static void add_random_tensor(struct tensor_set *weights, const struct tensor_spec *spec,
                              struct rng *rng)
{
    float *values = tensor_set_add(weights, spec->name, spec->dims, spec->n_dims);
    size_t n_values = weights->items[weights->n_items - 1].n_values;
    float limit = weight_limit(spec);
    for (size_t k = 0; k < n_values; k++)
        values[k] = rng_symmetric(rng, limit);
}

void random_model_init_with(struct random_model *ret_model, struct rng *rng,
                            const struct options *options, const struct head_shape *head,
                            enum elmo_pooling pooling, bool optional_tensors)
{
    struct random_model m = {
        .options = *options,
        .tokenizer = rng_chance(rng, 50) ? "unicode" : "whitespace",
        .has_head = head,
        .head = head ? *head : (struct head_shape){0},
        .pooling = pooling,
        .ngram_order = head && head->n_ngram_rows ? between(rng, 1, 4) : 0,
    };
    write_options_json(&m, rng);
    struct tensor_specs specs;
    if (tensor_specs_init(&specs, options, head, NULL))
        abort(); /* out of memory */
    for (size_t k = 0; k < specs.n_items; k++)
        if (optional_tensors || !specs.items[k].optional)
            add_random_tensor(&m.weights, &specs.items[k], rng);
    tensor_specs_done(&specs);
    *ret_model = m;
}

void random_model_init(struct random_model *ret_model, struct rng *rng)
{
    struct options o = random_options(rng);
    enum elmo_pooling pooling = (enum elmo_pooling)rng_below(rng, 3);
    struct head_shape head = {.all_layers = rng_chance(rng, 40)};
    head.input_dim = head_pooled_dim(&o, head.all_layers) * (pooling == ELMO_POOL_MEAN_MAX ? 2 : 1);
    head.n_ngram_rows = rng_chance(rng, 40) ? between(rng, 1, 50) : 0;
    head.hidden_dim = between(rng, 1, 8);
    head.output_dim = between(rng, 1, 4);
    bool has_head = rng_chance(rng, 70), optional_tensors = rng_chance(rng, 50);
    random_model_init_with(ret_model, rng, &o, has_head ? &head : NULL, pooling, optional_tensors);
}

void random_model_done(struct random_model *model)
{
    tensor_set_done(&model->weights);
}

/* ---- File ---- */

int random_model_write(const struct random_model *model, const char *path, struct elmo_error *err)
{
    static const char *const poolings[] = {"mean", "max", "mean_max"};
    char labels[256] = "", order[2] = {(char)('0' + model->ngram_order)};
    size_t n_labels = model->head.output_dim == 1 ? 2 : model->head.output_dim, used = 0;
    assert(n_labels < sizeof labels / sizeof "\"label_00\", ");
    for (size_t k = 0; k < n_labels; k++)
        used += (size_t)snprintf(labels + used, sizeof labels - used, "%s\"label_%zu\"%s",
                                 k ? ", " : "[", k, k + 1 == n_labels ? "]" : "");
    const struct st_metadata metadata[] = {
        {META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
        {META_NAME, "random"},
        {META_OPTIONS, model->options_json},
        {META_TOKENIZER, model->tokenizer},
        {META_LABELS, labels},
        {META_POOLING, poolings[model->pooling]},
        {META_HEAD_INPUT, model->head.all_layers ? "layers" : "mix"},
        {META_NGRAM_ORDER, order},
    };
    size_t n_metadata = ARRAY_LEN(metadata) - (!model->has_head ? 4 : !model->ngram_order);
    return tensor_set_write(&model->weights, path, metadata, n_metadata, err);
}

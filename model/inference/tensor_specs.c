#include "tensor_specs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "file/model_file.h"

/* Appends one spec; `dims` ends at the first 0. The name is printf-like. */
__attribute__((format(printf, 4, 5))) static void add(struct tensor_specs *specs, bool optional,
                                                      const size_t dims[TENSOR_MAX_DIMS],
                                                      const char *format, ...)
{
    struct tensor_spec *spec = &specs->items[specs->n_items++];
    va_list args;
    va_start(args, format);
    vsnprintf(spec->name, sizeof spec->name, format, args);
    va_end(args);
    spec->optional = optional;
    while (spec->n_dims < TENSOR_MAX_DIMS && dims[spec->n_dims]) {
        spec->dims[spec->n_dims] = dims[spec->n_dims];
        spec->n_dims++;
    }
}

#define DIMS(...) ((const size_t[TENSOR_MAX_DIMS]){__VA_ARGS__})

static void add_token_encoder(struct tensor_specs *specs, const struct options *o)
{
    size_t F = o->filter_dim, P = o->proj_dim;
    add(specs, false, DIMS(CHAR_COUNT, o->char_dim), "char_embed");
    for (size_t k = 0; k < o->n_char_filters; k++) {
        const struct char_filter *f = &o->char_filters[k];
        add(specs, false, DIMS(1, f->width, o->char_dim, f->n_filters), "CNN/W_cnn_%zu", k);
        add(specs, false, DIMS(f->n_filters), "CNN/b_cnn_%zu", k);
    }
    for (size_t k = 0; k < o->n_highway; k++) {
        add(specs, false, DIMS(F, F), "CNN_high_%zu/W_carry", k);
        add(specs, false, DIMS(F), "CNN_high_%zu/b_carry", k);
        add(specs, false, DIMS(F, F), "CNN_high_%zu/W_transform", k);
        add(specs, false, DIMS(F), "CNN_high_%zu/b_transform", k);
    }
    add(specs, F == P, DIMS(F, P), "CNN_proj/W_proj");
    add(specs, F == P, DIMS(P), "CNN_proj/b_proj");
}

static void add_lstm(struct tensor_specs *specs, const struct options *o, unsigned direction,
                     size_t layer)
{
    size_t C = o->cell_dim, P = o->proj_dim;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "RNN_%u/RNN/MultiRNNCell/Cell%zu/LSTMCell", direction, layer);
    add(specs, false, DIMS(2 * P, 4 * C), "%s/W_0", prefix);
    add(specs, false, DIMS(4 * C), "%s/B", prefix);
    add(specs, C == P, DIMS(C, P), "%s/W_P_0", prefix);
}

static void add_head(struct tensor_specs *specs, const struct options *o,
                     const struct head_shape *head)
{
    if (!head->all_layers) {
        add(specs, false, DIMS(1 + o->n_layers), HEAD_MIX_WEIGHTS);
        add(specs, false, DIMS(1), HEAD_MIX_GAMMA);
    }
    add(specs, false, DIMS(head->input_dim, head->hidden_dim), HEAD_DENSE_1_KERNEL);
    add(specs, false, DIMS(head->hidden_dim), HEAD_DENSE_1_BIAS);
    add(specs, false, DIMS(head->hidden_dim, head->output_dim), HEAD_DENSE_2_KERNEL);
    add(specs, false, DIMS(head->output_dim), HEAD_DENSE_2_BIAS);
    if (head->n_ngram_rows)
        add(specs, false, DIMS(head->n_ngram_rows, head->output_dim), HEAD_NGRAMS);
}

int tensor_specs_init(struct tensor_specs *ret_specs, const struct options *options,
                      const struct head_shape *head, struct elmo_error *err)
{
    size_t most = 1 + 2 * options->n_char_filters + 4 * options->n_highway + 2 +
                  2 * options->n_layers * 3 + 7;
    struct tensor_specs specs = {calloc(most, sizeof *specs.items), 0};
    if (!specs.items)
        return elmo_fail_nomem(err);
    add_token_encoder(&specs, options);
    for (unsigned direction = 0; direction < 2; direction++)
        for (size_t layer = 0; layer < options->n_layers; layer++)
            add_lstm(&specs, options, direction, layer);
    if (head)
        add_head(&specs, options, head);
    *ret_specs = specs;
    return 0;
}

int tensor_specs_add_lexicon(struct tensor_specs *specs, size_t n_words,
                             const struct options *options, struct elmo_error *err)
{
    struct tensor_spec *items = realloc(specs->items, (specs->n_items + 1) * sizeof *items);
    if (!items)
        return elmo_fail_nomem(err);
    specs->items = items;
    items[specs->n_items++] = (struct tensor_spec){
        .name = LEXICON_VECTORS, .n_dims = 2, .dims = {n_words, options->proj_dim}};
    return 0;
}

size_t head_pooled_dim(const struct options *options, bool all_layers)
{
    return (all_layers ? 1 + 2 * options->n_layers : 2) * options->proj_dim;
}

void tensor_specs_done(struct tensor_specs *specs)
{
    free(specs->items);
    *specs = (struct tensor_specs){0};
}

bool tensor_spec_is_rounded(const struct tensor_spec *spec)
{
    return spec->n_dims > 1 && strcmp(spec->name, "char_embed");
}

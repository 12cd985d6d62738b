#include "checkpoint.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "mapped_file.h"
#include "model_file.h"
#include "safetensors.h"

#ifdef TRAIN_DOUBLE
#error "checkpoints hold float32: this file is not part of the double build"
#endif

/* The flat arrays of a checkpoint and what their tensors' names begin with. */
struct part {
    const char *prefix;
    real *flat;
};

#define MAX_PARTS 4
#define AVERAGE   "average/"

static size_t parts_of(const struct checkpoint *c, struct part parts[static MAX_PARTS])
{
    size_t n = 0;
    parts[n++] = (struct part){"", c->values};
    if (c->optimizer) {
        parts[n++] = (struct part){"adam/first/", c->optimizer->first};
        parts[n++] = (struct part){"adam/second/", c->optimizer->second};
    }
    if (c->average)
        parts[n++] = (struct part){AVERAGE, c->average->values};
    return n;
}

/* Those that the file has: its average is not there where none was kept, and it is the weights of
 * who wants nothing else. */
static size_t parts_in(const struct checkpoint *c, const struct safetensors *file,
                       struct part parts[static MAX_PARTS])
{
    char name[2 * TENSOR_NAME_MAX];
    snprintf(name, sizeof name, AVERAGE "%s", c->net->specs.items[0].name);
    bool has_average = safetensors_find(file, name);
    size_t n = parts_of(c, parts);
    if (!c->optimizer && has_average)
        parts[0].prefix = AVERAGE;
    return c->average && !has_average ? n - 1 : n;
}

/* ---- Writing ---- */

int checkpoint_write(const char *path, const struct checkpoint *c, struct elmo_error *err)
{
    struct part parts[MAX_PARTS];
    const struct tensor_specs *specs = &c->net->specs;
    size_t n_parts = parts_of(c, parts), n = 0;
    AUTO(mem_free) struct st_tensor *tensors = calloc(n_parts * specs->n_items, sizeof *tensors);
    AUTO(mem_free) char *names = calloc(n_parts * specs->n_items, TENSOR_NAME_MAX);
    struct train_state now = *c->state;
    now.optimizer_steps = c->optimizer ? c->optimizer->n_steps : 0;
    now.average_steps = c->average ? c->average->n_steps : 0;
    AUTO(mem_free) char *state = train_state_text(&now);
    if (!tensors || !names || !state)
        return elmo_fail_nomem(err);
    for (size_t p = 0; p < n_parts; p++)
        for (size_t k = 0; k < specs->n_items; k++, n++) {
            const struct tensor_spec *spec = &specs->items[k];
            char *name = names + n * TENSOR_NAME_MAX;
            snprintf(name, TENSOR_NAME_MAX, "%s%s", parts[p].prefix, spec->name);
            tensors[n] = (struct st_tensor){
                .name = name,
                .dtype = ST_F32,
                .n_dims = spec->n_dims,
                .data = (const unsigned char *)(parts[p].flat + c->net->offsets[k]),
                .n_bytes = (c->net->offsets[k + 1] - c->net->offsets[k]) * sizeof(real),
            };
            memcpy(tensors[n].dims, spec->dims, spec->n_dims * sizeof *spec->dims);
        }
    const struct st_metadata metadata[] = {
        {META_OPTIONS, c->options_json},
        {META_TOKENIZER, c->tokenizer},
        {META_VOCABULARY, c->vocabulary},
        {META_STATE, state},
    };
    return safetensors_write(path, tensors, n, metadata, ARRAY_LEN(metadata), err);
}

/* ---- Reading ---- */

static int read_tensor(const struct safetensors *file, const struct part *part,
                       const struct net *net, size_t index, struct elmo_error *err)
{
    char name[2 * TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s%s", part->prefix, net->specs.items[index].name);
    const struct st_tensor *t = safetensors_find(file, name);
    size_t n = net->offsets[index + 1] - net->offsets[index];
    if (!t || t->dtype != ST_F32 || t->n_bytes != n * sizeof(real))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "checkpoint: tensor '%s' is missing or not of %zu float32 values", name,
                         n);
    st_to_f32(part->flat + net->offsets[index], t->data, ST_F32, n);
    return 0;
}

static bool same_architecture(const char *left, const char *right)
{
    struct options a, b;
    return !options_parse(&a, left, NULL) && !options_parse(&b, right, NULL) &&
           options_same(&a, &b);
}

/* The same sizes are not enough: words in another order, or another tokeniser, would go on with the
 * wrong rows, and say nothing. */
static int check_same(const struct checkpoint *c, const struct safetensors *file,
                      struct elmo_error *err)
{
    const char *options = safetensors_metadata(file, META_OPTIONS), *other = NULL;
    const char *tokenizer = safetensors_metadata(file, META_TOKENIZER);
    const char *vocabulary = safetensors_metadata(file, META_VOCABULARY);
    if (c->options_json && (!options || !same_architecture(options, c->options_json)))
        other = "architecture (--options)";
    else if (c->tokenizer && (!tokenizer || strcmp(tokenizer, c->tokenizer)))
        other = "tokeniser (--tokenizer)";
    else if (c->vocabulary && (!vocabulary || strcmp(vocabulary, c->vocabulary)))
        other = "vocabulary (--vocab)";
    if (other)
        return elmo_fail(err, ELMO_E_INVALID, "cannot resume: the checkpoint has another %s",
                         other);
    return 0;
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
        for (size_t k = 0; k < c->net->specs.n_items && !r; k++)
            r = read_tensor(file, &parts[p], c->net, k, err);
    if (!r)
        r = train_state_parse(c->state, safetensors_metadata(file, META_STATE), err);
    if (!r && c->optimizer)
        c->optimizer->n_steps = c->state->optimizer_steps;
    if (!r && c->average)
        c->average->n_steps = c->state->average_steps;
    return r;
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

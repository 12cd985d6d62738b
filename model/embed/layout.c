#include "layout.h"

#include <stdio.h>
#include <string.h>

#include "error.h"

/* ---- Names ---- */

static bool is(const char *name, size_t n_bytes, const char *word)
{
    return strlen(word) == n_bytes && !memcmp(name, word, n_bytes);
}

/* "lstm_outputs12": 12; 0: no such name. */
static size_t layer_of(const char *name, size_t n_bytes, size_t n_layers)
{
    for (size_t k = 1; k <= n_layers; k++) {
        char expected[24];
        snprintf(expected, sizeof expected, "lstm_outputs%zu", k);
        if (is(name, n_bytes, expected))
            return k;
    }
    return 0;
}

static bool find_output(struct layout_output *ret, const char *name, size_t n_bytes,
                        size_t n_layers)
{
    size_t layer = layer_of(name, n_bytes, n_layers);
    if (layer || is(name, n_bytes, "word_emb"))
        *ret = (struct layout_output){.kind = LAYOUT_LAYER, .layer = layer};
    else if (is(name, n_bytes, "elmo"))
        *ret = (struct layout_output){.kind = LAYOUT_MIX};
    else if (is(name, n_bytes, "default"))
        *ret = (struct layout_output){.kind = LAYOUT_POOLED};
    else
        return false;
    memcpy(ret->name, name, n_bytes); /* NUL-terminated: no name is as long as the array */
    return true;
}

static int add_named(struct layout *l, const char *name, size_t n_bytes, struct elmo_error *err)
{
    struct layout_output output;
    if (!find_output(&output, name, n_bytes, l->n_layers))
        return elmo_fail(
            err, ELMO_E_INVALID,
            "no output '%.*s': this model has word_emb, lstm_outputs1 to %zu, elmo and "
            "default",
            n_bytes < 40 ? (int)n_bytes : 40, name, l->n_layers);
    for (size_t k = 0; k < l->n_outputs; k++)
        if (!strcmp(l->outputs[k].name, output.name))
            return elmo_fail(err, ELMO_E_INVALID, "output '%s' is there twice", output.name);
    l->outputs[l->n_outputs++] = output;
    return 0;
}

int layout_init(struct layout *ret_layout, const char *what, const struct elmo_model_info *info,
                struct elmo_error *err)
{
    const struct layout_output allennlp[] = {
        {"all", LAYOUT_ALL, 0},
        {"top", LAYOUT_LAYER, info->n_layers},
        {"average", LAYOUT_MIX, 0},
    };
    struct layout l = {
        .n_layers = info->n_layers, .token_dim = info->token_dim, .layer_dim = info->layer_dim};
    for (size_t k = 0; k < ARRAY_LEN(allennlp); k++)
        if (!strcmp(what, allennlp[k].name))
            l.outputs[l.n_outputs++] = allennlp[k];
    l.named = !l.n_outputs;
    for (const char *name = what; l.named; name++) {
        size_t n_bytes = strcspn(name, ",");
        int r = add_named(&l, name, n_bytes, err);
        if (r)
            return r;
        name += n_bytes;
        if (!*name)
            break;
    }
    *ret_layout = l;
    return 0;
}

/* ---- Shapes ---- */

size_t layout_shape(const struct layout *l, size_t k, size_t n_tokens,
                    size_t ret_dims[static LAYOUT_MAX_DIMS])
{
    const struct layout_output *output = &l->outputs[k];
    size_t n = 0;
    if (output->kind == LAYOUT_ALL)
        ret_dims[n++] = 1 + l->n_layers;
    if (output->kind != LAYOUT_POOLED)
        ret_dims[n++] = n_tokens;
    ret_dims[n++] =
        output->kind == LAYOUT_LAYER && output->layer == 0 ? l->token_dim : l->layer_dim;
    return n;
}

size_t layout_output_floats(const struct layout *l, size_t k, size_t n_tokens)
{
    size_t dims[LAYOUT_MAX_DIMS], n_dims = layout_shape(l, k, n_tokens, dims), n = 1;
    for (size_t d = 0; d < n_dims; d++)
        n *= dims[d];
    return n;
}

size_t layout_sentence_floats(const struct layout *l, size_t n_tokens)
{
    size_t n = 0;
    for (size_t k = 0; k < l->n_outputs; k++)
        n += layout_output_floats(l, k, n_tokens);
    return n;
}

/* ---- Memory ---- */

void layout_attach(const struct layout *l, float *values, float **layers,
                   struct elmo_sentence *sentence)
{
    size_t n_tokens = sentence->n_tokens;
    memset(layers, 0, (1 + l->n_layers) * sizeof *layers);
    for (size_t k = 0; k < l->n_outputs; k++) {
        const struct layout_output *output = &l->outputs[k];
        if (output->kind == LAYOUT_LAYER)
            layers[output->layer] = values;
        else if (output->kind == LAYOUT_MIX)
            sentence->elmo = values;
        else if (output->kind == LAYOUT_POOLED)
            sentence->pooled = values;
        else { /* layer 0 comes into the second half of its place: see layout_finish */
            layers[0] = values + n_tokens * l->token_dim;
            for (size_t layer = 1; layer <= l->n_layers; layer++)
                layers[layer] = values + layer * n_tokens * l->layer_dim;
        }
        values += layout_output_floats(l, k, n_tokens);
    }
    sentence->layers = layers;
}

/* Rows [T, P] in the second half of [T, 2P] become rows that hold each twice. Row t ends at 2P(t+1)
 * and row t + 1 is read from (T + t + 1)P on: nothing is overwritten before it is read. */
static void double_rows(float *values, size_t n_tokens, size_t token_dim)
{
    const float *from = values + n_tokens * token_dim;
    for (size_t t = 0; t < n_tokens; t++) {
        float *to = values + 2 * t * token_dim;
        memmove(to, from + t * token_dim, token_dim * sizeof *to);
        memcpy(to + token_dim, to, token_dim * sizeof *to);
    }
}

void layout_finish(const struct layout *l, float *values, size_t n_tokens)
{
    if (l->outputs[0].kind == LAYOUT_ALL)
        double_rows(values, n_tokens, l->token_dim);
}

#include "outputs.h"

#include <math.h>
#include <stdlib.h>

#include "tensor_set.h"

static float *not_numbers(size_t n)
{
    float *values = must_calloc(n, sizeof *values);
    for (size_t k = 0; k < n; k++)
        values[k] = NAN;
    return values;
}

void outputs_attach(struct outputs *ret_outputs, struct elmo_sentence *sentence,
                    const struct elmo_model *model, unsigned wanted)
{
    const struct elmo_model_info *info = elmo_model_info(model);
    struct outputs *o = ret_outputs;
    size_t n = sentence->n_tokens;
    *o = (struct outputs){0};
    for (size_t k = 0; k <= info->n_layers && wanted & WANT_LAYERS; k++)
        o->layers[k] = not_numbers(n * (k ? info->layer_dim : info->token_dim));
    if (wanted & WANT_ELMO)
        o->elmo = not_numbers(n * info->layer_dim);
    if (wanted & WANT_POOLED)
        o->pooled = not_numbers(elmo_pooled_dim(model, sentence->pooling));
    if (wanted & WANT_PROBABILITIES && info->n_labels)
        o->probabilities = not_numbers(info->n_labels);
    if (wanted & WANT_STATE)
        o->final_state = not_numbers(info->state_floats);
    sentence->layers = wanted & WANT_LAYERS ? o->layers : NULL;
    sentence->elmo = o->elmo;
    sentence->pooled = o->pooled;
    sentence->probabilities = o->probabilities;
    sentence->final_state = o->final_state;
}

void outputs_done(struct outputs *outputs)
{
    for (size_t k = 0; k < ARRAY_LEN(outputs->layers); k++)
        free(outputs->layers[k]);
    free(outputs->elmo);
    free(outputs->pooled);
    free(outputs->probabilities);
    free(outputs->final_state);
    *outputs = (struct outputs){0};
}

static void add(struct difference *difference, double found, double expected)
{
    double absolute = fabs(found - expected);
    if (isnan(absolute))
        absolute = INFINITY;
    difference->absolute = fmax(difference->absolute, absolute);
    difference->scaled = fmax(difference->scaled, absolute / fmax(1.0, fabs(expected)));
}

double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t k = 0; k < n; k++) {
        ab += (double)a[k] * (double)b[k];
        aa += (double)a[k] * (double)a[k];
        bb += (double)b[k] * (double)b[k];
    }
    return ab / sqrt(aa * bb);
}

void difference_add(struct difference *difference, const float *found, const double *expected,
                    size_t n)
{
    for (size_t k = 0; k < n; k++)
        add(difference, (double)found[k], expected[k]);
}

void difference_add_f32(struct difference *difference, const float *found, const float *expected,
                        size_t n)
{
    for (size_t k = 0; k < n; k++)
        add(difference, (double)found[k], (double)expected[k]);
}

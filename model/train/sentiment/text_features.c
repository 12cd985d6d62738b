#include "text_features.h"

#include "error.h"
#include "inference/mix.h"

struct extraction {
    struct text_features *features;
    const struct elmo_model_info *info;
};

static size_t layer_dim(const struct elmo_model_info *info, size_t layer)
{
    return layer ? info->layer_dim : info->token_dim;
}

/* All layers of one text in one block. */
static bool prepare(void *arg, size_t item, struct elmo_sentence *sentence)
{
    (void)item;
    const struct extraction *x = arg;
    size_t n_layers = 1 + x->info->n_layers;
    float **layers = calloc(n_layers, sizeof *layers);
    float *block = calloc(sentence->n_tokens * x->features->half + 1, sizeof *block);
    sentence->layers = layers;
    if (!layers || !block) {
        free(layers);
        free(block);
        sentence->layers = NULL;
        return false;
    }
    for (size_t k = 0; k < n_layers; k++) {
        layers[k] = block;
        block += sentence->n_tokens * layer_dim(x->info, k);
    }
    return true;
}

static void finish(void *arg, size_t item, struct elmo_sentence *s, bool ok)
{
    const struct extraction *x = arg;
    float *mean = x->features->rows + item * x->features->dim, *max = mean + x->features->half;
    for (size_t k = 0; k <= x->info->n_layers && ok; k++) {
        size_t dim = layer_dim(x->info, k);
        pool_tokens(mean, s->layers[k], s->n_tokens, dim, ELMO_POOL_MEAN);
        pool_tokens(max, s->layers[k], s->n_tokens, dim, ELMO_POOL_MAX);
        mean += dim;
        max += dim;
    }
    if (s->layers) {
        free(s->layers[0]);
        free((float **)s->layers);
    }
}

int text_features_init(struct text_features *ret_features, const struct elmo_model *model,
                       const struct labelled_text *items, size_t n_items, struct team *team,
                       struct progress *progress, struct elmo_error *err)
{
    const struct elmo_model_info *info = elmo_model_info(model);
    struct text_features f = {.n_rows = n_items,
                              .half = info->token_dim + info->n_layers * info->layer_dim};
    f.dim = 2 * f.half;
    f.rows = calloc(n_items, f.dim * sizeof *f.rows);
    if (!f.rows)
        return elmo_fail_nomem(err);
    struct extraction x = {&f, info};
    const struct bulk_run bulk = {
        .model = model,
        .items = items,
        .n_items = n_items,
        .team = team,
        .prepare = prepare,
        .finish = finish,
        .arg = &x,
        .progress = progress,
        .phase = "features",
    };
    int r = bulk_run(&bulk, NULL, err);
    if (r)
        text_features_done(&f);
    else
        *ret_features = f;
    return r;
}

void text_features_done(struct text_features *features)
{
    free(features->rows);
    *features = (struct text_features){0};
}

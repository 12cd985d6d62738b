/* make_golden FOLDER: writes the files of tests/golden, small random models and what the naive
 * reference says of them. Run by hand only (tests/golden/README.md). */
#include <stdio.h>

#include "golden_cases.h"

static int make(const struct golden_model *g, const char *folder, struct elmo_error *err)
{
    struct rng rng = {g->seed};
    struct random_model model;
    struct tensor_set expected = {0};
    char path[4096];
    random_model_init_with(&model, &rng, &g->options, g->has_head ? &g->head : NULL,
                           g->head_pooling, g->optional_tensors);
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, g->name);
    int r = random_model_write(&model, path, err);
    if (!r) {
        const struct naive_model naive = {&model.options, &model.weights};
        golden_expect(&expected, &naive, g->has_head, g->head_pooling);
        snprintf(path, sizeof path, "%s/%s.expected.safetensors", folder, g->name);
        r = tensor_set_write(&expected, path, NULL, 0, err);
    }
    tensor_set_done(&expected);
    random_model_done(&model);
    return r;
}

int main(int argc, char **argv)
{
    struct elmo_error err = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: make_golden FOLDER\n");
        return 2;
    }
    for (size_t k = 0; k < n_golden_models; k++)
        if (make(&golden_models[k], argv[1], &err)) {
            fprintf(stderr, "make_golden: %s\n", err.message);
            return 1;
        }
    return 0;
}

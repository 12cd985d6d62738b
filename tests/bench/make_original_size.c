/* make_original_size FOLDER: writes options.json and weights.hdf5 of a random model in the size of
 * the original ELMo (Peters et al. 2018: 93.6 M weights, 374 MB), for measuring elmo-convert and
 * elmod.
 *
 *     make_original_size /tmp/big
 *     time elmo-convert --options /tmp/big/options.json --weights /tmp/big/weights.hdf5 \
 *         --tokenizer whitespace --name original-size-random --out /tmp/big/model.safetensors */
#include <stdio.h>
#include <string.h>

#include "reference/bilm_files.h"
#include "reference/test_files.h"

static const struct options original = {
    .char_dim = 16,
    .max_chars = 50,
    .n_char_filters = 7,
    .char_filters = {{1, 32}, {2, 32}, {3, 64}, {4, 128}, {5, 256}, {6, 512}, {7, 1024}},
    .filter_dim = 2048,
    .n_highway = 2,
    .activation = ACT_RELU,
    .n_layers = 2,
    .cell_dim = 4096,
    .proj_dim = 512,
    .cell_clip = 3,
    .proj_clip = 3,
    .skip_connections = true,
};

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_original_size FOLDER\n");
        return 2;
    }
    struct rng rng = {93600000};
    struct random_model model;
    struct elmo_error err = {0};
    char options[4096], weights[4096];
    snprintf(options, sizeof options, "%s/options.json", argv[1]);
    snprintf(weights, sizeof weights, "%s/weights.hdf5", argv[1]);
    random_model_init_with(&model, &rng, &original, NULL, ELMO_POOL_MEAN, true);
    bool ok = write_whole_file(options, model.options_json, strlen(model.options_json));
    if (!ok)
        fprintf(stderr, "make_original_size: cannot write '%s'\n", options);
    if (ok && bilm_weights_write(&model, weights, &err)) {
        fprintf(stderr, "make_original_size: %s\n", err.message);
        ok = false;
    }
    random_model_done(&model);
    return ok ? 0 : 1;
}

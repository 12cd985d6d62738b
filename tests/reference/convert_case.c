#include "convert_case.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static void must(bool done, const char *what, const struct elmo_error *err)
{
    if (done)
        return;
    fprintf(stderr, "test tools: %s: %s\n", what, err->message);
    exit(EXIT_FAILURE);
}

void convert_case_init_with(struct convert_case *ret_case, struct random_model *model)
{
    struct convert_case *c = ret_case;
    struct elmo_error err = {0};
    *c = (struct convert_case){.model = *model};
    *model = (struct random_model){0};
    temp_dir_init(&c->dir);
    c->options = temp_path(&c->dir, "options.json");
    c->weights = temp_path(&c->dir, "weights.hdf5");
    c->sentiment = c->model.has_head ? temp_path(&c->dir, "sentiment.hdf5") : NULL;
    c->out = temp_path(&c->dir, "model.safetensors");
    c->provenance = temp_path(&c->dir, "provenance.json");
    must(write_whole_file(c->options, c->model.options_json, strlen(c->model.options_json)),
         c->options, &err);
    must(!bilm_weights_write(&c->model, c->weights, &err), c->weights, &err);
    must(!c->sentiment || !bilm_head_write(&c->model, c->sentiment, &err), c->sentiment, &err);

    static const char *const poolings[] = {"mean", "max", "mean_max"};
    static const char *const orders[] = {"", "1", "2", "3", "4"};
    static const char *const labels[] = {"", "a,b", "a,b", "a,b,c", "a,b,c,d"};
    c->job = (struct import_job){
        .options = c->options,
        .weights = c->weights,
        .sentiment = c->sentiment,
        .out = c->out,
        .name = "case",
        .tokenizer = c->model.tokenizer,
        .labels = c->sentiment ? labels[c->model.head.output_dim] : NULL,
        .pooling = poolings[c->model.pooling],
        .head_input = c->model.head.all_layers ? "layers" : NULL,
        .ngram_order = c->model.ngram_order ? orders[c->model.ngram_order] : NULL,
        .dtype = ST_F32,
    };
}

void convert_case_init(struct convert_case *ret_case, struct rng *rng)
{
    struct random_model model;
    random_model_init(&model, rng);
    convert_case_init_with(ret_case, &model);
}

void convert_case_done(struct convert_case *c)
{
    temp_dir_done(&c->dir);
    random_model_done(&c->model);
    free(c->options);
    free(c->weights);
    free(c->sentiment);
    free(c->out);
    free(c->provenance);
}

size_t convert_case_files(const struct convert_case *c)
{
    size_t n = 0;
    DIR *entries = opendir(c->dir.path);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        n += entry->d_name[0] != '.';
    if (entries)
        closedir(entries);
    return n;
}

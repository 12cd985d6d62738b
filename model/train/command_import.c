/* elmo-train import: bilm-tf's files as a model file. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "convert/import.h"
#include "error.h"

/* A value that is one of a few words, or not given. */
static int check_word(const char *option, const char *value, const char *const *words,
                      struct elmo_error *err)
{
    if (!value)
        return 0;
    for (size_t k = 0; words[k]; k++)
        if (!strcmp(value, words[k]))
            return 0;
    return elmo_fail(err, ELMO_E_INVALID, "unknown value of --%s (see --help)", option);
}

static int check(const struct arguments *a, struct elmo_error *err)
{
    static const char *const tokenizers[] = {"unicode", "whitespace", NULL};
    static const char *const dtypes[] = {"f32", "bf16", NULL};
    static const char *const poolings[] = {"mean", "max", "mean_max", NULL};
    static const char *const head_inputs[] = {"mix", "layers", NULL};
    static const char *const ngram_orders[] = {"1", "2", "3", "4", NULL};
    const struct import_arguments *i = &a->import;
    if (!a->pretrain.options || !i->weights || !i->tokenizer || !a->name || !a->out)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--options, --weights, --tokenizer, --name and --out are needed");
    int r = check_word("tokenizer", i->tokenizer, tokenizers, err);
    if (!r)
        r = check_word("dtype", a->dtype, dtypes, err);
    if (!r)
        r = check_word("pooling", i->pooling, poolings, err);
    if (!r)
        r = check_word("head-input", i->head_input, head_inputs, err);
    return r ? r : check_word("ngram-order", i->ngram_order, ngram_orders, err);
}

int command_import(const struct arguments *a, struct elmo_error *err)
{
    int r = check(a, err);
    if (r)
        return r;
    const struct import_job job = {
        .options = a->pretrain.options,
        .weights = a->import.weights,
        .sentiment = a->import.sentiment,
        .provenance = a->provenance,
        .out = a->out,
        .name = a->name,
        .tokenizer = a->import.tokenizer,
        .labels = a->import.labels,
        .pooling = a->import.pooling,
        .head_input = a->import.head_input,
        .ngram_order = a->import.ngram_order,
        .dtype = a->dtype && !strcmp(a->dtype, "bf16") ? ST_BF16 : ST_F32,
    };
    return import_run(&job, a->pretrain.quiet ? NULL : stderr, err);
}

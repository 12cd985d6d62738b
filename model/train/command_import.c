#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "error.h"
#include "import.h"

static int check(const struct arguments *a, struct elmo_error *err)
{
    enum tokenizer tokenizer;
    const struct import_arguments *i = &a->import;
    if (!a->pretrain.options || !i->weights || !i->tokenizer || !a->name || !a->out)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--options, --weights, --tokenizer, --name and --out are needed");
    if (!tokenizer_from_name(&tokenizer, i->tokenizer))
        return elmo_fail(err, ELMO_E_INVALID, "--tokenizer is unicode or whitespace");
    if (a->dtype && strcmp(a->dtype, "bf16") && strcmp(a->dtype, "f32"))
        return elmo_fail(err, ELMO_E_INVALID, "--dtype is bf16 or f32");
    if (i->pooling && strcmp(i->pooling, "mean") && strcmp(i->pooling, "max") &&
        strcmp(i->pooling, "mean_max"))
        return elmo_fail(err, ELMO_E_INVALID, "--pooling is mean, max or mean_max");
    return 0;
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
        .dtype = a->dtype && !strcmp(a->dtype, "bf16") ? ST_BF16 : ST_F32,
    };
    return import_run(&job, a->pretrain.quiet ? NULL : stderr, err);
}

/* elmo-train grow: a biLM with more cells that says the same. */
#include <string.h>

#include "commands.h"
#include "error.h"
#include "train/bilm/grow_file.h"

int command_grow(const struct arguments *a, struct elmo_error *err)
{
    if (!a->model || !a->n_cells || !a->out)
        return elmo_fail(err, ELMO_E_INVALID, "--model, --cells and --out are needed");
    if (!a->softmax != !a->softmax_out)
        return elmo_fail(err, ELMO_E_INVALID, "--softmax and --softmax-out go together");
    if (a->softmax_out && !strcmp(a->softmax_out, a->out))
        return elmo_fail(err, ELMO_E_INVALID, "--out and --softmax-out are two files");
    const struct grow_job job = {
        .model = a->model,
        .out = a->out,
        .n_cells = a->n_cells,
        .softmax = a->softmax,
        .softmax_out = a->softmax_out,
    };
    return grow_file(&job, err);
}

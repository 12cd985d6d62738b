#pragma once
/* elmo-train grow: a model file or a checkpoint with more cells (grow.h), and the softmax file that
 * goes with it. Not thread-safe: two runs must not write the same files. */
#include "elmo.h"

struct grow_job {            /* borrowed paths */
    const char *model;       /* a model file or a checkpoint */
    const char *out;         /* may be `model` */
    size_t n_cells;          /* N */
    const char *softmax;     /* of the model file; NULL: none */
    const char *softmax_out; /* where there is a softmax; may be `softmax` */
};

/* Writes `out`: tensors and metadata are those of `model`, but for the tensors of the LSTMs,
 * lstm.dim in the options, and the provenance, whose array "grown" gets an object with from_cells,
 * to_cells and from_bilm_sha256, the bilm_digest() of `model`. Then softmax_out: `softmax` with the
 * digest of the new biLM. Files appear whole or not at all; `out` of a model file is opened first
 * as elmod would open it.
 *
 * ELMO_E_INVALID: N is not more than C or is more than an architecture can have, the LSTMs have no
 * projection, or the softmax is that of another biLM or is given with a checkpoint, which has its
 * own. ELMO_E_FORMAT names the tensor or field that is wrong. */
ELMO_MUST_USE int grow_file(const struct grow_job *job, struct elmo_error *err);

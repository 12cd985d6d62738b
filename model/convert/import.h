#pragma once
/* bilm-tf's files (options.json, an HDF5 of weights, an HDF5 of a sentiment head) -> one model
 * file. It is opened as elmod will open it before it takes its name: what this writes, elmod reads.
 * Not thread-safe: libhdf5 is not. */
#include <stdio.h>

#include "elmo.h"
#include "file/safetensors.h"

struct import_job { /* borrowed strings; paths unless said otherwise */
    const char *options;
    const char *weights;
    const char *sentiment;  /* NULL: no head */
    const char *provenance; /* NULL: none */
    const char *out;
    const char *name;        /* not a path */
    const char *tokenizer;   /* "unicode" or "whitespace" */
    const char *labels;      /* comma-separated; NULL: "negative,positive" */
    const char *pooling;     /* of the head; NULL: "mean" */
    const char *head_input;  /* "mix" or "layers"; NULL: "mix" */
    const char *ngram_order; /* "1" to "4"; NULL: the head has no n-grams */
    enum st_dtype dtype;     /* of matrices, ST_F32 or ST_BF16; all else stays float32 */
};

/* Notes (datasets that were converted or that nobody uses) go to `notes`; NULL: nowhere. Errors are
 * those of hdf5_file.h, options.h, safetensors.h and elmo_model_open; then `out` is as it was. */
ELMO_MUST_USE int import_run(const struct import_job *job, FILE *notes, struct elmo_error *err);

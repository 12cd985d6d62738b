#pragma once
/* A model file -> bilm-tf's files. Values are widened to float32 exactly; what was float32 comes
 * back bit for bit. */
#include "elmo.h"

struct export_job { /* borrowed paths */
    const char *model;
    const char *weights;   /* HDF5 to write */
    const char *sentiment; /* HDF5 to write the head to; NULL: not */
    const char *options;   /* options.json to write; NULL: not */
};

/* ELMO_E_INVALID when a head is asked for and the model has none. */
ELMO_MUST_USE int export_run(const struct export_job *job, struct elmo_error *err);

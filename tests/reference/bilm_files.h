#pragma once
/* A random model as bilm-tf's files, what elmo-convert reads. */
#include "random_model.h"

/* An HDF5 of all tensors but the head's. */
ELMO_MUST_USE int bilm_weights_write(const struct random_model *model, const char *path,
                                     struct elmo_error *err);
/* An HDF5 of the head's tensors; the model must have a head. */
ELMO_MUST_USE int bilm_head_write(const struct random_model *model, const char *path,
                                  struct elmo_error *err);

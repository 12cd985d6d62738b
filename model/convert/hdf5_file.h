#pragma once
/* HDF5 files of float tensors, the way bilm-tf keeps its weights. Reading accepts any
 * floating-point type (libhdf5 converts it) and says what it expected and what it found; writing
 * goes to a temporary file that takes the real name when it is complete. Not thread-safe: libhdf5
 * is not. */
#include <stdio.h>

#include "defs.h"
#include "elmo.h"

#define HDF5_MAX_DIMS 4

struct hdf5_shape {
    size_t n_dims; /* 0: a scalar */
    size_t dims[HDF5_MAX_DIMS];
};

/* ---- Reading ---- */
struct hdf5_input;

ELMO_MUST_USE int hdf5_input_open(struct hdf5_input **ret_input, const char *path,
                                  struct elmo_error *err);
void hdf5_input_free(struct hdf5_input *input);
DEFINE_AUTO(hdf5_input_free, struct hdf5_input *);

bool hdf5_input_has(const struct hdf5_input *input, const char *name);
/* ELMO_E_FORMAT when there is no such dataset or it has more than HDF5_MAX_DIMS dimensions. */
ELMO_MUST_USE int hdf5_input_shape(const struct hdf5_input *input, const char *name,
                                   struct hdf5_shape *ret_shape, struct elmo_error *err);
/* Fills `values`, whose size `shape` gives. A scalar is accepted for [1]. ELMO_E_FORMAT when the
 * dataset is missing, has another shape, is not of floating point, cannot be read, or holds a value
 * that is not a finite float32. A dataset that is converted is noted on `notes` (NULL: not). */
ELMO_MUST_USE int hdf5_input_read(const struct hdf5_input *input, const char *name,
                                  const struct hdf5_shape *shape, float *values, FILE *notes,
                                  struct elmo_error *err);
/* Calls visit() with the name of every dataset, in order of names. */
ELMO_MUST_USE int hdf5_input_each(const struct hdf5_input *input,
                                  void (*visit)(void *context, const char *name), void *context,
                                  struct elmo_error *err);

/* ---- Writing ---- */
struct hdf5_output;

ELMO_MUST_USE int hdf5_output_new(struct hdf5_output **ret_output, const char *path,
                                  struct elmo_error *err);
/* Adds a float32 dataset, making the groups of its name; no dimensions make a scalar. */
ELMO_MUST_USE int hdf5_output_add(struct hdf5_output *output, const char *name,
                                  const struct hdf5_shape *shape, const float *values,
                                  struct elmo_error *err);
/* Closes the file, brings it to the disk and gives it its name. Nothing may be added after. */
ELMO_MUST_USE int hdf5_output_commit(struct hdf5_output *output, struct elmo_error *err);
/* An output that was not committed leaves no file behind. */
void hdf5_output_free(struct hdf5_output *output);
DEFINE_AUTO(hdf5_output_free, struct hdf5_output *);

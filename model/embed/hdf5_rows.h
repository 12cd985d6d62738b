#pragma once
/* The HDF5 file of an elmo-embed run while it grows: a dataset for each output of each line.
 * libhdf5 cannot open a file whose writer was killed, but the values of a closed dataset lie in it
 * for good: a list of where (`rows`) is enough to make the file again. One thread at a time. */
#include "append_file.h"
#include "block.h"

struct hdf5_rows;

struct hdf5_rows_paths { /* borrowed while the file is open */
    const char *data, *rows;
};

/* A new file; `rows` begins anew. */
ELMO_MUST_USE int hdf5_rows_create(struct hdf5_rows **ret_file, const struct layout *layout,
                                   const struct hdf5_rows_paths *paths, struct elmo_error *err);
/* The file as hdf5_rows_close has left it, with the first rows_bytes of `rows`. */
ELMO_MUST_USE int hdf5_rows_reopen(struct hdf5_rows **ret_file, const struct layout *layout,
                                   const struct hdf5_rows_paths *paths, uint64_t rows_bytes,
                                   struct elmo_error *err);
/* A new file with what a killed run had at hdf5_rows_sync, whose files stay as they are. */
ELMO_MUST_USE int hdf5_rows_rebuild(struct hdf5_rows **ret_file, const struct layout *layout,
                                    const struct hdf5_rows_paths *paths,
                                    const struct hdf5_rows_paths *before, uint64_t rows_bytes,
                                    struct elmo_error *err);
void hdf5_rows_free(struct hdf5_rows *file); /* NULL is fine */
DEFINE_AUTO(hdf5_rows_free, struct hdf5_rows *);

/* Values [layout_sentence_floats] of a line under its key: its number, or the text [key, key_bytes)
 * where that is not NULL, in which '/' makes groups. *ret_is_there: the key is there already, with
 * the very same values, and nothing is added. ELMO_E_FORMAT where it is there with others, or is
 * none that HDF5 can have. */
ELMO_MUST_USE int hdf5_rows_add(struct hdf5_rows *file, uint64_t number, const char *key,
                                size_t key_bytes, size_t n_tokens, const float *values,
                                bool *ret_is_there, struct elmo_error *err);
/* Brings what was added to the disk; *ret_rows_bytes: to be given to reopen or rebuild. */
ELMO_MUST_USE int hdf5_rows_sync(struct hdf5_rows *file, uint64_t *ret_rows_bytes,
                                 struct elmo_error *err);
/* Makes the data a whole HDF5 file. With n_strings, it gets a dataset of as many lines of the file
 * `strings`. Nothing may be added after. */
ELMO_MUST_USE int hdf5_rows_close(struct hdf5_rows *file, const char *strings_name,
                                  const char *strings, uint64_t n_strings, struct elmo_error *err);

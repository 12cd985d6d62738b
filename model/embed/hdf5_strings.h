#pragma once
/* A dataset of strings of variable length that are too large to be held in memory, which is what
 * libhdf5 would do. It makes the dataset; once it has closed the file, the strings go behind its
 * end as the format says (HDF5 File Format Specification 3.0: III.E, global heap), copied from a
 * file a piece at a time. The superblock must be of version 0, as libhdf5 makes it unless told
 * otherwise. One thread at a time. */
#include "convert/hdf5_handle.h" /* first: it chooses the interface of libhdf5 */

#include "elmo.h"

/* A dataset `name` [n] of UTF-8 strings, all empty; *ret_address: where its references lie in the
 * file. */
ELMO_MUST_USE int hdf5_strings_reserve(hid_t file, const char *name, uint64_t n,
                                       haddr_t *ret_address, struct elmo_error *err);
/* The lines of `from`, of which there must be n, become the strings of the dataset in `path`, which
 * libhdf5 has closed; then the file is on the disk. ELMO_E_IO. */
ELMO_MUST_USE int hdf5_strings_fill(const char *path, haddr_t address, uint64_t n, const char *from,
                                    struct elmo_error *err);

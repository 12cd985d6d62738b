#pragma once
/* A file that only grows, and can be cut back to where a checkpoint was. One thread at a time. */
#include <stdint.h>
#include <stdio.h>

#include "defs.h"
#include "elmo.h"

struct append_file {
    FILE *out;  /* NULL: not open */
    char *path; /* owned */
    uint64_t n_bytes;
};

/* Keeps the first n_keep bytes of what is there; 0: begins anew. ELMO_E_FORMAT where it has fewer.
 */
ELMO_MUST_USE int append_file_open(struct append_file *ret_file, const char *path, uint64_t n_keep,
                                   struct elmo_error *err);
ELMO_MUST_USE int append_file_write(struct append_file *file, const void *bytes, size_t n_bytes,
                                    struct elmo_error *err);
/* Overwrites bytes that are there already. */
ELMO_MUST_USE int append_file_patch(struct append_file *file, uint64_t at, const void *bytes,
                                    size_t n_bytes, struct elmo_error *err);
/* Brings it to the disk. */
ELMO_MUST_USE int append_file_sync(struct append_file *file, struct elmo_error *err);
void append_file_done(struct append_file *file); /* {0} is fine */

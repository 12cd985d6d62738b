#pragma once
/* A file that appears whole or not at all: written as path.tmp, brought to the disk, renamed over
 * `path`. An older file survives every failure. */
#include <stdio.h>

#include "defs.h"
#include "elmo.h"

struct atomic_file {
    FILE *out;  /* write here; a failed write may be left to atomic_file_commit */
    char *path; /* owned */
    char *tmp;  /* owned */
};

ELMO_MUST_USE int atomic_file_open(struct atomic_file *ret_file, const char *path,
                                   struct elmo_error *err);
/* Whether that would work: to be told before hours of work, not after them. Leaves nothing behind.
 */
ELMO_MUST_USE int atomic_file_check(const char *path, struct elmo_error *err);
/* Closes the file and puts it in place, or takes it away where anything has failed: ELMO_E_IO. The
 * file is done with either way. */
ELMO_MUST_USE int atomic_file_commit(struct atomic_file *file, struct elmo_error *err);

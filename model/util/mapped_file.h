#pragma once
/* A regular file as read-only memory. */
#include "defs.h"
#include "elmo.h"

struct mapped_file { /* {0} is no file */
    void *bytes;
    size_t n_bytes;
};

/* ELMO_E_IO or, for what is empty or no regular file, ELMO_E_FORMAT. The file must not be truncated
 * while it is mapped. */
ELMO_MUST_USE int mapped_file_open(struct mapped_file *ret_file, const char *path,
                                   struct elmo_error *err);
void mapped_file_close(struct mapped_file *file);

/* Pages that lie wholly in these bytes, which must be those of a file that is mapped and was not
 * written to, stop counting as memory of this process until they are read again. */
void mapped_file_drop_pages(const void *bytes, size_t n_bytes);

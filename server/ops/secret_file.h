#pragma once
/* A small file with secrets, read whole at start: keys of clients, the key of a certificate. Its
 * bytes are wiped when they are of no use any more. Any thread. */
#include "defs.h"
#include "elmo.h"

struct secret_file { /* {0}: nothing read */
    char *bytes;     /* owned, with a NUL behind the last */
    size_t n_bytes;
    bool others_may_read; /* whoever else has an account here */
};

/* Reads a file of any kind that has at most max_bytes. 0, ELMO_E_IO or ELMO_E_NOMEM; *ret_file is
 * untouched on failure. */
ELMO_MUST_USE int secret_file_read(struct secret_file *ret_file, const char *path, size_t max_bytes,
                                   struct elmo_error *err);
/* Wipes and frees the bytes; {0} is fine. */
void secret_file_done(struct secret_file *file);
static inline void secret_file_done_auto(struct secret_file *file)
{
    secret_file_done(file);
}

/* One line of log where others may read the file. */
void secret_file_warn(const char *path, bool others_may_read);

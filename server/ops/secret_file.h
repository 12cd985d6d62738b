#pragma once
/* A small file with secrets, such as API keys or a private key, read at once. secret_file_done
 * wipes its bytes. Any thread. */
#include "defs.h"
#include "elmo.h"

struct secret_file { /* {0}: nothing read */
    char *bytes;     /* owned, NUL-terminated */
    size_t n_bytes;
    bool others_may_read; /* the file is readable by all users of the machine */
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

/* Logs a warning if others may read the file. */
void secret_file_warn(const char *path, bool others_may_read);

#pragma once
/* Filling a struct elmo_error: the one way in which model/ and server/ report failure. */
#include "elmo.h"

/* Writes the message into *err unless err is NULL or holds an earlier error; returns `status`, so
 * that `return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s': ...", name);` is the whole failure path.
 */
int elmo_fail(struct elmo_error *err, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* elmo_fail for malloc and friends. */
int elmo_fail_nomem(struct elmo_error *err);

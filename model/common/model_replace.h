#pragma once
/* Writing a model file so that a good one is never replaced by one that elmod could not open. */
#include "elmo.h"

/* Writes a whole model file to `path`. */
typedef int model_write(void *arg, const char *path, struct elmo_error *err);

/* Has `write` write path.new, opens that as elmod would, and only then renames it to `path`. On any
 * failure, which is write's or elmo_model_open's, `path` is as it was. */
ELMO_MUST_USE int model_replace(const char *path, model_write *write, void *arg,
                                struct elmo_error *err);

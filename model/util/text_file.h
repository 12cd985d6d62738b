#pragma once
/* Small text files, whole: the JSON files beside the weights. No state, any thread. */
#include "defs.h"
#include "elmo.h"

/* *ret_text is NUL-terminated; free() it. ELMO_E_FORMAT when the file holds a NUL or is over 1 MiB.
 */
ELMO_MUST_USE int text_file_read(char **ret_text, const char *path, struct elmo_error *err);
/* Writes path.tmp and renames it: an older file survives any failure. */
ELMO_MUST_USE int text_file_write(const char *path, const char *text, struct elmo_error *err);

#pragma once
/* The folder OUT.work, where a result grows until it is whole and takes its name OUT; a killed run
 * leaves it behind, and --resume goes on from the checkpoint in it. One run at a time holds it. */
#include <jansson.h>

#include "defs.h"
#include "elmo.h"

#define WORK_FOLDER_RESULT "result" /* a folder in it, where the result is one */

struct work_folder;

/* Makes the folder, or takes the one that is there. *ret_state (json_decref it) is the checkpoint
 * in it, NULL where there is none. Without `resume`, ELMO_E_IO where there is one. ELMO_E_IO too
 * where OUT is there already or another run holds the folder. */
ELMO_MUST_USE int work_folder_open(struct work_folder **ret_folder, const char *out, bool resume,
                                   json_t **ret_state, struct elmo_error *err);
void work_folder_free(struct work_folder *folder); /* leaves the files; NULL is fine */
DEFINE_AUTO(work_folder_free, struct work_folder *);

/* The path of a file in it; free() it. NULL: out of memory. */
char *work_folder_path(const struct work_folder *folder, const char *name);

/* Puts a checkpoint in the place of the one before, on the disk. */
ELMO_MUST_USE int work_folder_save(struct work_folder *folder, const json_t *state,
                                   struct elmo_error *err);
/* Gives the file or folder `name` in it, which is whole and on the disk, the name OUT; then removes
 * the work folder. */
ELMO_MUST_USE int work_folder_publish(struct work_folder *folder, const char *name,
                                      struct elmo_error *err);

/* Whether OUT is there. Removes what a run that was killed behind work_folder_publish has left. */
bool work_folder_is_done(const char *out);

#pragma once
/* Where tests find and put files: the project's own, the shared data that may be absent, and a
 * temporary folder. meson passes ELMOD_SOURCE_ROOT and ELMOD_SHARED; without them a test looks
 * from the folder it runs in. Paths are freed by the caller; when memory is short they end the
 * program. */
#include "defs.h"

/* A file of the project, whether it exists or not. */
char *source_path(const char *relative);
/* A file of the shared data; NULL when it is not there, and the test that wants it skips. */
char *shared_path(const char *relative);

struct temp_dir {
    char path[256];
};

/* Makes an empty folder; ends the program when it cannot. */
void temp_dir_init(struct temp_dir *ret_dir);
/* Removes the folder and the files in it. */
void temp_dir_done(struct temp_dir *dir);
char *temp_path(const struct temp_dir *dir, const char *name);

/* One folder for all tests of a program: its group's setup and teardown. */
extern struct temp_dir group_dir;
int group_dir_init(void **state);
int group_dir_done(void **state);

/* The bytes of a file, NULL when it cannot be read; free() them. */
unsigned char *read_whole_file(const char *path, size_t *ret_n_bytes);
/* Whether both can be read and have the same bytes. */
bool same_files(const char *path, const char *other);
/* False when the file cannot be written. */
bool write_whole_file(const char *path, const void *bytes, size_t n_bytes);

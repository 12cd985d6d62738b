#pragma once
/* Corpus files for the tests of the trainer, plain or compressed, and folders of reviews. Any
 * failure fails the test. */
#include <stddef.h>

enum train_packing { TRAIN_PLAIN, TRAIN_GZIP, TRAIN_XZ, TRAIN_N_PACKINGS };

/* ".txt", ".gz", ".xz" */
const char *train_suffix(enum train_packing packing);
/* The bytes packed; free() them. */
unsigned char *train_pack(const void *bytes, size_t n_bytes, enum train_packing packing,
                          size_t *ret_n_packed);
/* Writes `text` to folder/name with the packing's suffix; returns the path, free() it. */
char *train_write(const char *folder, const char *name, const void *text, size_t n_bytes,
                  enum train_packing packing);

/* Writes folder/half/<id>_<rating>.txt, making the folders that are not there. */
void train_write_review(const char *folder, const char *half, unsigned id, unsigned rating,
                        const void *text, size_t n_bytes);
/* Removes a file, or a folder with its contents, if it exists. */
void train_remove(const char *path);

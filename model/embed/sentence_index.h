#pragma once
/* AllenNLP's `sentence_to_index` as it grows on the disk: JSON objects {"sentence": "line number"},
 * written as Python's json.dumps does, one a line of the file. There is one, unless it would pass
 * what a string of HDF5 can hold: then another begins, and together they are the whole. A sentence
 * that comes again is there again; readers take the last, as AllenNLP does. One thread at a time.
 */
#include "append_file.h"

struct sentence_index {
    struct append_file file;
    uint64_t max_bytes;    /* of an object */
    uint64_t object_begin; /* where the last one begins in the file */
    uint64_t n_objects;
    char *entry; /* owned, [entry_bytes] */
    size_t entry_bytes;
};

/* Where a checkpoint was: all 0 at the beginning. */
struct sentence_index_mark {
    uint64_t n_bytes, object_begin, n_objects;
};

/* max_bytes 0: what HDF5 can hold. Goes on from the mark, which is checked against the file. */
ELMO_MUST_USE int sentence_index_open(struct sentence_index *ret_index, const char *path,
                                      uint64_t max_bytes, const struct sentence_index_mark *mark,
                                      struct elmo_error *err);
void sentence_index_done(struct sentence_index *index); /* {0} is fine */

/* `text` is valid UTF-8. */
ELMO_MUST_USE int sentence_index_add(struct sentence_index *index, const char *text, size_t n_bytes,
                                     uint64_t number, struct elmo_error *err);
struct sentence_index_mark sentence_index_mark(const struct sentence_index *index);
/* Ends the last object, and brings the file to the disk. Nothing may be added after. */
ELMO_MUST_USE int sentence_index_finish(struct sentence_index *index, struct elmo_error *err);

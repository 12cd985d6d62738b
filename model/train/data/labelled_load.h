#pragma once
/* What the readers of labelled.h's sources share: one adds the texts, the set is made of them at
 * the end. */
#include "labelled.h"
#include "text/word_table.h"

struct labelled_loader {
    const struct labelled_settings *settings;
    struct labelled_set set; /* its labels and their order are made at the end */
    size_t capacity;         /* of set.items */
    struct word_table labels, groups;
    const char *path; /* borrowed: where the reader is, for messages */
    size_t line;      /* from 1; 0: the whole file */
};

struct labelled_input { /* borrowed */
    char *text;         /* may be written to */
    size_t n_bytes;
    struct elmo_token label;
    struct elmo_token group; /* bytes NULL: no other text is in its group */
    uint8_t rating;
};

/* Copies the input into the set, or counts why not. ELMO_E_FORMAT: the label cannot be one. */
ELMO_MUST_USE int labelled_add(struct labelled_loader *loader, const struct labelled_input *input,
                               struct elmo_error *err);
/* elmo_fail, saying where the reader is. `what` never holds text of the file. */
int labelled_fail(const struct labelled_loader *loader, const char *what, struct elmo_error *err);

/* The sources. */
ELMO_MUST_USE int labelled_load_folder(struct labelled_loader *loader, const char *path,
                                       struct elmo_error *err);
ELMO_MUST_USE int labelled_load_tsv(struct labelled_loader *loader, const char *path,
                                    struct elmo_error *err);
ELMO_MUST_USE int labelled_load_jsonl(struct labelled_loader *loader, const char *path,
                                      struct elmo_error *err);
ELMO_MUST_USE int labelled_load_text(struct labelled_loader *loader, const char *path,
                                     struct elmo_error *err);

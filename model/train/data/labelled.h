#pragma once
/* Texts with a label each, whatever their source, whole in memory:
 *
 *   a folder    with pos/ and neg/ full of "<id>_<rating>.txt", as aclImdb/train is; the labels are
 *               "negative" and "positive". One without them stands for its folder `split`. Where
 *               urls_pos.txt and urls_neg.txt are there too, line k (from 0) is the web page of
 *               review id k, and the reviews of one page (one movie) are a group.
 *   *.tsv       a line is TEXT <TAB> LABEL: the label is what follows the last TAB. A first line
 *               "text<TAB>label" is a heading.
 *   *.jsonl     a line is {"text": "...", "label": "..."}, the label a string or an integer; with
 *               "group": "..." the texts of one group stay together. Other keys are ignored.
 *   any file    where texts without labels are asked for: a line is a text.
 *
 * Files may be .gz or .xz. The order is the file's, or of a folder: neg by id, then pos by id.
 * Texts that cannot be used (struct labelled_counts says why) are left out and counted; all else
 * that is wrong is an error that names the file and line and never quotes it. One thread loads;
 * then immutable but for the order of its items. */
#include <stdint.h>
#include <stdio.h>

#include "elmo.h"
#include "util/arena.h"

#define LABELLED_MAX_TEXT_BYTES  ((size_t)1 << 20)
#define LABELLED_MAX_LABEL_BYTES 64u
#define LABELLED_MAX_LABELS      1000u

struct labelled_text { /* its memory belongs to the set */
    const char *text;  /* UTF-8 without NUL, NUL-terminated */
    size_t n_bytes;
    uint32_t label; /* index into labels */
    uint32_t group; /* < n_groups; an own one where the source says nothing */
    uint8_t rating; /* of aclImdb: 1..10; 0: none */
};

struct labelled_counts { /* of texts that were left out, and of what was passed over */
    size_t n_empty;      /* nothing but white space; empty lines too */
    size_t n_not_utf8;
    size_t n_with_nul;
    size_t n_too_long;    /* beyond LABELLED_MAX_TEXT_BYTES */
    size_t n_other_files; /* in pos/ and neg/, with another name than a review's */
};

struct labelled_set {
    struct labelled_text *items; /* [n_items], at least 1 */
    size_t n_items;
    const char **labels; /* [n_labels], at least 2, sorted by their bytes; 0 if unlabelled */
    size_t n_labels, n_groups;
    struct labelled_counts counts;
    char sha256[65]; /* of TEXT <TAB> LABEL <LF> of all items as loaded; unlabelled: TEXT <LF> */
    struct arena memory;
};

struct labelled_settings {
    const char *split; /* "train" or "test": of a folder that holds both; NULL: "train" */
    size_t max_words;  /* cut each text behind so many words, split at white space; 0: whole */
    bool keep_breaks;  /* leave "<br />" as it is; false: it becomes white space */
    bool unlabelled;   /* a line is a text, all labels are 0 */
};

/* ELMO_E_IO: a file cannot be read. ELMO_E_FORMAT: it is not what is said above. ELMO_E_INVALID:
 * nothing in it can be used, or all of it has one label. */
ELMO_MUST_USE int labelled_load(struct labelled_set *ret_set, const char *path,
                                const struct labelled_settings *settings, struct elmo_error *err);
void labelled_done(struct labelled_set *set); /* {0} is fine */

/* A line or two for a person: texts per label, groups, what was left out. */
void labelled_print(const struct labelled_set *set, FILE *out);

/* Into an order that (n_items, seed) alone decides. */
void labelled_shuffle(struct labelled_text *items, size_t n_items, uint64_t seed);

/* Moves about `share` (0..1) of the items, in every label alike as far as that goes, to the end of
 * set->items, such that no group is on both sides; the order on each side stays. The same groups,
 * labels and seed give the same sides. *ret_n_train items remain at the beginning. ELMO_E_INVALID:
 * that leaves a side empty. */
ELMO_MUST_USE int labelled_split_by_group(struct labelled_set *set, uint64_t seed, double share,
                                          size_t *ret_n_train, struct elmo_error *err);

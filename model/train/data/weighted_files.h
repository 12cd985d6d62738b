#pragma once
/* What follows --corpus: files with weights. A word is FILE or FILE:WEIGHT; without a weight it is
 * 1. A word that is the name of a file is that file, whatever it ends in. No state, any thread. */
#include <stddef.h>

#include "defs.h"
#include "elmo.h"

struct weighted_files { /* owns all of it */
    size_t n_files;
    const char **paths; /* [n_files] for corpus_load; they point into text */
    double *weights;    /* [n_files] for batches_init: corpus_is_weight() */
    char *text;
};

/* ELMO_E_INVALID: a word with a bad weight, or with no file. Whether the file is there is seen when
 * it is read. */
ELMO_MUST_USE int weighted_files_parse(struct weighted_files *ret_files, const char *const *words,
                                       size_t n_words, struct elmo_error *err);
void weighted_files_done(struct weighted_files *files); /* {0} is fine */

#pragma once
/* A model run over many labelled texts as elmod would run it (elmo_session_run), on all threads:
 * the texts are tokenised, sorted by length and go through in ragged batches, so that little waits
 * for the longest and a distinct token of a batch is encoded once. What is wanted of each text, and
 * what becomes of it, is the caller's. */
#include "common/progress.h"
#include "elmo.h"
#include "train/data/labelled.h"
#include "util/team.h"

struct bulk_run {
    const struct elmo_model *model;
    const struct labelled_text *items; /* [n_items] */
    size_t n_items;
    struct team *team; /* a session per member */
    /* Sets the outputs that are wanted: sentence->tokens and n_tokens are there. false: out of
     * memory. Both are called from several threads, at the same time for different items. */
    bool (*prepare)(void *arg, size_t item, struct elmo_sentence *sentence);
    /* Takes the results, and frees what prepare made; also called when the run failed. May be NULL.
     */
    void (*finish)(void *arg, size_t item, struct elmo_sentence *sentence, bool ok);
    void *arg;
    struct progress *progress; /* may be NULL */
    const char *phase;         /* for the progress line */
};

/* ret_n_tokens (may be NULL): tokens of all texts. On failure some items were not finished. */
ELMO_MUST_USE int bulk_run(const struct bulk_run *bulk, size_t *ret_n_tokens,
                           struct elmo_error *err);

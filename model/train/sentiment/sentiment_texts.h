#pragma once
/* The texts of an elmo-train sentiment run. */
#include <stdio.h>

#include "sentiment.h"
#include "train/data/labelled.h"

struct sentiment_texts { /* owned: sentiment_texts_done; {0} is fine */
    struct labelled_set set, test_set, unlabelled_set;
    /* Those to learn, those for development, those for the test; the texts are the sets'. */
    struct labelled_text *items; /* [n_train + n_dev + n_test] */
    size_t n_train, n_dev, n_test;
};

/* As settings->data, test and unlabelled have them, in the seed's order. Tells `out` (NULL: quiet)
 * how many they are. */
ELMO_MUST_USE int sentiment_texts_load(struct sentiment_texts *ret_texts,
                                       const struct sentiment_settings *settings, FILE *out,
                                       struct elmo_error *err);
void sentiment_texts_done(struct sentiment_texts *texts);

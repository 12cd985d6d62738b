#pragma once
/* What a person sees of a classifier: its layers and parameters, as Keras prints them. */
#include <stdio.h>

#include "head_fit.h"
#include "train/maths/head_net.h"

struct sentiment_seed {
    uint64_t seed;
    double dev, test; /* accuracies */
};

/* Loss and accuracy of one way to classify; test NULL: there are no test texts. */
void sentiment_print_score(FILE *out, const char *what, const struct head_fit_score *dev,
                           const struct head_fit_score *test);
/* A line per seed, mean and standard deviation. */
void sentiment_print_seeds(FILE *out, const struct sentiment_seed *seeds, size_t n_seeds,
                           bool has_test);
void sentiment_print_summary(FILE *out, const struct elmo_model *model, const struct head_net *net);

#pragma once
/* Training a head_net on frozen features: shuffled batches, Adam with decoupled weight decay,
 * dropout, and the epoch that was best on the development texts kept. The same seed gives the same
 * weights. One thread. */
#include <stdio.h>

#include "common/progress.h"
#include "train/data/labelled.h"
#include "train/maths/head_net.h"

struct head_fit_settings {
    size_t n_epochs, batch_texts;
    size_t patience; /* stop when so many epochs brought nothing; 0: run all, keep the last */
    double learning_rate, decay, dropout;
    uint64_t seed;
};

struct head_fit_texts {
    const float *rows; /* [n, stride]; the first net->n_features of each are its features */
    size_t stride;
    const struct labelled_text *items; /* [n]: their labels */
    size_t n_train, n_dev;             /* n = n_train + n_dev, in this order */
};

struct head_fit_score {
    double loss, accuracy;
};

/* values [head_net_size()]: start and result. Prints a line per epoch to `out` (NULL: quiet) with
 * loss and accuracy on the training texts as they were learnt, and on the development texts. */
ELMO_MUST_USE int head_fit(real *values, const struct head_net *net,
                           const struct head_fit_texts *texts,
                           const struct head_fit_settings *settings, FILE *out,
                           struct elmo_error *err);

/* logits [n, output_dim] of n texts from `first` on, without dropout. */
ELMO_MUST_USE int head_logits(real *logits, const struct head_net *net, real *values,
                              const struct head_fit_texts *texts, size_t first, size_t n,
                              struct elmo_error *err);
/* Mean loss (nats) and accuracy of logits [n, n_outputs], n_outputs <= LABELLED_MAX_LABELS; NAN for
 * no texts. */
struct head_fit_score head_score(const real *logits, size_t n_outputs,
                                 const struct labelled_text *items, size_t n);

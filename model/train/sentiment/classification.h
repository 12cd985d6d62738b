#pragma once
/* How good a classifier's probabilities are. A text's prediction is its most probable label, the
 * first of them if several are. NAN is what cannot be said, such as the ROC-AUC of a label that no
 * text has; means over labels leave it out. No state, any thread. */
#include <stdint.h>
#include <stdio.h>

#include "defs.h"
#include "elmo.h"

#define CLASSIFICATION_N_BINS 15u /* of equal width, of the prediction's probability */

struct label_score { /* one label against all others */
    size_t n_true, n_predicted;
    double precision; /* 0 if it is never predicted, NAN if no text has it either */
    double recall;    /* NAN if no text has it */
    double f1;        /* 0 where a text has it or is said to and none rightly; else NAN */
    double roc_auc;   /* of its probability; ties count half */
};

struct classification {
    size_t n_texts, n_labels;
    double accuracy;
    double macro_f1; /* mean over the labels */
    double roc_auc;  /* two labels: of the second one's probability; more: mean over the labels */
    double log_loss; /* mean -log p(true), nats; p at least 1e-15 */
    double ece;      /* expected calibration error: mean |accuracy - probability| of the bins */
    struct label_score *labels; /* [n_labels] */
    size_t *confusion;          /* [n_labels, n_labels]: true label by predicted label */
};

/* probabilities [n_texts, n_labels], truth [n_texts] < n_labels; at least one text, two labels. */
ELMO_MUST_USE int classification_measure(struct classification *ret_scores,
                                         const float *probabilities, const uint32_t *truth,
                                         size_t n_texts, size_t n_labels, struct elmo_error *err);
void classification_done(struct classification *scores); /* {0} is fine */

/* Lines of "name value", a table of the labels [n_labels], and the confusion matrix where it has no
 * more than 12 of them. */
void classification_print(const struct classification *scores, const char *const *labels,
                          FILE *out);

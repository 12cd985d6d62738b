#pragma once
/* Memory for what elmo_session_run answers, of exactly the right size (a sanitizer sees a write
 * beside it) and filled with NaN (a value that was not written shows), and the comparison of such
 * values with expected ones. A tool of the tests: when memory is short it ends the program. */
#include "elmo.h"
#include "file/options.h"

enum {
    WANT_LAYERS = 1,
    WANT_ELMO = 2,
    WANT_POOLED = 4,
    WANT_PROBABILITIES = 8, /* dropped where the model has no head */
    WANT_STATE = 16,
    WANT_ALL = 31,
};

struct outputs { /* owned; what was not wanted is NULL */
    float *layers[1 + OPTIONS_MAX_LAYERS];
    float *elmo, *pooled, *probabilities, *final_state;
};

/* Points the sentence, whose n_tokens and pooling are set, at new memory for what is wanted.
 * `ret_outputs` must stay where it is while the sentence is in use. */
void outputs_attach(struct outputs *ret_outputs, struct elmo_sentence *sentence,
                    const struct elmo_model *model, unsigned wanted);
void outputs_done(struct outputs *outputs);

/* The worst difference seen so far. */
struct difference {
    double absolute; /* max |found - expected| */
    double scaled;   /* max |found - expected| / max(1, |expected|) */
};

/* Of two vectors [n] that are not 0. */
double cosine(const float *a, const float *b, size_t n);

/* What is not a number is infinitely wrong. */
void difference_add(struct difference *difference, const float *found, const double *expected,
                    size_t n);
void difference_add_f32(struct difference *difference, const float *found, const float *expected,
                        size_t n);

#pragma once
/* A checkpoint that is small enough to keep and carry. It has the average of the weights instead of
 * the weights and the average, rounded to bfloat16, and Adam's moments; of a row of the softmax
 * (with its bias) only the mean of the second ones, as Adafactor has it (Shazeer and Stern 2018,
 * arXiv:1804.04235). That is about a quarter of the bytes. A run that goes on from it is not the
 * same bit for bit, but held-out perplexity is. No state, any thread. */
#include "elmo.h"

/* Makes the file `path` of the checkpoint `source`, whole or not at all. ELMO_E_INVALID: both are
 * one path; ELMO_E_FORMAT: the source is no checkpoint with moments. */
ELMO_MUST_USE int checkpoint_make_small(const char *path, const char *source,
                                        struct elmo_error *err);

#pragma once
/* Weights of a model file as the start of a run. */
#include "net.h"

/* Copies every tensor of the biLM from a model file of the same architecture; the softmax stays as
 * it is. */
ELMO_MUST_USE int warm_start(real *values, const struct net *net, const char *model_path,
                             struct elmo_error *err);

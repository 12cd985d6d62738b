#pragma once
/* What a person sees of a classifier: its layers and parameters, as Keras prints them. */
#include <stdio.h>

#include "head_net.h"

void sentiment_print_summary(FILE *out, const struct elmo_model *model, const struct head_net *net);

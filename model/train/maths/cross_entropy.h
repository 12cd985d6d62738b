#pragma once
/* The loss of every classifier here: the cross-entropy of one text's logits and its label. One
 * logit is a sigmoid's, of label 1 against label 0; more are a softmax's. Pure; any thread. */
#include <stddef.h>
#include <stdint.h>

/* -log p(label) in nats. The logits z [n] become its gradient with respect to them. */
double cross_entropy(double *z, size_t n, uint32_t label);

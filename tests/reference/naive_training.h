#pragma once
/* The naive reference of pretraining: the biLM objective with its sampled softmax (Peters et al.
 * 2018, section 3.1; Jean et al. 2015), clipping of the gradient's norm and Adam (Kingma and Ba
 * 2015), written down sentence by sentence and number by number in double precision. The gradients
 * come from autodiff.h, not from a backward pass; nothing of model/train computes here. Only the
 * layout of the weights, the form of a batch and the random numbers are the trainer's.
 *
 * No dropout. A tool of the tests: when memory is short it ends the program. */
#include "autodiff.h"
#include "train/maths/bilm_loss.h"
#include "train/maths/net.h"

struct naive_training {
    const struct net *net;     /* borrowed: options, names and places of the tensors */
    double *values;            /* [net_size()], owned, as all below */
    double *first, *second;    /* Adam's moments, likewise */
    unsigned char *is_touched; /* likewise: has a gradient in this step */
    size_t n_steps;
    size_t n_clipped; /* cells and outputs cut by a clip, over all steps */
    struct tape tape;
};

struct naive_step {
    size_t n_samples;
    uint64_t step_seed;
    double learning_rate, max_norm;
};

/* Starts from `values` [net_size()]. */
void naive_training_init(struct naive_training *ret_training, const struct net *net,
                         const float *values);
void naive_training_done(struct naive_training *training);

/* One step on a batch; returns the loss: mean over both directions, nats per prediction. */
double naive_training_step(struct naive_training *training, const struct bilm_batch *batch,
                           const struct naive_step *step);

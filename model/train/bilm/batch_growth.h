#pragma once
/* Batches that grow over a run: small ones learn more of a token at first, large ones average the
 * gradient's noise away later on (Smith et al. 2018, "Don't Decay the Learning Rate, Increase the
 * Batch Size", arXiv:1711.00489). The size doubles, at equal shares of the run. No state; any
 * thread. */
#include <stddef.h>
#include <stdint.h>

struct batch_growth { /* predictions per direction and batch, from <= to */
    uint64_t from;    /* at the start of the run */
    uint64_t to;      /* at its end; the same: they do not grow */
};

/* The size where done_share (0..1) of the run is done: from, doubled after every 1 / (n + 1) of the
 * run, where n is how often it must double to reach `to`; never above `to`. */
uint64_t batch_growth_tokens(const struct batch_growth *growth, double done_share);

/* Samples of the softmax for a batch of batch_tokens, where one of growth->from has n_samples: they
 * grow with the square root of the batch, up to the n_vocab - 1 that there are beside a target. */
size_t batch_growth_samples(const struct batch_growth *growth, uint64_t batch_tokens,
                            size_t n_samples, size_t n_vocab);

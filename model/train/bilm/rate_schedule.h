#pragma once
/* The learning rate over a run, as shares of its peak: up during the first steps, constant, and
 * down to 0 in a straight line at the end. A constant rate lets a run go on for as long as anyone
 * likes; the line at the end takes what a smaller rate gives (Hägele et al. 2024,
 * arXiv:2405.18392). No clock and no state in here: the caller says how far the run is. Any thread.
 */
#include <stdint.h>

#define RATE_WARM_UP_STEPS 300  /* the longest warm-up, in steps */
#define RATE_WARM_UP_SHARE 0.05 /* the longest warm-up, as a share of the run */
#define RATE_DECAY_SHARE   0.3  /* of the run, at its end */

/* A decay of its own (pretrain --decay-tokens): over n_tokens from begin_tokens on. */
struct rate_line {
    uint64_t begin_tokens; /* of the run, where it begins */
    uint64_t n_tokens;     /* its length; 0: there is none */
    double from;           /* share of the peak at its begin: below 1 where it follows a decay */
};

/* Share of the peak in the warm-up, for the step after n_steps of a run of which done_share (0..1)
 * is done: linear until RATE_WARM_UP_STEPS or RATE_WARM_UP_SHARE, whichever comes first; then 1. */
double rate_warm_up(uint64_t n_steps, double done_share);

/* Share of the peak that the decay leaves: 1 before the last RATE_DECAY_SHARE of the run, then
 * linear to 0 at its end, and 0 after it. */
double rate_decay(double done_share);

/* How much of a line with n_tokens > 0 is done after n_tokens of the run: 0..1. */
double rate_line_done(const struct rate_line *line, uint64_t n_tokens);
/* Share of the peak on it: linear from line->from to 0. */
double rate_line_decay(const struct rate_line *line, uint64_t n_tokens);

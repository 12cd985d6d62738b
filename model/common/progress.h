#pragma once
/* How a run tells a person where it is: on a terminal one line that is rewritten, elsewhere a plain
 * line now and then, or nothing at all (quiet). The caller says what time it is, in seconds of any
 * steady clock (progress_now). One thread at a time. */
#include <stdint.h>
#include <stdio.h>

#include "defs.h"

struct progress_state {
    const char *phase; /* "train", "held-out", ... */
    uint64_t step, epoch;
    double epoch_share; /* 0..1 of this epoch's data done; NAN: no steps and epochs are told */
    double loss;        /* NAN: not known yet */
    uint64_t n_tokens;  /* done since the run began, resumed runs included; fewer than before:
                           another job begins, with a speed and a time left of its own */
    double done_share;  /* 0..1 of the whole run; NAN: it has no end */
};

struct progress {
    FILE *out; /* borrowed; NULL: quiet */
    bool rewrites;
    double interval_s, shown_s;
    size_t n_shown; /* columns of the line that stands there */
    double begin_s, begin_share, last_s;
    uint64_t last_tokens;
    double tokens_per_s; /* smoothed over about half a minute; 0 before the second state */
    bool started;
};

/* out: NULL for --quiet; is it a terminal, the line is rewritten up to 5 times a second, else a
 * line is printed every plain_interval_s seconds. */
void progress_init(struct progress *progress, FILE *out, double plain_interval_s);
double progress_now(void);

/* Call after every step: it prints when it is time to. */
void progress_update(struct progress *progress, double now_s, const struct progress_state *state);
/* Takes the rewritten line away; the next update shows it again. For printing something else. */
void progress_clear(struct progress *progress);
/* Shows the last state, whatever the interval, and ends the line. */
void progress_end(struct progress *progress, double now_s, const struct progress_state *state);

/* "1:02:03", or "3d 04:05" from a day on; "?" if it is not finite. Returns buf. */
const char *progress_duration(char *buf, size_t buf_bytes, double seconds);

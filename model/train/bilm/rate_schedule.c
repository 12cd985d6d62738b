#include "rate_schedule.h"

#include <math.h>

double rate_warm_up(uint64_t n_steps, double done_share)
{
    double by_steps = (double)(n_steps + 1) / RATE_WARM_UP_STEPS,
           by_share = done_share / RATE_WARM_UP_SHARE;
    return fmin(1, fmax(by_steps, by_share));
}

double rate_decay(double done_share)
{
    return fmax(0, fmin(1, (1 - done_share) / RATE_DECAY_SHARE));
}

double rate_line_done(const struct rate_line *line, uint64_t n_tokens)
{
    if (n_tokens <= line->begin_tokens)
        return 0;
    return fmin(1, (double)(n_tokens - line->begin_tokens) / (double)line->n_tokens);
}

double rate_line_decay(const struct rate_line *line, uint64_t n_tokens)
{
    return line->from * (1 - rate_line_done(line, n_tokens));
}

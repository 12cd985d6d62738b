#include "batch_growth.h"

#include <math.h>

static unsigned n_doublings(const struct batch_growth *growth)
{
    unsigned n = 0;
    for (uint64_t size = growth->from; size < growth->to; n++)
        size = size > growth->to / 2 ? growth->to : 2 * size;
    return n;
}

uint64_t batch_growth_tokens(const struct batch_growth *growth, double done_share)
{
    uint64_t size = growth->from;
    unsigned n = n_doublings(growth);
    for (unsigned k = 1; k <= n && done_share * (n + 1) >= k; k++)
        size = size > growth->to / 2 ? growth->to : 2 * size;
    return size;
}

size_t batch_growth_samples(const struct batch_growth *growth, uint64_t batch_tokens,
                            size_t n_samples, size_t n_vocab)
{
    double wanted = round((double)n_samples * sqrt((double)batch_tokens / (double)growth->from));
    return wanted < (double)n_vocab ? (size_t)wanted : n_vocab - 1;
}

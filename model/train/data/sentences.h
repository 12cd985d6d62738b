#pragma once
/* Where sentences end, as far as the tokens tell: after '.', '!' or '?' and the closing quotes and
 * brackets that follow. A straight quote closes what another one of its paragraph opened. Works on
 * both tokenisers: a token may be the mark alone or end in it ("end."). */
#include "corpus.h"

/* A bit per token of the corpus, set for the last of each sentence and of each line: token k is bit
 * k % 8 of byte k / 8. free() it; NULL: out of memory. */
uint8_t *sentences_find(const struct corpus *corpus);

static inline bool sentences_ends_at(const uint8_t *ends, size_t token)
{
    return ends[token / 8] >> token % 8 & 1;
}

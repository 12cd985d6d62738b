#include "sentences.h"

#include <string.h>

enum word_kind {
    ORDINARY,
    ENDS,  /* an ordinary word with a mark at its end: "end." */
    MARKS, /* nothing but marks and what closes */
    CLOSES,
    QUOTES_ONCE,
    QUOTES_TWICE,
};

static const char *const closers[] = {"\"", "'", ")", "]", "\u2019", "\u201d", "\u00bb"};

/* Bytes of the closing mark that [bytes, n_bytes) ends in; 0: none. */
static size_t closer_bytes(const char *bytes, size_t n_bytes)
{
    for (size_t k = 0; k < ARRAY_LEN(closers); k++) {
        size_t n = strlen(closers[k]);
        if (n_bytes >= n && !memcmp(bytes + n_bytes - n, closers[k], n))
            return n;
    }
    return 0;
}

static enum word_kind kind_of(const struct elmo_token *word)
{
    size_t n = word->n_bytes;
    if (n == 1 && word->bytes[0] == '\'')
        return QUOTES_ONCE;
    if (n == 1 && word->bytes[0] == '"')
        return QUOTES_TWICE;
    for (size_t closer; (closer = closer_bytes(word->bytes, n));)
        n -= closer;
    if (!n)
        return CLOSES;
    size_t n_before = n;
    while (n_before && memchr(".!?", word->bytes[n_before - 1], 3))
        n_before--;
    return n_before == n ? ORDINARY : n_before ? ENDS : MARKS;
}

static void mark_line(uint8_t *ends, const uint8_t *kinds, const uint32_t *tokens, size_t begin,
                      size_t end)
{
    bool quote_open[2] = {false, false}, ended = false;
    for (size_t k = begin; k < end; k++) {
        enum word_kind kind = kinds[tokens[k]];
        bool closes = kind == CLOSES;
        if (kind == QUOTES_ONCE || kind == QUOTES_TWICE) {
            bool *open = &quote_open[kind == QUOTES_TWICE];
            closes = *open;
            *open = !*open;
        }
        bool goes_on = kind == MARKS || closes;
        if (ended && !goes_on)
            ends[(k - 1) / 8] |= (uint8_t)(1u << (k - 1) % 8);
        ended = kind == ENDS || kind == MARKS || (ended && closes);
    }
    ends[(end - 1) / 8] |= (uint8_t)(1u << (end - 1) % 8);
}

uint8_t *sentences_find(const struct corpus *c)
{
    AUTO(mem_free) uint8_t *kinds = malloc(c->n_words);
    uint8_t *ends = calloc(c->n_tokens / 8 + 1, 1);
    if (!kinds || !ends) {
        free(ends);
        return NULL;
    }
    for (size_t k = 0; k < c->n_words; k++)
        kinds[k] = (uint8_t)kind_of(&c->words[k]);
    for (size_t k = 0; k < c->n_lines; k++)
        mark_line(ends, kinds, c->tokens, c->line_begins[k], c->line_begins[k + 1]);
    return ends;
}

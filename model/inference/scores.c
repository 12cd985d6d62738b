#include "scores.h"

#include "text/vocabulary.h"

size_t scores_rows(const struct elmo_sentence *s)
{
    size_t n = 0;
    for (unsigned direction = 0; direction < 2; direction++)
        n += s->log_probs[direction] ? s->n_tokens + 1 : 0;
    return n;
}

/* The token that a direction's row predicts; n_tokens: the sentence's end. */
static size_t token_of(const struct elmo_sentence *s, unsigned direction, size_t row)
{
    size_t n = s->n_tokens;
    return direction && row < n ? n - 1 - row : row;
}

void scores_words(uint32_t *words, const struct elmo_sentence *s, const struct language_model *lm)
{
    static const uint32_t ends[2] = {VOCAB_EOS, VOCAB_BOS};
    for (unsigned direction = 0; direction < 2; direction++) {
        if (!s->log_probs[direction])
            continue;
        for (size_t row = 0; row < s->n_tokens; row++)
            *words++ = language_model_row(lm, &s->tokens[token_of(s, direction, row)]);
        *words++ = ends[direction];
    }
}

void scores_hand_out(const struct elmo_sentence *s, const float *scores)
{
    for (unsigned direction = 0; direction < 2; direction++) {
        if (!s->log_probs[direction])
            continue;
        for (size_t row = 0; row <= s->n_tokens; row++)
            s->log_probs[direction][token_of(s, direction, row)] = *scores++;
    }
}

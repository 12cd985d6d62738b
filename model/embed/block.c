#include "block.h"

#include "error.h"

void line_sentence(const struct line *line, const char **ret_text, size_t *ret_n_bytes)
{
    const struct elmo_token *first = line->tokens, *last = line->tokens + line->n_tokens;
    *ret_text = line->n_tokens ? first->bytes : line->text;
    *ret_n_bytes = line->n_tokens ? (size_t)(last[-1].bytes + last[-1].n_bytes - first->bytes) : 0;
}

void line_done(struct line *line)
{
    free(line->text);
    free(line->tokens);
    *line = (struct line){0};
}

int block_reserve(struct block *b, struct elmo_error *err)
{
    size_t n_bytes;
    if (b->n_values <= b->capacity)
        return 0;
    free(b->values);
    b->capacity = 0;
    b->values = mul_ok(b->n_values, sizeof *b->values, &n_bytes) ? malloc(n_bytes) : NULL;
    if (!b->values)
        return elmo_fail_nomem(err);
    b->capacity = b->n_values;
    return 0;
}

void block_clear(struct block *b)
{
    for (size_t k = 0; k < b->n_lines; k++)
        line_done(&b->lines[k]);
    b->n_lines = b->n_tokens = b->n_values = 0;
}

void block_done(struct block *b)
{
    block_clear(b);
    free(b->values);
    b->values = NULL;
}

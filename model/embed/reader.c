#include "reader.h"

#include <string.h>

#include "common/text_source.h"
#include "error.h"

struct reader {
    struct reader_settings settings;
    struct text_source *source;
    struct mark at;      /* behind the lines that were handed out */
    uint64_t n_read;     /* lines read: one more than that may wait */
    struct line waiting; /* read, did not fit the block before */
    bool has_waiting;
    struct elmo_error err; /* of the line behind the waiting one */
};

int reader_open(struct reader **ret_reader, const struct reader_settings *settings,
                struct elmo_error *err)
{
    AUTO(reader_free) struct reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return elmo_fail_nomem(err);
    reader->settings = *settings;
    sha256_begin(&reader->at.prefix);
    int r = text_source_open(&reader->source, settings->path, TEXT_SOURCE_MAX_LINE, err);
    if (r)
        return r;
    *ret_reader = STEAL(reader);
    return 0;
}

void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    line_done(&reader->waiting);
    text_source_free(reader->source);
    free(reader);
}

static int fail_at(const struct reader *reader, int status, const char *what,
                   struct elmo_error *err)
{
    const char *path = reader->settings.path;
    return elmo_fail(err, status, "'%.200s', line %llu: %s",
                     strcmp(path, "-") ? path : "standard input",
                     (unsigned long long)reader->n_read, what);
}

/* ---- One line ---- */

/* The next line that is this shard's; NULL after the last one. Only its first piece is looked at:
 * *ret_whole says whether that is all. */
static int next_text(struct reader *reader, char **ret_text, size_t *ret_n_bytes, bool *ret_whole,
                     struct elmo_error *err)
{
    for (;;) {
        bool goes_on = text_source_goes_on(reader->source);
        int r = text_source_next(reader->source, ret_text, ret_n_bytes, err);
        if (r || !*ret_text)
            return r;
        if (goes_on)
            continue;
        *ret_whole = !text_source_goes_on(reader->source);
        if (reader->n_read++ % reader->settings.n_shards == reader->settings.shard)
            return 0;
    }
}

static int take_tokens(struct reader *reader, struct line *line, struct elmo_error *err)
{
    const struct reader_settings *s = &reader->settings;
    int r = tokenize(s->tokenizer, line->text, line->n_bytes, &line->tokens, &line->n_tokens, NULL);
    if (r == ELMO_E_UTF8)
        return fail_at(reader, r, "not valid UTF-8", err);
    if (r)
        return elmo_fail_nomem(err);
    if (!line->n_tokens && !s->keep_empty)
        return fail_at(reader, ELMO_E_FORMAT,
                       "empty (--empty-lines keep makes it one without rows)", err);
    if (line->n_tokens > s->max_tokens)
        return fail_at(reader, ELMO_E_FORMAT, "more tokens than --max-tokens", err);
    return 0;
}

/* Into reader->waiting; has_waiting stays false at the end of the input. */
static int read_line(struct reader *reader, struct elmo_error *err)
{
    char *text;
    size_t n_bytes = 0;
    bool whole = true;
    int r = next_text(reader, &text, &n_bytes, &whole, err);
    if (r || !text)
        return r;
    if (!whole)
        return fail_at(reader, ELMO_E_FORMAT, "longer than 1 MiB", err);
    struct line line = {.number = reader->n_read - 1, .text = malloc(n_bytes + 1)};
    if (!line.text)
        return elmo_fail_nomem(err);
    memcpy(line.text, text, n_bytes);
    line.text[n_bytes] = '\0';
    line.n_bytes = n_bytes;
    r = take_tokens(reader, &line, err);
    if (r) {
        line_done(&line);
        return r;
    }
    reader->waiting = line;
    reader->has_waiting = true;
    return 0;
}

/* ---- Marks ---- */

static void add_to_prefix(struct sha256 *prefix, uint64_t number, const char *text, size_t n_bytes)
{
    uint64_t head[2] = {number, n_bytes};
    sha256_add(prefix, head, sizeof head);
    sha256_add(prefix, text, n_bytes);
}

struct mark reader_begin(const struct reader *reader)
{
    return reader->at;
}

int reader_skip(struct reader *reader, uint64_t n_lines, const char *prefix_hex,
                struct mark *ret_mark, struct elmo_error *err)
{
    const struct reader_settings *s = &reader->settings;
    char found[SHA256_HEX_BYTES];
    char *text = NULL;
    size_t n_bytes;
    bool whole;
    /* The last line before a mark is this shard's: shard, shard + n_shards, ... */
    for (uint64_t number = s->shard; number < n_lines; number += s->n_shards) {
        int r = next_text(reader, &text, &n_bytes, &whole, err);
        if (r)
            return r;
        if (!text)
            break;
        add_to_prefix(&reader->at.prefix, number, text, n_bytes);
    }
    struct sha256 copy = reader->at.prefix;
    sha256_end(&copy, found);
    if (reader->n_read != n_lines || strcmp(found, prefix_hex))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "'%.200s' does not begin with the %llu lines that the run before has done",
                         s->path, (unsigned long long)n_lines);
    reader->at.n_lines = n_lines;
    reader->at.done_share = text_source_done_share(reader->source);
    *ret_mark = reader->at;
    return 0;
}

/* ---- Blocks ---- */

static bool fits(const struct reader *reader, const struct block *b, size_t n_floats)
{
    const struct reader_settings *s = &reader->settings;
    if (!b->n_lines)
        return true;
    return b->n_lines < BLOCK_MAX_LINES && b->n_tokens < s->block_tokens &&
           n_floats <= s->block_floats && b->n_values <= s->block_floats - n_floats;
}

static void add_waiting(struct reader *reader, struct block *b, size_t n_floats)
{
    struct line *line = &b->lines[b->n_lines++];
    *line = reader->waiting;
    reader->waiting = (struct line){0};
    reader->has_waiting = false;
    line->values_at = b->n_values;
    b->n_values += n_floats;
    b->n_tokens += line->n_tokens;
    add_to_prefix(&reader->at.prefix, line->number, line->text, line->n_bytes);
    reader->at.n_lines = line->number + 1;
    reader->at.done_share = text_source_done_share(reader->source);
}

int reader_fill(struct reader *reader, struct block *block, struct elmo_error *err)
{
    while (!reader->err.status) {
        if (!reader->has_waiting && read_line(reader, &reader->err))
            break;
        if (!reader->has_waiting)
            break;
        size_t n_floats = layout_sentence_floats(reader->settings.layout, reader->waiting.n_tokens);
        if (!fits(reader, block, n_floats))
            break;
        add_waiting(reader, block, n_floats);
    }
    block->end = reader->at;
    if (!block->n_lines && reader->err.status)
        return elmo_fail(err, reader->err.status, "%s", reader->err.message);
    return 0;
}

#include "corpus.h"

#include <stdio.h>
#include <string.h>

#include "breaks.h"
#include "error.h"
#include "text/char_ids.h"
#include "util/sha256.h"

struct loader {
    const struct corpus_settings *settings;
    struct corpus corpus;
    size_t tokens_capacity, lines_capacity, counts_capacity;
    struct sha256 sha256;
};

void corpus_done(struct corpus *c)
{
    word_table_done(&c->table);
    free(c->vocab_ids);
    free(c->counts);
    free(c->tokens);
    free(c->line_begins);
    free(c->parts);
    *c = (struct corpus){0};
}

/* `array` with room for `n` items, moved if need be; NULL: out of memory, `array` is as before. */
static void *reserve(void *array, size_t *capacity, size_t n, size_t item_bytes)
{
    size_t grown = *capacity < 512 ? 512 : *capacity + *capacity / 2, n_bytes;
    if (n <= *capacity)
        return array;
    if (grown < n)
        grown = n;
    if (!mul_ok(grown, item_bytes, &n_bytes))
        return NULL;
    array = realloc(array, n_bytes);
    if (array)
        *capacity = grown;
    return array;
}

/* ---- One line ---- */

/* The word's index; WORD_NONE: out of memory. */
static uint32_t count_word(struct loader *l, const struct elmo_token *token)
{
    struct corpus *c = &l->corpus;
    uint32_t word = word_table_add(&c->table, token->bytes, token->n_bytes);
    if (word == WORD_NONE)
        return WORD_NONE;
    if (word >= l->counts_capacity) {
        size_t before = l->counts_capacity;
        uint64_t *counts =
            reserve(c->counts, &l->counts_capacity, (size_t)word + 1, sizeof *counts);
        if (!counts)
            return WORD_NONE;
        memset(counts + before, 0, (l->counts_capacity - before) * sizeof *counts);
        c->counts = counts;
    }
    c->counts[word]++;
    return word;
}

/* False: out of memory. */
static bool reserve_line(struct loader *l, size_t n_tokens)
{
    struct corpus *c = &l->corpus;
    size_t n_after;
    if (!add_ok(c->n_tokens, n_tokens, &n_after))
        return false;
    uint32_t *tokens = reserve(c->tokens, &l->tokens_capacity, n_after, sizeof *tokens);
    if (!tokens)
        return false;
    c->tokens = tokens;
    size_t *begins = reserve(c->line_begins, &l->lines_capacity, c->n_lines + 2, sizeof *begins);
    if (!begins)
        return false;
    c->line_begins = begins;
    return true;
}

static bool add_tokens(struct loader *l, const struct elmo_token *tokens, size_t n_tokens)
{
    struct corpus *c = &l->corpus;
    bool keep = !l->settings->words_only;
    if (keep && !reserve_line(l, n_tokens))
        return false;
    for (size_t k = 0; k < n_tokens; k++) {
        uint32_t word = count_word(l, &tokens[k]);
        if (word == WORD_NONE)
            return false;
        if (keep)
            c->tokens[c->n_tokens + k] = word;
    }
    c->stats.n_lines++;
    c->stats.n_tokens += n_tokens;
    if (keep) {
        c->line_begins[c->n_lines++] = c->n_tokens;
        c->n_tokens += n_tokens;
        c->line_begins[c->n_lines] = c->n_tokens;
    }
    return true;
}

static int add_line(struct loader *l, char *line, size_t n_bytes, struct elmo_error *err)
{
    sha256_add(&l->sha256, line, n_bytes);
    sha256_add(&l->sha256, "\n", 1);
    if (!l->settings->keep_breaks)
        breaks_blank(line, n_bytes);
    AUTO(mem_free) struct elmo_token *tokens = NULL;
    size_t n_tokens = 0;
    int r = tokenize(l->settings->tokenizer, line, n_bytes, &tokens, &n_tokens, NULL);
    if (r == ELMO_E_UTF8)
        l->corpus.stats.n_skipped_lines++;
    else if (r)
        return elmo_fail_nomem(err);
    else if (!n_tokens)
        l->corpus.stats.n_empty_lines++;
    else if (!add_tokens(l, tokens, n_tokens))
        return elmo_fail_nomem(err);
    return 0;
}

/* ---- The whole ---- */

static int load_file(struct loader *l, const char *path, struct elmo_error *err)
{
    struct corpus *c = &l->corpus;
    size_t begin_line = c->n_lines;
    size_t most = l->settings->max_line_bytes ? l->settings->max_line_bytes : TEXT_SOURCE_MAX_LINE;
    AUTO(text_source_free) struct text_source *source = NULL;
    int r = text_source_open(&source, path, most, err);
    char *line = NULL;
    size_t n_bytes;
    while (!r && !(r = text_source_next(source, &line, &n_bytes, err)) && line)
        r = add_line(l, line, n_bytes, err);
    if (r)
        return r;
    c->stats.n_files++;
    c->stats.n_cut_lines += text_source_n_cut(source);
    c->parts[c->n_parts++] = (struct corpus_part){begin_line, c->n_lines};
    return 0;
}

static void write_sha256(struct loader *l)
{
    sha256_end(&l->sha256, l->corpus.sha256);
}

static void *shrink(void *array, size_t n_items, size_t item_bytes)
{
    void *smaller = n_items ? realloc(array, n_items * item_bytes) : NULL;
    return smaller ? smaller : array;
}

static int finish(struct loader *l, struct elmo_error *err)
{
    struct corpus *c = &l->corpus;
    const struct vocab *vocab = l->settings->vocab;
    if (!c->stats.n_tokens && c->stats.n_skipped_lines)
        return elmo_fail(err, ELMO_E_INVALID,
                         "the corpus is empty: its %zu lines with text are not UTF-8",
                         c->stats.n_skipped_lines);
    if (!c->stats.n_tokens)
        return elmo_fail(err, ELMO_E_INVALID, "the corpus is empty: not one token in %zu files",
                         c->stats.n_files);
    c->words = c->table.items;
    c->n_words = c->table.n_items;
    c->vocab_ids = malloc(c->n_words * sizeof *c->vocab_ids);
    if (!c->vocab_ids)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < c->n_words; k++) {
        c->vocab_ids[k] =
            vocab ? vocab_find(vocab, c->words[k].bytes, c->words[k].n_bytes) : VOCAB_UNKNOWN;
        c->stats.n_unknown += c->vocab_ids[k] == VOCAB_UNKNOWN ? c->counts[k] : 0;
    }
    c->tokens = shrink(c->tokens, c->n_tokens, sizeof *c->tokens);
    c->line_begins =
        shrink(c->line_begins, c->n_lines ? c->n_lines + 1 : 0, sizeof *c->line_begins);
    write_sha256(l);
    return 0;
}

/* The marks take the first indices. */
static int start(struct loader *l, size_t n_files, struct elmo_error *err)
{
    sha256_begin(&l->sha256);
    l->corpus.parts = calloc(n_files + 1, sizeof *l->corpus.parts);
    if (!l->corpus.parts)
        return elmo_fail_nomem(err);
    if (count_word(l, &token_bos) != CORPUS_BOS || count_word(l, &token_eos) != CORPUS_EOS)
        return elmo_fail_nomem(err);
    l->corpus.counts[CORPUS_BOS] = l->corpus.counts[CORPUS_EOS] = 0;
    return 0;
}

int corpus_load(struct corpus *ret_corpus, const char *const *paths, size_t n_paths,
                const struct corpus_settings *settings, struct elmo_error *err)
{
    struct loader l = {.settings = settings};
    int r = start(&l, n_paths, err);
    for (size_t k = 0; !r && k < n_paths; k++)
        r = load_file(&l, paths[k], err);
    if (!r)
        r = finish(&l, err);
    if (r) {
        corpus_done(&l.corpus);
        return r;
    }
    *ret_corpus = l.corpus;
    return 0;
}

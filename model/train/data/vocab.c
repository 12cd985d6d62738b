#include "vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "common/text_source.h"
#include "error.h"
#include "util/text_file.h"

struct counted_word {
    const struct elmo_token *word; /* borrowed */
    uint64_t count;
};

void vocab_done(struct vocab *vocab)
{
    word_table_done(&vocab->words);
}

uint32_t vocab_find(const struct vocab *vocab, const char *bytes, size_t n_bytes)
{
    uint32_t id = word_table_find(&vocab->words, bytes, n_bytes);
    return id == WORD_NONE ? VOCAB_UNKNOWN : id;
}

/* ---- Making one ---- */

static bool is_mark(const struct elmo_token *word)
{
    for (size_t k = 0; k < VOCAB_N_MARKS; k++)
        if (word->n_bytes == vocabulary_marks[k].n_bytes &&
            !memcmp(word->bytes, vocabulary_marks[k].bytes, word->n_bytes))
            return true;
    return false;
}

/* Is it the same word to a reader that strips its lines, as bilm-tf does, and ends them at NUL? */
static bool fits_a_line(const char *bytes, size_t n_bytes)
{
    return n_bytes && (unsigned char)bytes[0] > ' ' && (unsigned char)bytes[n_bytes - 1] > ' ' &&
           !memchr(bytes, '\0', n_bytes);
}

/* The most frequent first, then by bytes: a total order, as the words are distinct. */
static int compare(const void *left, const void *right)
{
    const struct counted_word *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    size_t n_a = a->word->n_bytes, n_b = b->word->n_bytes;
    int order = memcmp(a->word->bytes, b->word->bytes, n_a < n_b ? n_a : n_b);
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

static int add(struct vocab *vocab, const struct elmo_token *word, struct elmo_error *err)
{
    if (word_table_add(&vocab->words, word->bytes, word->n_bytes) == WORD_NONE)
        return elmo_fail_nomem(err);
    return 0;
}

int vocab_build(struct vocab *ret_vocab, const struct elmo_token *words, const uint64_t *counts,
                size_t n_words, size_t size, struct elmo_error *err)
{
    size_t n_counted = 0;
    if (size <= VOCAB_N_MARKS)
        return elmo_fail(err, ELMO_E_INVALID, "a vocabulary of %zu has no room beside its %u marks",
                         size, VOCAB_N_MARKS);
    AUTO(mem_free) struct counted_word *counted = calloc(n_words + 1, sizeof *counted);
    if (!counted)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_words; k++)
        if (counts[k] && !is_mark(&words[k]) && fits_a_line(words[k].bytes, words[k].n_bytes))
            counted[n_counted++] = (struct counted_word){&words[k], counts[k]};
    if (!n_counted)
        return elmo_fail(err, ELMO_E_INVALID, "there is no word to make a vocabulary of");
    qsort(counted, n_counted, sizeof *counted, compare);
    if (n_counted > size - VOCAB_N_MARKS)
        n_counted = size - VOCAB_N_MARKS;
    __attribute__((cleanup(vocab_done))) struct vocab vocab = {0};
    int r = 0;
    for (size_t k = 0; !r && k < VOCAB_N_MARKS; k++)
        r = add(&vocab, &vocabulary_marks[k], err);
    for (size_t k = 0; !r && k < n_counted; k++)
        r = add(&vocab, counted[k].word, err);
    if (r)
        return r;
    *ret_vocab = vocab;
    vocab = (struct vocab){0};
    return 0;
}

/* ---- The file ---- */

int vocab_write(const struct vocab *vocab, const char *path, struct elmo_error *err)
{
    AUTO(mem_free) char *text = NULL;
    size_t n_bytes;
    FILE *out = open_memstream(&text, &n_bytes);
    if (!out)
        return elmo_fail_nomem(err);
    for (size_t id = 0; id < vocab->words.n_items; id++) {
        const struct elmo_token *word = &vocab->words.items[id];
        fwrite(word->bytes, 1, word->n_bytes, out);
        putc('\n', out);
    }
    bool failed = ferror(out);
    if (fclose(out) || failed)
        return elmo_fail_nomem(err);
    return text_file_write(path, text, err);
}

/* Adds line `id` of the file. */
static int add_line(struct vocab *vocab, const char *path, const char *line, size_t n_bytes,
                    struct elmo_error *err)
{
    size_t id = vocab->words.n_items;
    const char *fault = NULL;
    if (id < VOCAB_N_MARKS && (n_bytes != vocabulary_marks[id].n_bytes ||
                               memcmp(line, vocabulary_marks[id].bytes, n_bytes)))
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s': line %zu must be %s", path, id + 1,
                         vocabulary_marks[id].bytes);
    if (!n_bytes)
        fault = "is empty";
    else if (u8_check((const uint8_t *)line, n_bytes))
        fault = "is not UTF-8";
    else if (!fits_a_line(line, n_bytes))
        fault = "has white space around the word, or a NUL";
    else if (word_table_find(&vocab->words, line, n_bytes) != WORD_NONE)
        fault = "has a word that was there before";
    if (fault)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s': line %zu %s", path, id + 1, fault);
    return add(vocab, &(struct elmo_token){line, n_bytes}, err);
}

int vocab_read(struct vocab *ret_vocab, const char *path, struct elmo_error *err)
{
    AUTO(text_source_free) struct text_source *source = NULL;
    __attribute__((cleanup(vocab_done))) struct vocab vocab = {0};
    int r = text_source_open(&source, path, TEXT_SOURCE_MAX_LINE, err);
    char *line = NULL;
    size_t n_bytes;
    while (!r && !(r = text_source_next(source, &line, &n_bytes, err)) && line)
        r = add_line(&vocab, path, line, n_bytes, err);
    if (r)
        return r;
    if (text_source_n_cut(source))
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' has a line over %zu bytes", path,
                         TEXT_SOURCE_MAX_LINE);
    if (vocab.words.n_items <= VOCAB_N_MARKS)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' has no word", path);
    *ret_vocab = vocab;
    vocab = (struct vocab){0};
    return 0;
}

#include "word_vectors_build.h"

#include <string.h>

#include "error.h"
#include "word_vectors_text.h"

#define STOP_LINES 1024u /* the flag is looked at so often */

struct builder {
    struct word_vectors_text text;
    struct word_table words;
    uint32_t *row_hashes; /* [capacity] */
    float *rows;          /* [capacity, dim]; NULL where there is a stream */
    size_t capacity;
    float *row; /* [dim]: of the current line */
    uint64_t n_repeated;
    FILE *out;
};

static void builder_done(struct builder *b)
{
    word_table_done(&b->words);
    free(b->row_hashes);
    free(b->rows);
    free(b->row);
}

static bool resize(void *array_ptr, size_t n, size_t item_bytes)
{
    void *old, *resized;
    size_t n_bytes;
    memcpy(&old, array_ptr, sizeof old);
    if (!mul_ok(n, item_bytes, &n_bytes) || !(resized = realloc(old, n_bytes)))
        return false;
    memcpy(array_ptr, &resized, sizeof resized);
    return true;
}

/* Room for one word more. Large blocks grow without being copied (mremap). */
static bool grow(struct builder *b)
{
    size_t capacity = b->capacity ? b->capacity : 512;
    if (b->words.n_items < b->capacity)
        return true;
    if (!mul_ok(capacity, 2, &capacity) ||
        !resize(&b->row_hashes, capacity, sizeof *b->row_hashes) ||
        (!b->out && !resize(&b->rows, capacity, b->text.dim * sizeof *b->rows)))
        return false;
    b->capacity = capacity;
    return true;
}

/* Takes the current line; false: out of memory. */
static bool add_word(struct builder *b, const struct elmo_token *word)
{
    size_t index = b->words.n_items, dim = b->text.dim;
    if (!grow(b) || word_table_add(&b->words, word->bytes, word->n_bytes) == WORD_NONE)
        return false;
    if (b->words.n_items == index) { /* it was there */
        b->n_repeated++;
        return true;
    }
    b->row_hashes[index] = word_vectors_row_hash(b->row, dim);
    if (b->out)
        fwrite(b->row, sizeof *b->row, dim, b->out);
    else
        memcpy(b->rows + index * dim, b->row, dim * sizeof *b->row);
    return true;
}

static int read_words(struct builder *b, const atomic_int *stop, struct elmo_error *err)
{
    b->row = calloc(b->text.dim, sizeof *b->row);
    if (!b->row)
        return elmo_fail_nomem(err);
    for (size_t n = 0;; n++) {
        struct elmo_token word;
        if (stop && n % STOP_LINES == 0 && atomic_load(stop))
            return elmo_fail(err, ELMO_E_IO, "'%.200s': told to stop", b->text.path);
        int r = word_vectors_text_next(&b->text, &word, b->row, err);
        if (r || word.n_bytes == 0)
            return r;
        if (!add_word(b, &word))
            return elmo_fail_nomem(err);
    }
}

/* The tables as a cache has them; false: out of memory. */
static bool make_tables(struct word_vectors_build *ret, struct builder *b)
{
    const struct word_table *words = &b->words;
    uint64_t at = 0;
    for (size_t k = 0; k < words->n_items; k++)
        at += words->items[k].n_bytes;
    ret->text = malloc((size_t)at);
    ret->entries = calloc(words->n_items, sizeof *ret->entries);
    if (!ret->text || !ret->entries)
        return false;
    at = 0;
    for (size_t k = 0; k < words->n_items; k++) {
        const struct elmo_token *word = &words->items[k];
        ret->entries[k] =
            (struct word_vectors_entry){at, (uint32_t)word->n_bytes, b->row_hashes[k]};
        memcpy(ret->text + at, word->bytes, word->n_bytes);
        at += word->n_bytes;
    }
    ret->header = (struct word_vectors_header){
        .dim = (uint32_t)b->text.dim,
        .n_words = words->n_items,
        .n_slots = words->n_slots,
        .n_text_bytes = at,
        .n_left_out = b->text.n_left_out,
        .first_left_out = b->text.first_left_out,
        .n_repeated = b->n_repeated,
    };
    ret->slots = STEAL(b->words.slots);
    return true;
}

static int build(struct word_vectors_build *ret, struct builder *b, const atomic_int *stop,
                 struct elmo_error *err)
{
    int r = read_words(b, stop, err);
    if (r)
        return r;
    if (b->words.n_items == 0)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' holds no words", b->text.path);
    if (!make_tables(ret, b))
        return elmo_fail_nomem(err);
    if (b->rows)
        resize(&b->rows, b->words.n_items, b->text.dim * sizeof *b->rows); /* less is as good */
    ret->rows = STEAL(b->rows);
    return 0;
}

int word_vectors_build(struct word_vectors_build *ret_build, const char *path,
                       const atomic_int *stop, FILE *out, struct elmo_error *err)
{
    struct mapped_file file;
    struct builder b = {.out = out};
    struct word_vectors_build made = {0};
    int r = mapped_file_open(&file, path, err);
    if (r)
        return r;
    r = word_vectors_text_begin(&b.text, path, file.bytes, file.n_bytes, err);
    if (!r)
        r = build(&made, &b, stop, err);
    builder_done(&b);
    mapped_file_close(&file);
    if (r)
        word_vectors_build_done(&made);
    else
        *ret_build = made;
    return r;
}

void word_vectors_build_done(struct word_vectors_build *build)
{
    free(build->entries);
    free(build->slots);
    free(build->text);
    free(build->rows);
    *build = (struct word_vectors_build){0};
}

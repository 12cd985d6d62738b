#include "sentence_index.h"

#include <stdio.h>
#include <string.h>

#include "error.h"

/* An HDF5 string of variable length counts its bytes in 32 bits. */
#define HDF5_STRING_MAX UINT32_MAX
#define NUMBER_BYTES    64 /* the punctuation and the number of an entry */

int sentence_index_open(struct sentence_index *ret_index, const char *path, uint64_t max_bytes,
                        const struct sentence_index_mark *mark, struct elmo_error *err)
{
    struct sentence_index index = {.max_bytes = max_bytes ? max_bytes : HDF5_STRING_MAX,
                                   .object_begin = mark->object_begin,
                                   .n_objects = mark->n_objects};
    int r = append_file_open(&index.file, path, mark->n_bytes, err);
    if (!r && !index.n_objects) {
        index.n_objects = 1;
        r = append_file_write(&index.file, "{", 1, err);
    }
    if (r)
        sentence_index_done(&index);
    else
        *ret_index = index;
    return r;
}

void sentence_index_done(struct sentence_index *index)
{
    append_file_done(&index->file);
    free(index->entry);
    index->entry = NULL;
}

/* ---- JSON as json.dumps writes it: ASCII alone ---- */

static char *put_escaped(char *to, unsigned code)
{
    static const char digits[] = "0123456789abcdef";
    *to++ = '\\';
    *to++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *to++ = digits[code >> shift & 15];
    return to;
}

static char *put_ascii(char *to, char c)
{
    static const char plain[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
    const char *found = c ? strchr(plain, c) : NULL;
    if (found) {
        *to++ = '\\';
        *to++ = letters[found - plain];
        return to;
    }
    if (c < 0x20 || c == 0x7f)
        return put_escaped(to, (unsigned char)c);
    *to++ = c;
    return to;
}

/* The code point at valid UTF-8 whose first byte is above 0x7f; *ret_n: its bytes. */
static unsigned code_point(const char *text, size_t *ret_n)
{
    unsigned char first = (unsigned char)text[0];
    size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    unsigned code = first & (0xffu >> (n + 1));
    for (size_t k = 1; k < n; k++)
        code = code << 6 | ((unsigned char)text[k] & 0x3fu);
    *ret_n = n;
    return code;
}

/* At most 6 bytes a byte of text. */
static char *put_text(char *to, const char *text, size_t n_bytes)
{
    for (size_t at = 0, n; at < n_bytes; at += n) {
        n = 1;
        if (!((unsigned char)text[at] & 0x80)) {
            to = put_ascii(to, text[at]);
            continue;
        }
        unsigned code = code_point(text + at, &n);
        if (code >= 0x10000) {
            code -= 0x10000;
            to = put_escaped(to, 0xd800 + (code >> 10));
            code = 0xdc00 + (code & 0x3ff);
        }
        to = put_escaped(to, code);
    }
    return to;
}

static int reserve(struct sentence_index *index, size_t n_bytes, struct elmo_error *err)
{
    size_t needed;
    if (!mul_ok(n_bytes, 6, &needed) || !add_ok(needed, NUMBER_BYTES, &needed))
        return elmo_fail_nomem(err);
    if (needed <= index->entry_bytes)
        return 0;
    char *entry = realloc(index->entry, needed);
    if (!entry)
        return elmo_fail_nomem(err);
    index->entry = entry;
    index->entry_bytes = needed;
    return 0;
}

/* ---- Entries ---- */

/* Makes room for an entry in the last object; *ret_first: it will be the first one there. */
static int choose_object(struct sentence_index *index, size_t entry_bytes, bool *ret_first,
                         struct elmo_error *err)
{
    uint64_t n_bytes = index->file.n_bytes - index->object_begin;
    *ret_first = n_bytes == 1;
    if (*ret_first || n_bytes + entry_bytes + sizeof ", }" - 1 <= index->max_bytes)
        return 0;
    int r = append_file_write(&index->file, "}\n{", 3, err);
    index->object_begin = index->file.n_bytes - 1;
    index->n_objects++;
    *ret_first = true;
    return r;
}

int sentence_index_add(struct sentence_index *index, const char *text, size_t n_bytes,
                       uint64_t number, struct elmo_error *err)
{
    bool first;
    int r = reserve(index, n_bytes, err);
    if (r)
        return r;
    char *end = index->entry;
    *end++ = '"';
    end = put_text(end, text, n_bytes);
    end += snprintf(end, NUMBER_BYTES - 1, "\": \"%llu\"", (unsigned long long)number);
    size_t entry_bytes = (size_t)(end - index->entry);
    r = choose_object(index, entry_bytes, &first, err);
    if (!r && !first)
        r = append_file_write(&index->file, ", ", 2, err);
    return r ? r : append_file_write(&index->file, index->entry, entry_bytes, err);
}

struct sentence_index_mark sentence_index_mark(const struct sentence_index *index)
{
    return (struct sentence_index_mark){index->file.n_bytes, index->object_begin, index->n_objects};
}

int sentence_index_finish(struct sentence_index *index, struct elmo_error *err)
{
    int r = append_file_write(&index->file, "}\n", 2, err);
    return r ? r : append_file_sync(&index->file, err);
}

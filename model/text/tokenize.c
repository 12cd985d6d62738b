#include "tokenize.h"

#include <string.h>
#include <unictype.h>
#include <unistr.h>
#include <uniwbrk.h>

#include "defs.h"
#include "error.h"

struct token_list {
    struct elmo_token *items; /* owned */
    size_t n_items, capacity;
};

bool tokenizer_from_name(enum tokenizer *ret_tokenizer, const char *name)
{
    bool whitespace = !strcmp(name, "whitespace");
    if (!whitespace && strcmp(name, "unicode"))
        return false;
    *ret_tokenizer = whitespace ? TOKENIZER_WHITESPACE : TOKENIZER_UNICODE;
    return true;
}

const char *tokenizer_name(enum tokenizer tokenizer)
{
    return tokenizer == TOKENIZER_UNICODE ? "unicode" : "whitespace";
}

static int append(struct token_list *list, const char *bytes, size_t n_bytes)
{
    if (list->n_items == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 32, n;
        if (!mul_ok(capacity, sizeof *list->items, &n))
            return ELMO_E_NOMEM;
        struct elmo_token *items = realloc(list->items, n);
        if (!items)
            return ELMO_E_NOMEM;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n_items++] = (struct elmo_token){bytes, n_bytes};
    return 0;
}

/* The code point at text[at], and the bytes that it takes. */
static size_t code_point_at(const char *text, size_t n_bytes, size_t at, ucs4_t *ret)
{
    return (size_t)u8_mbtouc_unsafe(ret, (const uint8_t *)text + at, n_bytes - at);
}

static int split_at_white_space(struct token_list *list, const char *text, size_t n_bytes)
{
    size_t begin = 0, n = 0;
    for (size_t at = 0; at < n_bytes; at += n) {
        ucs4_t c;
        n = code_point_at(text, n_bytes, at, &c);
        if (!uc_is_property_white_space(c))
            continue;
        if (at > begin && append(list, text + begin, at - begin))
            return ELMO_E_NOMEM;
        begin = at + n;
    }
    return begin < n_bytes ? append(list, text + begin, n_bytes - begin) : 0;
}

/* Is there anything but white space and control characters in it? */
static bool has_visible(const char *segment, size_t n_bytes)
{
    for (size_t at = 0, n; at < n_bytes; at += n) {
        ucs4_t c;
        n = code_point_at(segment, n_bytes, at, &c);
        if (!uc_is_property_white_space(c) && !uc_is_property_iso_control(c))
            return true;
    }
    return false;
}

static int split_at_word_boundaries(struct token_list *list, const char *text, size_t n_bytes)
{
    AUTO(mem_free) char *boundary = malloc(n_bytes + 1); /* [k]: one before text[k] */
    if (!boundary)
        return ELMO_E_NOMEM;
    u8_wordbreaks((const uint8_t *)text, n_bytes, boundary);
    boundary[n_bytes] = 1;
    for (size_t begin = 0, at = 1; at <= n_bytes; at++) {
        if (!boundary[at])
            continue;
        if (has_visible(text + begin, at - begin) && append(list, text + begin, at - begin))
            return ELMO_E_NOMEM;
        begin = at;
    }
    return 0;
}

int tokenize(enum tokenizer tokenizer, const char *text, size_t n_bytes,
             struct elmo_token **ret_tokens, size_t *ret_n_tokens, struct elmo_error *err)
{
    struct token_list list = {0};
    if (n_bytes && u8_check((const uint8_t *)text, n_bytes))
        return elmo_fail(err, ELMO_E_UTF8, "the text is not valid UTF-8");
    int r = 0;
    if (n_bytes && tokenizer == TOKENIZER_WHITESPACE)
        r = split_at_white_space(&list, text, n_bytes);
    else if (n_bytes)
        r = split_at_word_boundaries(&list, text, n_bytes);
    if (r) {
        free(list.items);
        return elmo_fail_nomem(err);
    }
    *ret_tokens = list.items;
    *ret_n_tokens = list.n_items;
    return 0;
}

/* How many units the code points of text[from, to) take. */
static size_t count_units(const char *text, size_t from, size_t to, enum elmo_offset_unit unit)
{
    size_t n = 0;
    for (size_t at = from; at < to; at++) {
        unsigned char byte = (unsigned char)text[at];
        bool starts_code_point = (byte & 0xc0) != 0x80;
        n += starts_code_point;
        n += unit == ELMO_OFFSET_UTF16 && byte >= 0xf0; /* a surrogate pair */
    }
    return unit == ELMO_OFFSET_BYTES ? to - from : n;
}

void elmo_token_offsets(const char *text, const struct elmo_token *tokens, size_t n_tokens,
                        enum elmo_offset_unit unit, size_t (*ret_offsets)[2])
{
    size_t at = 0, units = 0;
    for (size_t k = 0; k < n_tokens; k++) {
        size_t begin = (size_t)(tokens[k].bytes - text), end = begin + tokens[k].n_bytes;
        units += count_units(text, at, begin, unit);
        ret_offsets[k][0] = units;
        units += count_units(text, begin, end, unit);
        ret_offsets[k][1] = units;
        at = end;
    }
}

/* Strings first (escaping, invalid UTF-8), then keys and members, numbers, and vectors as numbers
 * or base64. The writer appends to a buffer and keeps one bit of state: whether a comma is due. */
#include "json_write.h"

#include <stdio.h>
#include <string.h>
#include <unistr.h>

#include "base64.h"
#include "float_text.h"
#include "util/little_endian.h"

/* Values of a vector written at once. More would reserve too much room in advance. */
#define CHUNK_VALUES 384
/* Longer strings are not scanned before they are written. */
#define PLAIN_MAX 256

static void begin_value(struct json_writer *w)
{
    if (w->comma)
        buffer_append_char(w->out, ',');
    w->comma = true;
}

static void open_nesting(struct json_writer *w, char bracket)
{
    begin_value(w);
    buffer_append_char(w->out, bracket);
    w->comma = false;
}

static void close_nesting(struct json_writer *w, char bracket)
{
    buffer_append_char(w->out, bracket);
    w->comma = true;
}

void json_write_object_begin(struct json_writer *w)
{
    open_nesting(w, '{');
}

void json_write_object_end(struct json_writer *w)
{
    close_nesting(w, '}');
}

void json_write_array_begin(struct json_writer *w)
{
    open_nesting(w, '[');
}

void json_write_array_end(struct json_writer *w)
{
    close_nesting(w, ']');
}

static bool needs_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* Whether the text is ASCII without characters to escape, which is the common case. */
static bool is_plain(const char *bytes, size_t n_bytes)
{
    unsigned others = 0;
    for (size_t i = 0; i < n_bytes;
         i++) /* no early exit, so that the compiler vectorises the loop */
        others |= needs_escape((unsigned char)bytes[i]) | ((unsigned char)bytes[i] >> 7);
    return others == 0;
}

static void append_escape(struct buffer *out, unsigned char c)
{
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char letter = c < sizeof letters ? letters[c] : (char)c;
    if (letter)
        buffer_append(out, (char[]){'\\', letter}, 2);
    else
        buffer_printf(out, "\\u%04x", c);
}

/* Writes valid UTF-8 with escapes. Runs of plain bytes are copied at once. */
static void append_escaped(struct buffer *out, const char *bytes, size_t n_bytes)
{
    size_t start = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (!needs_escape(c))
            continue;
        buffer_append(out, bytes + start, i - start);
        append_escape(out, c);
        start = i + 1;
    }
    buffer_append(out, bytes + start, n_bytes - start);
}

static void append_unquoted(struct buffer *out, const char *bytes, size_t n_bytes)
{
    const char *end = bytes + n_bytes;
    while (bytes < end) {
        const uint8_t *invalid = u8_check((const uint8_t *)bytes, (size_t)(end - bytes));
        const char *valid_end = invalid ? (const char *)invalid : end;
        append_escaped(out, bytes, (size_t)(valid_end - bytes));
        bytes = valid_end;
        if (invalid) {
            buffer_append_text(out, "\xef\xbf\xbd"); /* U+FFFD */
            bytes++;
        }
    }
}

/* Writes a plain string at once, with its quotes, the comma before it and the colon after a key. */
static void append_plain(struct json_writer *w, const char *bytes, size_t n_bytes, bool is_key)
{
    char *dst = buffer_reserve(w->out, n_bytes + 4);
    size_t n = 0;
    if (!dst)
        return;
    if (w->comma)
        dst[n++] = ',';
    dst[n++] = '"';
    memcpy(dst + n, bytes, n_bytes);
    n += n_bytes;
    dst[n++] = '"';
    if (is_key)
        dst[n++] = ':';
    buffer_commit(w->out, n);
}

static void append_string(struct json_writer *w, const char *bytes, size_t n_bytes, bool is_key)
{
    if (n_bytes <= PLAIN_MAX && is_plain(bytes, n_bytes)) {
        append_plain(w, bytes, n_bytes, is_key);
    } else {
        json_write_string_begin(w);
        append_unquoted(w->out, bytes, n_bytes);
        json_write_string_end(w);
        if (is_key)
            buffer_append_char(w->out, ':');
    }
    w->comma = !is_key;
}

void json_write_key(struct json_writer *w, const char *key)
{
    append_string(w, key, strlen(key), true);
}

void json_write_string(struct json_writer *w, const char *bytes, size_t n_bytes)
{
    append_string(w, bytes, n_bytes, false);
}

void json_write_string_begin(struct json_writer *w)
{
    begin_value(w);
    buffer_append_char(w->out, '"');
}

void json_write_string_part(struct json_writer *w, const char *bytes, size_t n_bytes)
{
    append_unquoted(w->out, bytes, n_bytes);
}

void json_write_string_end(struct json_writer *w)
{
    buffer_append_char(w->out, '"');
}

void json_write_text(struct json_writer *w, const char *text)
{
    if (text)
        json_write_string(w, text, strlen(text));
    else
        json_write_null(w);
}

void json_write_raw(struct json_writer *w, const char *json)
{
    begin_value(w);
    buffer_append_text(w->out, json);
}

void json_write_uint(struct json_writer *w, uint64_t value)
{
    char digits[20], *end = digits + sizeof digits, *start = end;
    do
        *--start = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    begin_value(w);
    buffer_append(w->out, start, (size_t)(end - start));
}

void json_write_bool(struct json_writer *w, bool value)
{
    json_write_raw(w, value ? "true" : "false");
}

void json_write_null(struct json_writer *w)
{
    json_write_raw(w, "null");
}

void json_write_float(struct json_writer *w, float value)
{
    begin_value(w);
    char text[FLOAT_TEXT_MAX];
    buffer_append(w->out, text, float_text_write(text, value));
}

void json_write_text_member(struct json_writer *w, const char *key, const char *text)
{
    json_write_key(w, key);
    json_write_text(w, text);
}

void json_write_uint_member(struct json_writer *w, const char *key, uint64_t value)
{
    json_write_key(w, key);
    json_write_uint(w, value);
}

void json_write_bool_member(struct json_writer *w, const char *key, bool value)
{
    json_write_key(w, key);
    json_write_bool(w, value);
}

void json_write_float_member(struct json_writer *w, const char *key, float value)
{
    json_write_key(w, key);
    json_write_float(w, value);
}

static size_t chunk_length(size_t n_left)
{
    return n_left < CHUNK_VALUES ? n_left : CHUNK_VALUES;
}

/* At most CHUNK_VALUES values, each with a comma before it. */
static void append_chunk(struct buffer *out, const float *values, size_t n_values)
{
    char *start = buffer_reserve(out, FLOAT_TEXT_LIST_MAX(n_values));
    if (start)
        buffer_commit(out, float_text_write_list(start, values, n_values, text_isa_best()));
}

void json_write_floats(struct json_writer *w, const float *values, size_t n_values)
{
    if (n_values > 0 && !w->comma) { /* the first one has none */
        json_write_float(w, *values++);
        n_values--;
    }
    for (size_t i = 0; i < n_values && !w->out->failed; i += CHUNK_VALUES)
        append_chunk(w->out, values + i, chunk_length(n_values - i));
}

void json_write_base64_part(struct json_writer *w, const float *values, size_t n_values)
{
    unsigned char bytes[CHUNK_VALUES * 4]; /* a multiple of 3: only the last chunk has padding */
    for (size_t i = 0; i < n_values && !w->out->failed; i += CHUNK_VALUES) {
        size_t n = chunk_length(n_values - i);
        little_endian_store(bytes, values + i, n);
        base64_append(w->out, bytes, 4 * n);
    }
}

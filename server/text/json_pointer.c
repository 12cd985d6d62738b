#include "json_pointer.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct json_pointer json_pointer_root(void)
{
    return (struct json_pointer){.text = "#", .n_bytes = 1};
}

/* Whether RFC 3986 allows the character in a fragment as it is. */
static bool is_fragment_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~!$&'()*+,;=:@/?", c));
}

/* Writes one byte of a key, escaped, and returns the length, at most 3. */
static size_t escape(char dst[static 3], unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    if (c == '~' || c == '/') {
        dst[0] = '~';
        dst[1] = c == '/' ? '1' : '0';
        return 2;
    }
    dst[0] = (char)c;
    if (is_fragment_char(c))
        return 1;
    dst[0] = '%';
    dst[1] = digits[c >> 4];
    dst[2] = digits[c & 15];
    return 3;
}

/* False: it does not fit, and nothing was appended. */
static bool append(struct json_pointer *pointer, const char *bytes, size_t n_bytes)
{
    if (n_bytes >= sizeof pointer->text - pointer->n_bytes)
        return false;
    memcpy(pointer->text + pointer->n_bytes, bytes, n_bytes);
    pointer->n_bytes += n_bytes;
    pointer->text[pointer->n_bytes] = '\0';
    return true;
}

void json_pointer_add_key(struct json_pointer *pointer, const char *key, size_t n_bytes)
{
    size_t n_escaped = 0;
    if (!append(pointer, "/", 1))
        return;
    for (size_t i = 0; i < n_bytes; i++) {
        char escaped[3];
        size_t n = escape(escaped, (unsigned char)key[i]);
        n_escaped += n;
        if (n_escaped > JSON_POINTER_KEY_MAX || !append(pointer, escaped, n))
            return;
    }
}

void json_pointer_add_index(struct json_pointer *pointer, size_t index)
{
    char text[24];
    int n_bytes = snprintf(text, sizeof text, "/%zu", index);
    append(pointer, text, (size_t)n_bytes);
}

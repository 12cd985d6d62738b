#pragma once
/* The place of an error in a request body, as a JSON pointer in its URI-fragment form (RFC 6901,
 * section 6): "#" is the whole body, "#/inputs/3" the fourth input. A plain value: copy it to
 * extend it. Its names may come from the client, so they are escaped (~ and / as ~0 and ~1, all but
 * URI-fragment characters as %XX) and bounded. */
#include <stddef.h>

#define JSON_POINTER_KEY_MAX 128 /* escaped bytes of one key; longer keys are truncated */
#define JSON_POINTER_MAX     256 /* bytes of the text with its NUL; longer texts are truncated */

struct json_pointer {
    char text[JSON_POINTER_MAX]; /* NUL-terminated */
    size_t n_bytes;
};

struct json_pointer json_pointer_root(void); /* "#" */
/* Appends "/key". Truncation never splits an escape. */
void json_pointer_add_key(struct json_pointer *pointer, const char *key, size_t n_bytes);
void json_pointer_add_index(struct json_pointer *pointer, size_t index);

#pragma once
/* The place in a request body that is to blame, as a JSON pointer in its URI-fragment form
 * (RFC 6901, section 6): "#" is the whole body, "#/inputs/3" the fourth input. A plain value: copy
 * it to extend it. Built from names that a client made up, so it is escaped (~ and / as ~0 and ~1,
 * all but URI-fragment characters as %XX) and bounded. */
#include <stddef.h>

#define JSON_POINTER_KEY_MAX 128 /* escaped bytes of one key; the rest of the key is cut off */
#define JSON_POINTER_MAX     256 /* bytes of the whole text with its NUL; what is over is cut off */

struct json_pointer {
    char text[JSON_POINTER_MAX]; /* NUL-terminated */
    size_t n_bytes;
};

struct json_pointer json_pointer_root(void); /* "#" */
/* Appends "/key"; a cut never splits an escape. */
void json_pointer_add_key(struct json_pointer *pointer, const char *key, size_t n_bytes);
void json_pointer_add_index(struct json_pointer *pointer, size_t index);

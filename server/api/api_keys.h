#pragma once
/* The keys of clients, from a file:
 *
 *     # one key a line; blank lines and lines that begin with # mean nothing
 *     kZ0q9cUoUyBvM6Zt8o4Xw2rJ
 *
 * 16 to 256 printable ASCII characters without blanks; blanks around them are not theirs. Only
 * their SHA-256 stays in memory. Any number of threads may ask, also while they are loaded anew. */
#include "defs.h"
#include "elmo.h"

#define API_KEY_MIN_CHARS  16
#define API_KEY_MAX_CHARS  256
#define API_KEYS_MAX       1024
#define API_KEYS_MAX_BYTES (1024 * 1024) /* of the file */

struct api_keys;

/* NULL: *err says what is wrong, with path and line, and never shows a key. The path is borrowed
 * for api_keys_reload. */
struct api_keys *api_keys_load(const char *path, struct elmo_error *err);
/* Reads the file again, for requests from now on. False: *err as above, and the old keys stay. One
 * thread at a time, beside any that ask. */
bool api_keys_reload(struct api_keys *keys, struct elmo_error *err);
void api_keys_free(struct api_keys *keys); /* NULL is fine */
DEFINE_AUTO(api_keys_free, struct api_keys *);

size_t api_keys_count(const struct api_keys *keys);

/* Whether these bytes are one of the keys. Takes the same time whichever it is, or how much of one
 * is right. */
bool api_keys_has(const struct api_keys *keys, const char *key, size_t n_bytes);

#include "api_keys.h"

#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "ops/secret_file.h"
#include "util/slice.h"

#define BLANKS " \t\r"

struct digest {
    uint8_t bytes[SHA256_DIGEST_SIZE];
};

/* Immutable once it is shared. */
struct key_set {
    struct key_set *older; /* owned; a request may still be at it */
    size_t n_keys;
    struct digest digests[API_KEYS_MAX];
};

struct api_keys {
    const char *path;                  /* borrowed */
    _Atomic(struct key_set *) current; /* owned; one that was replaced lives until api_keys_free */
};

static void key_set_free(struct key_set *set)
{
    while (set) {
        struct key_set *older = set->older;
        free(set);
        set = older;
    }
}
DEFINE_AUTO(key_set_free, struct key_set *);

static struct digest digest_of(const char *key, size_t n_bytes)
{
    struct sha256_ctx context;
    struct digest digest;
    sha256_init(&context);
    sha256_update(&context, n_bytes, (const uint8_t *)key);
    sha256_digest(&context, sizeof digest.bytes, digest.bytes);
    return digest;
}

/* What is wrong with the key, or NULL. */
static const char *fault_of(const char *key, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return "a key has printable ASCII characters alone, and no blanks";
    if (n_bytes < API_KEY_MIN_CHARS)
        return "a key has at least 16 characters";
    return n_bytes > API_KEY_MAX_CHARS ? "a key has at most 256 characters" : NULL;
}

/* Takes the line (without its end), if it has a key; returns what is wrong, or NULL. */
static const char *add_line(struct key_set *keys, struct slice line)
{
    struct slice key = slice_trim(line, BLANKS);
    if (key.n_bytes == 0 || key.bytes[0] == '#')
        return NULL;
    const char *fault = fault_of(key.bytes, key.n_bytes);
    if (!fault && keys->n_keys == API_KEYS_MAX)
        fault = "there are more than 1024 keys";
    if (!fault)
        keys->digests[keys->n_keys++] = digest_of(key.bytes, key.n_bytes);
    return fault;
}

static bool fail(struct elmo_error *err, const char *path, size_t line, const char *why)
{
    err->status = ELMO_E_FORMAT;
    if (line)
        snprintf(err->message, sizeof err->message, "%.250s:%zu: %s", path, line, why);
    else
        snprintf(err->message, sizeof err->message, "%.250s: %s", path, why);
    return false;
}

static bool add_lines(struct key_set *keys, const struct secret_file *file, const char *path,
                      struct elmo_error *err)
{
    const char *line = file->bytes, *end = file->bytes + file->n_bytes;
    for (size_t number = 1; line < end; number++) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (!line_end)
            line_end = end;
        const char *fault = add_line(keys, (struct slice){line, (size_t)(line_end - line)});
        if (fault)
            return fail(err, path, number, fault);
        line = line_end + 1;
    }
    /* An empty file is a mistake, and to take it for "no keys needed" would be a worse one. */
    return keys->n_keys > 0 || fail(err, path, 0, "there is no key in it");
}

static struct key_set *key_set_load(const char *path, struct elmo_error *err)
{
    AUTO(secret_file_done) struct secret_file file = {0};
    AUTO(key_set_free) struct key_set *set = calloc(1, sizeof *set);
    if (!set) {
        fail(err, path, 0, "out of memory");
        return NULL;
    }
    if (secret_file_read(&file, path, API_KEYS_MAX_BYTES, err) || !add_lines(set, &file, path, err))
        return NULL;
    secret_file_warn(path, file.others_may_read);
    return STEAL(set);
}

struct api_keys *api_keys_load(const char *path, struct elmo_error *err)
{
    AUTO(api_keys_free) struct api_keys *keys = calloc(1, sizeof *keys);
    if (!keys) {
        fail(err, path, 0, "out of memory");
        return NULL;
    }
    keys->path = path;
    struct key_set *set = key_set_load(path, err);
    if (!set)
        return NULL;
    atomic_init(&keys->current, set);
    return STEAL(keys);
}

static bool are_same(const struct key_set *a, const struct key_set *b)
{
    return a->n_keys == b->n_keys &&
           memcmp(a->digests, b->digests, a->n_keys * sizeof a->digests[0]) == 0;
}

/* Often the file is as before, and who asks for this wants another one read: then nothing is added
 * to what stays until the end. */
bool api_keys_reload(struct api_keys *keys, struct elmo_error *err)
{
    AUTO(key_set_free) struct key_set *set = key_set_load(keys->path, err);
    struct key_set *old = atomic_load(&keys->current);
    if (!set)
        return false;
    if (are_same(set, old))
        return true;
    set->older = old;
    atomic_store(&keys->current, STEAL(set));
    return true;
}

void api_keys_free(struct api_keys *keys)
{
    if (!keys)
        return;
    key_set_free(atomic_load(&keys->current));
    free(keys);
}

size_t api_keys_count(const struct api_keys *keys)
{
    return atomic_load(&keys->current)->n_keys;
}

bool api_keys_has(const struct api_keys *keys, const char *key, size_t n_bytes)
{
    const struct digest digest = digest_of(key, n_bytes);
    const struct key_set *set = atomic_load(&keys->current);
    int found = 0;
    for (size_t i = 0; i < set->n_keys; i++) /* all of them, also behind one that is found */
        found |= memeql_sec(digest.bytes, set->digests[i].bytes, sizeof digest.bytes);
    return found != 0;
}

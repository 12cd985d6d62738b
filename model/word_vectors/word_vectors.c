/* Word vectors from a text file, with a binary cache beside it. First looking words up, as they are
 * and then in lower case; then opening, which maps a valid cache or reads the text into memory;
 * then making the cache, under a lock; and last word_vectors_open, which chooses between them. */
#define _DEFAULT_SOURCE /* flock */
#include "word_vectors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unicase.h>
#include <unistd.h>

#include "error.h"
#include "word_vectors_build.h"

#define CACHE_SUFFIX    ".cache"
#define TMP_SUFFIX      ".tmp"
#define LOWER_MAX_BYTES 256 /* of a word that is looked up in lower case */

struct word_vectors {
    struct word_vectors_info info;
    bool lowercase;
    size_t n_slots, n_text_bytes;
    struct word_vectors_tables tables;
    const float *rows; /* [n_words, dim] */
    /* What holds them: one of the two. */
    struct mapped_file file;
    struct word_vectors_build memory;
    char *name;
};

void word_vectors_free(struct word_vectors *v)
{
    if (!v)
        return;
    mapped_file_close(&v->file);
    word_vectors_build_done(&v->memory);
    free(v->name);
    free(v);
}

const struct word_vectors_info *word_vectors_info(const struct word_vectors *v)
{
    return &v->info;
}

/* ---- Looking up ---- */

/* Tables of a file may say anything: every step is checked, and there are no more than slots. */
static const float *find_exactly(const struct word_vectors *v, const char *bytes, size_t n_bytes)
{
    uint32_t hash = word_hash(bytes, n_bytes);
    size_t slot = hash & (v->n_slots - 1), dim = v->info.dim;
    for (size_t n = 0; n < v->n_slots && v->tables.slots[slot]; n++) {
        uint64_t index = (v->tables.slots[slot] & UINT32_MAX) - 1;
        if (v->tables.slots[slot] >> 32 == hash && index < v->info.n_words) {
            const struct word_vectors_entry *entry = &v->tables.entries[index];
            const float *row = v->rows + index * dim;
            if (entry->n_bytes == n_bytes && entry->at <= v->n_text_bytes &&
                n_bytes <= v->n_text_bytes - entry->at &&
                memcmp(v->tables.text + entry->at, bytes, n_bytes) == 0)
                return word_vectors_row_hash(row, dim) == entry->row_hash ? row : NULL;
        }
        slot = (slot + 1) & (v->n_slots - 1);
    }
    return NULL;
}

static const float *find_in_lower_case(const struct word_vectors *v, const char *bytes,
                                       size_t n_bytes)
{
    uint8_t buf[4 * LOWER_MAX_BYTES];
    size_t n_lower = sizeof buf;
    if (n_bytes > LOWER_MAX_BYTES) /* more would be put into new memory */
        return NULL;
    uint8_t *lower = u8_tolower((const uint8_t *)bytes, n_bytes, NULL, NULL, buf, &n_lower);
    const float *row = lower ? find_exactly(v, (const char *)lower, n_lower) : NULL;
    if (lower != buf)
        free(lower);
    return row;
}

const float *word_vectors_find(const struct word_vectors *v, const char *bytes, size_t n_bytes)
{
    if (n_bytes == 0)
        return NULL;
    const float *row = find_exactly(v, bytes, n_bytes);
    return row || !v->lowercase ? row : find_in_lower_case(v, bytes, n_bytes);
}

/* ---- Opening ---- */

struct opening {
    const struct word_vectors_options *options;
    struct word_vectors *vectors;
    struct word_vectors_source source;
    char *cache_path, *tmp_path; /* owned */
    int tmp_fd;                  /* locked; -1: there is none */
};

static void opening_done(struct opening *o)
{
    free(o->cache_path);
    free(o->tmp_path);
    word_vectors_free(o->vectors);
}

static char *joined(const char *path, const char *suffix)
{
    size_t n = strlen(path), n_suffix = strlen(suffix) + 1;
    char *both = malloc(n + n_suffix);
    if (both) {
        memcpy(both, path, n);
        memcpy(both + n, suffix, n_suffix);
    }
    return both;
}

static void set_info(struct word_vectors *v, const struct word_vectors_header *h,
                     enum word_vectors_origin origin)
{
    v->info.n_words = (size_t)h->n_words;
    v->info.dim = h->dim;
    v->info.n_left_out = (size_t)h->n_left_out;
    v->info.first_left_out = (size_t)h->first_left_out;
    v->info.n_repeated = (size_t)h->n_repeated;
    v->info.origin = origin;
    v->n_slots = (size_t)h->n_slots;
    v->n_text_bytes = (size_t)h->n_text_bytes;
}

static int map_cache(struct opening *o, const char *path, const struct word_vectors_source *source,
                     enum word_vectors_origin origin, struct elmo_error *err)
{
    struct word_vectors *v = o->vectors;
    int r = word_vectors_cache_map(&v->file, &v->tables, &v->rows, path, source, err);
    if (!r)
        set_info(v, v->file.bytes, origin);
    return r;
}

static int read_into_memory(struct opening *o, struct elmo_error *err)
{
    struct word_vectors *v = o->vectors;
    struct word_vectors_build *m = &v->memory;
    int r = word_vectors_build(m, o->options->path, o->options->stop, NULL, err);
    if (r)
        return r;
    v->tables = (struct word_vectors_tables){m->entries, m->slots, m->text};
    v->rows = m->rows;
    set_info(v, &m->header, WORD_VECTORS_IN_MEMORY);
    return 0;
}

static void note_failure(struct opening *o, const char *path)
{
    snprintf(o->vectors->info.note, sizeof o->vectors->info.note, "cannot write '%.200s': %s", path,
             errno ? strerror(errno) : "it failed");
}

/* ---- Making the cache: under a lock on the new file, so that one process makes it and others
 * wait. Whoever gets the lock may hold what has become the cache meanwhile. ---- */

static bool is_still_there(int fd, const char *path)
{
    struct stat ours, theirs;
    return !fstat(fd, &ours) && !stat(path, &theirs) && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

static bool told_to_stop(const struct opening *o)
{
    return o->options->stop && atomic_load(o->options->stop);
}

/* o->tmp_fd stays -1 where that is not possible; errno says why. */
static void lock_tmp(struct opening *o)
{
    for (;;) {
        int fd = open(o->tmp_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644), r;
        if (fd < 0)
            return;
        while ((r = flock(fd, LOCK_EX)) && errno == EINTR && !told_to_stop(o))
            continue;
        if (!r && is_still_there(fd, o->tmp_path)) {
            o->tmp_fd = fd;
            return;
        }
        int failure = errno;
        close(fd);
        errno = failure;
        if (r)
            return;
    }
}

static void drop_tmp(struct opening *o)
{
    unlink(o->tmp_path);
    close(o->tmp_fd);
    o->tmp_fd = -1;
}

/* Writes the cache; *ret_written is false where the disk did not take it. The lock is kept. */
static int write_cache(struct opening *o, bool *ret_written, struct elmo_error *err)
{
    struct word_vectors_build build = {0};
    int fd = dup(o->tmp_fd);
    FILE *out = fd >= 0 && !ftruncate(fd, 0) ? fdopen(fd, "wb") : NULL;
    *ret_written = false;
    if (!out) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    word_vectors_cache_begin(out);
    int r = word_vectors_build(&build, o->options->path, o->options->stop, out, err);
    if (!r) {
        const struct word_vectors_tables tables = {build.entries, build.slots, build.text};
        build.header.source = o->source;
        errno = 0;
        *ret_written = word_vectors_cache_end(out, &build.header, &tables);
    }
    int failure = errno;
    *ret_written &= !fclose(out);
    errno = failure ? failure : errno;
    word_vectors_build_done(&build);
    return r;
}

/* With the lock. *ret_made is false where the cache could not be made. */
static int make_cache(struct opening *o, bool *ret_made, struct elmo_error *err)
{
    *ret_made = !map_cache(o, o->cache_path, &o->source, WORD_VECTORS_FROM_CACHE, NULL);
    if (*ret_made) { /* by another process, just now */
        drop_tmp(o);
        return 0;
    }
    bool written;
    int r = write_cache(o, &written, err);
    if (!r && written && !rename(o->tmp_path, o->cache_path)) {
        close(o->tmp_fd);
        o->tmp_fd = -1;
        *ret_made = true;
        return map_cache(o, o->cache_path, &o->source, WORD_VECTORS_CACHED, err);
    }
    if (!r)
        note_failure(o, o->cache_path);
    drop_tmp(o);
    return r;
}

static int open_text(struct opening *o, struct elmo_error *err)
{
    bool made = false;
    int r = 0;
    if (!map_cache(o, o->cache_path, &o->source, WORD_VECTORS_FROM_CACHE, NULL))
        return 0;
    errno = 0;
    lock_tmp(o);
    if (o->tmp_fd < 0)
        note_failure(o, o->tmp_path);
    else
        r = make_cache(o, &made, err);
    return r || made ? r : read_into_memory(o, err);
}

/* Whether the file is a cache itself; its text may be elsewhere, or nowhere any more. */
static bool is_cache(const char *path)
{
    char head[16];
    FILE *file = fopen(path, "rbe");
    size_t n = file ? fread(head, 1, sizeof head, file) : 0;
    if (file)
        fclose(file);
    return word_vectors_is_cache(head, n);
}

static int prepare(struct opening *o, struct elmo_error *err)
{
    const char *path = o->options->path, *slash = strrchr(path, '/');
    const char *cache_path = o->options->cache_path;
    o->vectors = calloc(1, sizeof *o->vectors);
    if (!o->vectors)
        return elmo_fail_nomem(err);
    o->vectors->lowercase = o->options->lowercase;
    o->vectors->name = strdup(slash ? slash + 1 : path);
    o->vectors->info.name = o->vectors->name;
    o->cache_path = cache_path && cache_path[0] ? strdup(cache_path) : joined(path, CACHE_SUFFIX);
    o->tmp_path = o->cache_path ? joined(o->cache_path, TMP_SUFFIX) : NULL;
    return o->vectors->name && o->tmp_path ? 0 : elmo_fail_nomem(err);
}

int word_vectors_open(struct word_vectors **ret_vectors, const struct word_vectors_options *options,
                      struct elmo_error *err)
{
    struct opening o = {.options = options, .tmp_fd = -1};
    int r = prepare(&o, err);
    if (!r)
        r = word_vectors_source_read(&o.source, options->path, err);
    if (!r)
        r = is_cache(options->path)
                ? map_cache(&o, options->path, NULL, WORD_VECTORS_FROM_CACHE, err)
                : open_text(&o, err);
    if (!r)
        *ret_vectors = STEAL(o.vectors);
    opening_done(&o);
    return r;
}

#include "word_cache_fill.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "util/buffer.h"

#define BLOCK_WORDS 512u /* words that a thread takes at once: some 10 ms of work */

struct word_list {
    struct buffer bytes;      /* all words, without separators */
    struct elmo_token *words; /* [n_words], owned; .bytes is set when the list is complete */
    size_t n_words, capacity;
};

struct fill {
    const struct word_cache_fill_options *options;
    struct word_list list;
    atomic_size_t next, n_kept; /* first word not taken; words in the cache */
    atomic_int status;          /* the first failure */
};

static void word_list_done(struct word_list *list)
{
    buffer_done(&list->bytes);
    free(list->words);
}

static int fail_file(struct elmo_error *err, const char *path, const char *why)
{
    return elmo_fail(err, ELMO_E_IO, "%.250s: %s", path, why);
}

/* ---- The file ---- */

static bool reserve_word(struct word_list *list)
{
    size_t capacity = list->capacity ? list->capacity : 512, n_bytes;
    if (list->n_words < list->capacity)
        return true;
    if (!mul_ok(capacity, 2 * sizeof *list->words, &n_bytes))
        return false;
    struct elmo_token *grown = realloc(list->words, n_bytes);
    if (!grown)
        return false;
    list->words = grown;
    list->capacity = 2 * capacity;
    return true;
}

/* false: out of memory. */
static bool add_line(struct word_list *list, const char *line, size_t n_bytes)
{
    if (n_bytes > WORD_CACHE_FILL_MAX_BYTES)
        return true;
    n_bytes -= n_bytes && line[n_bytes - 1] == '\r';
    if (!n_bytes)
        return true;
    buffer_append(&list->bytes, line, n_bytes);
    if (list->bytes.failed || !reserve_word(list))
        return false;
    list->words[list->n_words++].n_bytes = n_bytes;
    return true;
}

/* The first max_words words of the stream; false: out of memory. */
static bool read_words(struct word_list *list, FILE *stream, uint64_t max_words)
{
    char line[WORD_CACHE_FILL_MAX_BYTES + 2]; /* bytes over the limit overwrite the last one */
    size_t n_bytes = 0;
    for (int byte; list->n_words < max_words && (byte = getc(stream)) != EOF;) {
        if (byte == '\n') {
            if (!add_line(list, line, n_bytes))
                return false;
            n_bytes = 0;
        } else {
            line[n_bytes] = (char)byte;
            n_bytes += n_bytes <= WORD_CACHE_FILL_MAX_BYTES;
        }
    }
    return list->n_words == max_words || add_line(list, line, n_bytes);
}

/* Refuses pipes, which could block the start forever. */
static int open_regular_file(FILE **ret_stream, const char *path, struct elmo_error *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0;
    if (fd < 0)
        return fail_file(err, path, strerror(errno));
    if (fstat(fd, &status))
        r = fail_file(err, path, strerror(errno));
    else if (!S_ISREG(status.st_mode))
        r = fail_file(err, path, "not a regular file");
    else if (!(*ret_stream = fdopen(fd, "r")))
        r = elmo_fail_nomem(err);
    if (r)
        close(fd);
    return r;
}

static int word_list_read(struct word_list *list, const char *path, uint64_t max_words,
                          struct elmo_error *err)
{
    FILE *stream = NULL;
    int r = open_regular_file(&stream, path, err);
    if (r)
        return r;
    r = read_words(list, stream, max_words) ? 0 : elmo_fail_nomem(err);
    if (!r && ferror(stream))
        r = fail_file(err, path, strerror(errno));
    fclose(stream);
    const char *next = list->bytes.bytes;
    for (size_t k = 0; k < list->n_words; k++) {
        list->words[k].bytes = next;
        next += list->words[k].n_bytes;
    }
    return r;
}

/* ---- The threads ---- */

static bool must_go_on(struct fill *w)
{
    return !atomic_load(&w->status) && !atomic_load(w->options->stop);
}

static void *fill_blocks(void *arg)
{
    struct fill *w = arg;
    size_t begin;
    while (must_go_on(w) && (begin = atomic_fetch_add(&w->next, BLOCK_WORDS)) < w->list.n_words) {
        size_t left = w->list.n_words - begin, n_kept = 0;
        int r = elmo_model_warm(w->options->model, w->list.words + begin,
                                left < BLOCK_WORDS ? left : BLOCK_WORDS, &n_kept, NULL);
        if (r)
            atomic_store(&w->status, r);
        atomic_fetch_add(&w->n_kept, n_kept);
    }
    return NULL;
}

/* The calling thread is one of n_threads. Threads that cannot be started are left out. */
static int run_threads(struct fill *w, struct elmo_error *err)
{
    size_t n_others = w->options->n_threads - 1, n_made = 0;
    AUTO(mem_free) pthread_t *others = calloc(n_others + 1, sizeof *others);
    if (!others)
        return elmo_fail_nomem(err);
    while (n_made < n_others && !pthread_create(&others[n_made], NULL, fill_blocks, w))
        n_made++;
    fill_blocks(w);
    while (n_made > 0)
        pthread_join(others[--n_made], NULL);
    return atomic_load(&w->status) ? elmo_fail_nomem(err) : 0;
}

int word_cache_fill(const struct word_cache_fill_options *options, size_t *ret_n_words,
                    struct elmo_error *err)
{
    struct fill w = {.options = options};
    int r = word_list_read(&w.list, options->path, elmo_model_cache_stats(options->model).n_places,
                           err);
    if (!r)
        r = run_threads(&w, err);
    if (!r)
        *ret_n_words = atomic_load(&w.n_kept);
    word_list_done(&w.list);
    return r;
}

/* The folder of labelled.h: pos/ and neg/ of aclImdb. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text_source.h"
#include "error.h"
#include "labelled_load.h"

#define MAX_PATH_BYTES 4096u
#define MAX_RATING     10u
#define MAX_PAGE_BYTES 4096u

static void close_folder_auto(DIR **entries)
{
    if (*entries)
        closedir(*entries);
}

static void close_fd_auto(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static int join(char path[MAX_PATH_BYTES], const char *folder, const char *name,
                struct elmo_error *err)
{
    int n = snprintf(path, MAX_PATH_BYTES, "%s/%s", folder, name);
    if (n < 0 || (unsigned)n >= MAX_PATH_BYTES)
        return elmo_fail(err, ELMO_E_INVALID, "'%.200s' is too long a path", folder);
    return 0;
}

static int fail_to_read(const char *path, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_IO, "cannot read '%.200s': %s", path, strerror(errno));
}

/* ---- The names of the reviews ---- */

struct review {
    uint32_t id;
    uint8_t rating;
    char name[24]; /* "<id>_<rating>.txt" */
};

struct review_list {
    struct review *items; /* owned */
    size_t n_items, capacity;
};

/* The digits at *at, which moves behind them; false: none, or a number beyond `most`. */
static bool take_number(const char **at, uint64_t most, uint64_t *ret)
{
    uint64_t n = 0;
    const char *begin = *at;
    for (; **at >= '0' && **at <= '9' && n <= most; (*at)++)
        n = 10 * n + (uint64_t)(**at - '0');
    *ret = n;
    return *at > begin && n <= most;
}

static bool parse_name(struct review *ret, const char *name)
{
    uint64_t id, rating;
    const char *at = name;
    if (strlen(name) >= sizeof ret->name || !take_number(&at, UINT32_MAX, &id) || *at++ != '_' ||
        !take_number(&at, MAX_RATING, &rating) || strcmp(at, ".txt"))
        return false;
    *ret = (struct review){.id = (uint32_t)id, .rating = (uint8_t)rating};
    memcpy(ret->name, name, strlen(name) + 1);
    return true;
}

static bool append(struct review_list *list, const struct review *review)
{
    if (list->n_items == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 1024, n_bytes;
        if (!mul_ok(capacity, sizeof *list->items, &n_bytes))
            return false;
        struct review *items = realloc(list->items, n_bytes);
        if (!items)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n_items++] = *review;
    return true;
}

static int compare_reviews(const void *left, const void *right)
{
    const struct review *a = left, *b = right;
    int order = (a->id > b->id) - (a->id < b->id);
    return order ? order : strcmp(a->name, b->name);
}

/* The reviews of a folder by id; others are counted. The list is to be freed whatever comes back.
 */
static int list_reviews(struct labelled_loader *l, struct review_list *list, const char *folder,
                        struct elmo_error *err)
{
    __attribute__((cleanup(close_folder_auto))) DIR *entries = opendir(folder);
    if (!entries)
        return fail_to_read(folder, err);
    for (;;) {
        struct review review;
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (!entry && errno)
            return fail_to_read(folder, err);
        if (!entry)
            break;
        if (parse_name(&review, entry->d_name)) {
            if (!append(list, &review))
                return elmo_fail_nomem(err);
        } else if (entry->d_name[0] != '.') {
            l->set.counts.n_other_files++;
        }
    }
    if (list->n_items)
        qsort(list->items, list->n_items, sizeof *list->items, compare_reviews);
    return 0;
}

/* ---- The pages of the movies ---- */

struct page_list {
    struct word_table distinct;
    uint32_t *page_of; /* [n_reviews] index into distinct; owned */
    size_t n_reviews, capacity;
};

static void pages_done(struct page_list *pages)
{
    word_table_done(&pages->distinct);
    free(pages->page_of);
}

static bool add_page(struct page_list *pages, const char *line, size_t n_bytes)
{
    if (pages->n_reviews == pages->capacity) {
        size_t capacity = pages->capacity ? 2 * pages->capacity : 1024, n;
        if (!mul_ok(capacity, sizeof *pages->page_of, &n))
            return false;
        uint32_t *page_of = realloc(pages->page_of, n);
        if (!page_of)
            return false;
        pages->page_of = page_of;
        pages->capacity = capacity;
    }
    uint32_t page = word_table_add(&pages->distinct, line, n_bytes);
    pages->page_of[pages->n_reviews++] = page;
    return page != WORD_NONE;
}

/* No such file: no pages. */
static int read_pages(struct page_list *pages, const char *path, struct elmo_error *err)
{
    AUTO(text_source_free) struct text_source *source = NULL;
    struct stat st;
    char *line = NULL;
    size_t n_bytes;
    if (stat(path, &st) && errno == ENOENT)
        return 0;
    int r = text_source_open(&source, path, MAX_PAGE_BYTES, err);
    while (!r && !(r = text_source_next(source, &line, &n_bytes, err)) && line)
        if (!add_page(pages, line, n_bytes))
            r = elmo_fail_nomem(err);
    return r;
}

/* An empty line, or none, says nothing. */
static struct elmo_token page_of(const struct page_list *pages, uint32_t id)
{
    if (id >= pages->n_reviews || !pages->distinct.items[pages->page_of[id]].n_bytes)
        return (struct elmo_token){0};
    return pages->distinct.items[pages->page_of[id]];
}

/* ---- The reviews ---- */

/* Up to `capacity` bytes of the file. */
static int read_bytes(const char *path, char *bytes, size_t capacity, size_t *ret_n_bytes,
                      struct elmo_error *err)
{
    __attribute__((cleanup(close_fd_auto))) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_to_read(path, err);
    for (*ret_n_bytes = 0; *ret_n_bytes < capacity;) {
        ssize_t n = read(fd, bytes + *ret_n_bytes, capacity - *ret_n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_to_read(path, err);
        if (n == 0)
            break;
        *ret_n_bytes += (size_t)n;
    }
    return 0;
}

static int add_reviews(struct labelled_loader *l, const char *folder, const char *label,
                       const struct review_list *reviews, const struct page_list *pages,
                       struct elmo_error *err)
{
    char path[MAX_PATH_BYTES];
    size_t capacity = LABELLED_MAX_TEXT_BYTES + 1; /* one more tells what is too long */
    size_t n_bytes = 0;
    AUTO(mem_free) char *text = malloc(capacity);
    if (!text)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < reviews->n_items; k++) {
        const struct review *review = &reviews->items[k];
        int r = join(path, folder, review->name, err);
        if (!r)
            r = read_bytes(path, text, capacity, &n_bytes, err);
        if (r)
            return r;
        const struct labelled_input input = {
            .text = text,
            .n_bytes = n_bytes,
            .label = {label, strlen(label)},
            .group = page_of(pages, review->id),
            .rating = review->rating,
        };
        r = labelled_add(l, &input, err);
        if (r)
            return r;
    }
    return 0;
}

static int load_half(struct labelled_loader *l, const char *root, const char *name,
                     const char *label, struct elmo_error *err)
{
    char folder[MAX_PATH_BYTES], urls[MAX_PATH_BYTES], urls_name[32];
    struct review_list reviews = {0};
    struct page_list pages = {0};
    snprintf(urls_name, sizeof urls_name, "urls_%s.txt", name);
    int r = join(folder, root, name, err);
    if (!r)
        r = join(urls, root, urls_name, err);
    if (!r)
        r = list_reviews(l, &reviews, folder, err);
    if (!r)
        r = read_pages(&pages, urls, err);
    if (!r)
        r = add_reviews(l, folder, label, &reviews, &pages, err);
    free(reviews.items);
    pages_done(&pages);
    return r;
}

/* ---- The folder ---- */

static bool has_folder(const char *root, const char *name)
{
    char path[MAX_PATH_BYTES];
    struct stat st;
    return !join(path, root, name, NULL) && !stat(path, &st) && S_ISDIR(st.st_mode);
}

static bool has_halves(const char *root)
{
    return has_folder(root, "pos") && has_folder(root, "neg");
}

int labelled_load_folder(struct labelled_loader *l, const char *path, struct elmo_error *err)
{
    const char *split = l->settings->split ? l->settings->split : "train";
    char inner[MAX_PATH_BYTES];
    if (!has_halves(path)) {
        int r = join(inner, path, split, err);
        if (r)
            return r;
        if (!has_halves(inner))
            return elmo_fail(err, ELMO_E_INVALID,
                             "'%.200s' has no folders pos and neg, nor has its folder '%.16s'",
                             path, split);
        path = inner;
    }
    int r = load_half(l, path, "neg", "negative", err);
    return r ? r : load_half(l, path, "pos", "positive", err);
}

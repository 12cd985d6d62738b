#include "labelled.h"

#include <string.h>
#include <sys/stat.h>
#include <unistr.h>

#include "breaks.h"
#include "error.h"
#include "labelled_load.h"
#include "text/tokenize.h"
#include "util/sha256.h"

void labelled_done(struct labelled_set *set)
{
    free(set->items);
    arena_done(&set->memory);
    *set = (struct labelled_set){0};
}

/* ---- One text ---- */

int labelled_fail(const struct labelled_loader *l, const char *what, struct elmo_error *err)
{
    if (!l->line)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s': %s", l->path, what);
    return elmo_fail(err, ELMO_E_FORMAT, "'%.200s', line %zu: %s", l->path, l->line, what);
}

static int check_label(const struct labelled_loader *l, const struct elmo_token *label,
                       struct elmo_error *err)
{
    if (!label->n_bytes)
        return labelled_fail(l, "the label is missing", err);
    if (label->n_bytes > LABELLED_MAX_LABEL_BYTES)
        return labelled_fail(l, "the label is longer than 64 bytes", err);
    if (u8_check((const uint8_t *)label->bytes, label->n_bytes))
        return labelled_fail(l, "the label is not valid UTF-8", err);
    for (size_t k = 0; k < label->n_bytes; k++)
        if ((unsigned char)label->bytes[k] < 0x20 || label->bytes[k] == 0x7f)
            return labelled_fail(l, "the label has a control character", err);
    return 0;
}

/* How many bytes of the input are used: up to the end of its last word, or of max_words; 0: it is
 * left out, and counted. */
static int usable_bytes(struct labelled_loader *l, const struct labelled_input *in, size_t *ret)
{
    struct labelled_counts *counts = &l->set.counts;
    AUTO(mem_free) struct elmo_token *words = NULL;
    size_t n_words = 0, most = l->settings->max_words;
    *ret = 0;
    if (in->n_bytes > LABELLED_MAX_TEXT_BYTES) {
        counts->n_too_long++;
        return 0;
    }
    if (memchr(in->text, '\0', in->n_bytes)) {
        counts->n_with_nul++;
        return 0;
    }
    int r = tokenize(TOKENIZER_WHITESPACE, in->text, in->n_bytes, &words, &n_words, NULL);
    if (r == ELMO_E_UTF8)
        counts->n_not_utf8++;
    else if (!r && !n_words)
        counts->n_empty++;
    if (r || !n_words)
        return r == ELMO_E_UTF8 ? 0 : r;
    const struct elmo_token *last = &words[(most && n_words > most ? most : n_words) - 1];
    *ret = (size_t)(last->bytes + last->n_bytes - in->text);
    return 0;
}

static bool reserve_item(struct labelled_loader *l)
{
    size_t capacity = l->capacity ? 2 * l->capacity : 1024, n_bytes;
    if (l->set.n_items < l->capacity)
        return true;
    if (!mul_ok(capacity, sizeof *l->set.items, &n_bytes))
        return false;
    struct labelled_text *items = realloc(l->set.items, n_bytes);
    if (!items)
        return false;
    l->set.items = items;
    l->capacity = capacity;
    return true;
}

static const char *copy_text(struct labelled_loader *l, const char *bytes, size_t n_bytes)
{
    char *text = ARENA_NEW(&l->set.memory, char, n_bytes + 1);
    if (text) {
        memcpy(text, bytes, n_bytes);
        text[n_bytes] = '\0';
    }
    return text;
}

/* The group's index; WORD_NONE: out of memory. */
static uint32_t find_group(struct labelled_loader *l, const struct elmo_token *group)
{
    char own[1 + sizeof l->set.n_items] = {0}; /* no group of a file begins with a NUL */
    if (group->bytes)
        return word_table_add(&l->groups, group->bytes, group->n_bytes);
    memcpy(own + 1, &l->set.n_items, sizeof l->set.n_items);
    return word_table_add(&l->groups, own, sizeof own);
}

int labelled_add(struct labelled_loader *l, const struct labelled_input *in, struct elmo_error *err)
{
    size_t n_bytes;
    bool unlabelled = l->settings->unlabelled;
    int r = unlabelled ? 0 : check_label(l, &in->label, err);
    if (r)
        return r;
    if (!l->settings->keep_breaks)
        breaks_blank(in->text, in->n_bytes);
    if (usable_bytes(l, in, &n_bytes))
        return elmo_fail_nomem(err);
    if (!n_bytes)
        return 0;
    struct labelled_text item = {
        .text = copy_text(l, in->text, n_bytes),
        .n_bytes = n_bytes,
        .label = unlabelled ? 0 : word_table_add(&l->labels, in->label.bytes, in->label.n_bytes),
        .group = find_group(l, &in->group),
        .rating = in->rating,
    };
    if (!item.text || item.label == WORD_NONE || item.group == WORD_NONE || !reserve_item(l))
        return elmo_fail_nomem(err);
    if (l->labels.n_items > LABELLED_MAX_LABELS)
        return labelled_fail(l, "one label too many: at most 1000 are different", err);
    l->set.items[l->set.n_items++] = item;
    return 0;
}

/* ---- The labels in their order ---- */

static int compare_labels(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

static int sort_labels(struct labelled_loader *l)
{
    struct labelled_set *set = &l->set;
    uint32_t sorted_index[LABELLED_MAX_LABELS]; /* of the label that was found as the k-th */
    set->n_labels = l->labels.n_items;
    set->labels = ARENA_NEW(&set->memory, const char *, set->n_labels);
    if (!set->labels)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < set->n_labels; k++) {
        set->labels[k] = copy_text(l, l->labels.items[k].bytes, l->labels.items[k].n_bytes);
        if (!set->labels[k])
            return ELMO_E_NOMEM;
    }
    qsort(set->labels, set->n_labels, sizeof *set->labels, compare_labels);
    for (uint32_t k = 0; k < set->n_labels; k++)
        sorted_index[word_table_find(&l->labels, set->labels[k], strlen(set->labels[k]))] = k;
    for (size_t k = 0; k < set->n_items; k++)
        set->items[k].label = sorted_index[set->items[k].label];
    return 0;
}

static void hash_items(struct labelled_set *set)
{
    struct sha256 sha256;
    sha256_begin(&sha256);
    for (size_t k = 0; k < set->n_items; k++) {
        const struct labelled_text *item = &set->items[k];
        const char *label = set->n_labels ? set->labels[item->label] : "";
        sha256_add(&sha256, item->text, item->n_bytes);
        sha256_add(&sha256, "\t", set->n_labels > 0);
        sha256_add(&sha256, label, strlen(label));
        sha256_add(&sha256, "\n", 1);
    }
    sha256_end(&sha256, set->sha256);
}

/* ---- The whole ---- */

static size_t n_left_out(const struct labelled_counts *c)
{
    return c->n_empty + c->n_not_utf8 + c->n_with_nul + c->n_too_long + c->n_other_files;
}

static int finish(struct labelled_loader *l, const char *path, struct elmo_error *err)
{
    struct labelled_set *set = &l->set;
    const struct labelled_counts *c = &set->counts;
    if (!set->n_items && !n_left_out(c))
        return elmo_fail(err, ELMO_E_INVALID, "'%.200s' is empty", path);
    if (!set->n_items)
        return elmo_fail(err, ELMO_E_INVALID,
                         "'%.200s' has no text that can be used: %zu empty, %zu not UTF-8, %zu "
                         "with a NUL, %zu too long, %zu other files",
                         path, c->n_empty, c->n_not_utf8, c->n_with_nul, c->n_too_long,
                         c->n_other_files);
    if (l->labels.n_items < 2 && !l->settings->unlabelled)
        return elmo_fail(err, ELMO_E_INVALID,
                         "'%.200s' has one label for all its texts (%zu): there is nothing to tell "
                         "apart",
                         path, set->n_items);
    if (!l->settings->unlabelled && sort_labels(l))
        return elmo_fail_nomem(err);
    set->n_groups = l->groups.n_items;
    hash_items(set);
    return 0;
}

static bool has_suffix(const char *path, size_t n_bytes, const char *suffix)
{
    size_t n = strlen(suffix);
    return n_bytes >= n && !memcmp(path + n_bytes - n, suffix, n);
}

static int load(struct labelled_loader *l, const char *path, struct elmo_error *err)
{
    struct stat st;
    if (l->settings->unlabelled)
        return labelled_load_text(l, path, err);
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return labelled_load_folder(l, path, err);
    size_t n = strlen(path);
    n -= has_suffix(path, n, ".gz") || has_suffix(path, n, ".xz") ? 3 : 0;
    if (has_suffix(path, n, ".tsv"))
        return labelled_load_tsv(l, path, err);
    if (has_suffix(path, n, ".jsonl"))
        return labelled_load_jsonl(l, path, err);
    return elmo_fail(err, ELMO_E_INVALID,
                     "'%.200s' is neither a folder nor named .tsv or .jsonl (.gz, .xz)", path);
}

int labelled_load(struct labelled_set *ret_set, const char *path,
                  const struct labelled_settings *settings, struct elmo_error *err)
{
    struct labelled_loader l = {.settings = settings, .path = path};
    int r = load(&l, path, err);
    if (!r)
        r = finish(&l, path, err);
    word_table_done(&l.labels);
    word_table_done(&l.groups);
    if (r) {
        labelled_done(&l.set);
        return r;
    }
    *ret_set = l.set;
    return 0;
}

/* ---- For a person ---- */

static void print_count(FILE *out, size_t n, const char *what, bool *is_first)
{
    if (!n)
        return;
    fprintf(out, "%s%zu %s", *is_first ? "left out: " : ", ", n, what);
    *is_first = false;
}

void labelled_print(const struct labelled_set *set, FILE *out)
{
    const struct labelled_counts *c = &set->counts;
    size_t n_of[LABELLED_MAX_LABELS] = {0};
    bool is_first = true;
    for (size_t k = 0; k < set->n_items; k++)
        n_of[set->items[k].label]++;
    if (set->n_labels)
        fprintf(out, "%zu texts in %zu groups: ", set->n_items, set->n_groups);
    else
        fprintf(out, "%zu texts without labels", set->n_items);
    for (size_t k = 0; k < set->n_labels; k++)
        fprintf(out, "%s%zu %s", k ? ", " : "", n_of[k], set->labels[k]);
    putc('\n', out);
    print_count(out, c->n_empty, "empty", &is_first);
    print_count(out, c->n_not_utf8, "not UTF-8", &is_first);
    print_count(out, c->n_with_nul, "with a NUL", &is_first);
    print_count(out, c->n_too_long, "too long", &is_first);
    print_count(out, c->n_other_files, "files of other names", &is_first);
    if (!is_first)
        putc('\n', out);
}

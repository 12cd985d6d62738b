#include "curve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

/* The first line: what every curve has, then what curves have since a run can have several held-out
 * texts. */
#define OLD_HEADER \
    "step,tokens,epoch,seconds,learning_rate,loss,perplexity_forward,perplexity_backward,perplexity"
#define RESUMES ",resumes"
#define OTHER   ",perplexity:"

#define HEADER_BYTES 1024
#define ROW_BYTES    640

struct columns {
    bool has_resumes; /* it and the others are in no file of an earlier version */
    struct curve_others others;
};

struct curve {
    char *path;
    int fd;        /* O_APPEND */
    off_t n_bytes; /* of whole rows */
    struct columns columns;
    uint64_t resumes; /* of the rows to come */
    bool has_points;
    uint64_t last_step;
};

static int fail_io(struct elmo_error *err, const char *verb, const char *path)
{
    return elmo_fail(err, ELMO_E_IO, "cannot %s '%.200s': %s", verb, path, strerror(errno));
}

static void fd_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
DEFINE_AUTO(fd_close, int);

/* ---- The header ---- */

static void format_header(char text[HEADER_BYTES], const struct columns *columns)
{
    int n = snprintf(text, HEADER_BYTES, OLD_HEADER "%s", columns->has_resumes ? RESUMES : "");
    for (size_t k = 0; k < columns->others.n_names; k++)
        n += snprintf(text + n, HEADER_BYTES - (size_t)n, OTHER "%s", columns->others.names[k]);
    snprintf(text + n, HEADER_BYTES - (size_t)n, "\n");
}

/* What follows `literal` in the text; NULL: the text begins with something else. */
static const char *after(const char *text, const char *literal)
{
    size_t n = strlen(literal);
    return strncmp(text, literal, n) ? NULL : text + n;
}

/* Adds the name that the text begins with; returns what follows it, or NULL. */
static const char *parse_name(struct curve_others *others, const char *text)
{
    size_t n_bytes = 0;
    while (curve_is_name_byte(text[n_bytes]))
        n_bytes++;
    if (!n_bytes || n_bytes >= CURVE_NAME_BYTES || others->n_names == CURVE_MAX_OTHERS)
        return NULL;
    char *name = others->names[others->n_names++];
    memcpy(name, text, n_bytes);
    name[n_bytes] = '\0';
    return text + n_bytes;
}

/* Returns the rows below the header, or NULL if the text begins with none. */
static const char *parse_header(struct columns *ret, const char *text)
{
    struct columns c = {0};
    const char *at = after(text, OLD_HEADER), *next;
    if (at && (next = after(at, RESUMES))) {
        c.has_resumes = true;
        for (at = next; at && (next = after(at, OTHER));)
            at = parse_name(&c.others, next);
    }
    if (!at || *at != '\n')
        return NULL;
    *ret = c;
    return at + 1;
}

/* Whether a header could begin so. */
static bool is_torn_header(const char *text, size_t n_bytes)
{
    static const char longest[] = OLD_HEADER RESUMES OTHER;
    return !strncmp(text, longest, n_bytes < sizeof longest - 1 ? n_bytes : sizeof longest - 1);
}

/* ---- Rows ---- */

static void append_cell(char row[ROW_BYTES], int digits, double value)
{
    size_t n = strlen(row);
    if (isnan(value))
        snprintf(row + n, ROW_BYTES - n, ",");
    else
        snprintf(row + n, ROW_BYTES - n, ",%.*g", digits, value);
}

static void format_row(char row[ROW_BYTES], const struct curve *c, const struct curve_point *p)
{
    snprintf(row, ROW_BYTES, "%" PRIu64 ",%" PRIu64, p->step, p->tokens);
    append_cell(row, 9, p->epoch);
    append_cell(row, 9, p->seconds);
    append_cell(row, 6, p->learning_rate);
    append_cell(row, 8, p->loss);
    append_cell(row, 7, p->perplexity_forward);
    append_cell(row, 7, p->perplexity_backward);
    append_cell(row, 7, p->perplexity);
    if (c->columns.has_resumes)
        snprintf(row + strlen(row), ROW_BYTES - strlen(row), ",%" PRIu64, c->resumes);
    for (size_t k = 0; k < c->columns.others.n_names; k++)
        append_cell(row, 7, p->others[k]);
    strcat(row, "\n");
}

/* One cell and the ',' or LF after it; NULL: not a number. */
static const char *parse_count(uint64_t *ret, const char *at, char delimiter)
{
    char *end;
    if (*at < '0' || *at > '9')
        return NULL;
    errno = 0;
    *ret = strtoull(at, &end, 10);
    return errno || *end != delimiter ? NULL : end + 1;
}

static const char *parse_value(double *ret, const char *at, char delimiter)
{
    char *end = (char *)at;
    *ret = (double)NAN;
    if (*at != delimiter)
        *ret = strtod(at, &end);
    return *end == delimiter && (end > at || isnan(*ret)) ? end + 1 : NULL;
}

/* The cells after `perplexity`. */
static const char *parse_new_cells(struct curve_point *p, const char *at,
                                   const struct columns *columns)
{
    size_t n = columns->others.n_names;
    at = parse_count(&p->resumes, at, n ? ',' : '\n');
    for (size_t k = 0; at && k < n; k++)
        at = parse_value(&p->others[k], at, k + 1 < n ? ',' : '\n');
    return at;
}

/* A row that ends in LF; returns what follows it, or NULL if it is none. */
static const char *parse_row(struct curve_point *ret, const char *at, const struct columns *columns)
{
    struct curve_point p = {0};
    double *const values[] = {&p.epoch,
                              &p.seconds,
                              &p.learning_rate,
                              &p.loss,
                              &p.perplexity_forward,
                              &p.perplexity_backward,
                              &p.perplexity};
    char last = columns->has_resumes ? ',' : '\n';
    for (size_t k = 0; k < CURVE_MAX_OTHERS; k++)
        p.others[k] = (double)NAN;
    at = parse_count(&p.step, at, ',');
    at = at ? parse_count(&p.tokens, at, ',') : NULL;
    for (size_t k = 0; at && k < ARRAY_LEN(values); k++)
        at = parse_value(values[k], at, k + 1 < ARRAY_LEN(values) ? ',' : last);
    if (at && columns->has_resumes)
        at = parse_new_cells(&p, at, columns);
    if (at)
        *ret = p;
    return at;
}

/* ---- Reading ---- */

/* The whole file, NUL-terminated; free() it. */
static int read_all(char **ret_text, size_t *ret_n_bytes, int fd, const char *path,
                    struct elmo_error *err)
{
    struct stat info;
    if (fstat(fd, &info))
        return fail_io(err, "read", path);
    size_t capacity = (size_t)info.st_size, n_bytes = 0;
    AUTO(mem_free) char *text = malloc(capacity + 1);
    if (!text)
        return elmo_fail_nomem(err);
    while (n_bytes < capacity) {
        ssize_t n = pread(fd, text + n_bytes, capacity - n_bytes, (off_t)n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_io(err, "read", path);
        if (n == 0)
            break;
        n_bytes += (size_t)n;
    }
    text[n_bytes] = '\0';
    *ret_text = STEAL(text);
    *ret_n_bytes = n_bytes;
    return 0;
}

/* Bytes up to the last LF: what was written whole. */
static size_t whole_bytes(const char *text, size_t n_bytes)
{
    while (n_bytes && text[n_bytes - 1] != '\n')
        n_bytes--;
    return n_bytes;
}

/* What a file holds. */
struct content {
    char *text; /* NUL-terminated */
    size_t n_bytes;
    bool has_header; /* false: nothing, or a torn header */
    struct columns columns;
    struct curve_point *points; /* [n_points] of the whole rows */
    size_t n_points;
};

static void content_done(struct content *content)
{
    free(content->text);
    free(content->points);
}

static int parse_rows(struct content *content, const char *at, const char *path,
                      struct elmo_error *err)
{
    const char *end = content->text + whole_bytes(content->text, content->n_bytes);
    size_t n_lines = 0;
    for (const char *c = at; c < end; c++)
        n_lines += *c == '\n';
    content->points = calloc(n_lines + 1, sizeof *content->points);
    if (!content->points)
        return elmo_fail_nomem(err);
    while (at < end) {
        at = parse_row(&content->points[content->n_points++], at, &content->columns);
        if (!at)
            return elmo_fail(err, ELMO_E_FORMAT, "'%.200s': line %zu is no point of a curve", path,
                             content->n_points + 1);
    }
    return 0;
}

/* content_done() what it leaves, also when it fails. */
static int read_content(struct content *content, int fd, const char *path, struct elmo_error *err)
{
    int r = read_all(&content->text, &content->n_bytes, fd, path, err);
    if (r)
        return r;
    const char *rows = parse_header(&content->columns, content->text);
    content->has_header = rows;
    if (rows)
        return parse_rows(content, rows, path, err);
    if (!whole_bytes(content->text, content->n_bytes) &&
        is_torn_header(content->text, content->n_bytes))
        return 0;
    return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is no curve: its first line differs", path);
}

int curve_read(struct curve_point **ret_points, size_t *ret_n_points,
               struct curve_others *ret_others, const char *path, struct elmo_error *err)
{
    AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct content content = {0};
    if (fd < 0)
        return fail_io(err, "read", path);
    int r = read_content(&content, fd, path, err);
    if (!r) {
        *ret_points = STEAL(content.points);
        *ret_n_points = content.n_points;
    }
    if (!r && ret_others)
        *ret_others = content.columns.others;
    content_done(&content);
    return r;
}

/* ---- Writing ---- */

/* Takes away what a failed write left of its row. */
static bool drop_torn_row(struct curve *c)
{
    struct stat now;
    return !fstat(c->fd, &now) && (now.st_size <= c->n_bytes || !ftruncate(c->fd, c->n_bytes));
}

static int append_whole(struct curve *c, const char *text, struct elmo_error *err)
{
    size_t n_bytes = strlen(text);
    if (!drop_torn_row(c))
        return fail_io(err, "write", c->path);
    ssize_t n;
    do
        n = write(c->fd, text, n_bytes);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)n_bytes) {
        c->n_bytes += n;
        return 0;
    }
    if (n >= 0)
        errno = ENOSPC; /* what a write that stops short means on a file */
    int r = fail_io(err, "write", c->path);
    drop_torn_row(c); /* the next one tries again */
    return r;
}

/* Takes a torn end away, and writes the header where there is none. */
static int repair(struct curve *c, const struct content *content, struct elmo_error *err)
{
    char header[HEADER_BYTES];
    c->n_bytes = (off_t)whole_bytes(content->text, content->n_bytes);
    format_header(header, &c->columns);
    if (!content->has_header)
        return append_whole(c, header, err);
    return drop_torn_row(c) ? 0 : fail_io(err, "write", c->path);
}

static bool same_names(const struct curve_others *a, const struct curve_others *b)
{
    bool same = a->n_names == b->n_names;
    for (size_t k = 0; same && k < a->n_names; k++)
        same = !strcmp(a->names[k], b->names[k]);
    return same;
}

/* "a, b" or "no text" */
static const char *list_names(char list[HEADER_BYTES], const struct curve_others *others)
{
    int n = snprintf(list, HEADER_BYTES, "%s", others->n_names ? "" : "no text");
    for (size_t k = 0; k < others->n_names; k++)
        n += snprintf(list + n, HEADER_BYTES - (size_t)n, "%s%s", k ? ", " : "", others->names[k]);
    return list;
}

/* A file that has a header keeps its columns: they must be for the texts that are asked for. */
static int choose_columns(struct curve *c, const struct content *content,
                          const struct curve_others *others, struct elmo_error *err)
{
    static const struct curve_others none;
    char has[HEADER_BYTES], asked[HEADER_BYTES];
    if (!others)
        others = &none;
    c->columns = (struct columns){true, *others};
    if (!content->has_header)
        return 0;
    c->columns = content->columns;
    if (same_names(&c->columns.others, others))
        return 0;
    return elmo_fail(err, ELMO_E_INVALID,
                     "'%.200s' is of other held-out texts: after the first, it has columns for %s, "
                     "and --heldout has %s: give the same --heldout, or another --out",
                     c->path, list_names(has, &c->columns.others), list_names(asked, others));
}

/* Goes on after what the file holds. */
static int begin(struct curve *c, const struct content *content, const struct curve_others *others,
                 struct elmo_error *err)
{
    int r = choose_columns(c, content, others, err);
    if (!r)
        r = repair(c, content, err);
    if (r || !content->n_points)
        return r;
    const struct curve_point *last = &content->points[content->n_points - 1];
    c->has_points = true;
    c->last_step = last->step;
    c->resumes = last->resumes + 1;
    return 0;
}

int curve_open(struct curve **ret_curve, const char *path, const struct curve_others *others,
               struct elmo_error *err)
{
    AUTO(curve_free) struct curve *c = calloc(1, sizeof *c);
    struct content content = {0};
    if (!c)
        return elmo_fail_nomem(err);
    c->fd = -1;
    c->path = strdup(path);
    if (!c->path)
        return elmo_fail_nomem(err);
    c->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (c->fd < 0)
        return fail_io(err, "write", path);
    int r = read_content(&content, c->fd, path, err);
    if (!r)
        r = begin(c, &content, others, err);
    content_done(&content);
    if (!r)
        *ret_curve = STEAL(c);
    return r;
}

void curve_free(struct curve *c)
{
    if (!c)
        return;
    fd_close(c->fd);
    free(c->path);
    free(c);
}

int curve_add(struct curve *c, const struct curve_point *point, struct elmo_error *err)
{
    char row[ROW_BYTES];
    if (c->has_points && point->step <= c->last_step)
        return 0;
    format_row(row, c, point);
    int r = append_whole(c, row, err);
    if (r)
        return r;
    c->has_points = true;
    c->last_step = point->step;
    return 0;
}

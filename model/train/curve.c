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

static const char header[] = "step,tokens,epoch,seconds,learning_rate,loss,perplexity_forward,"
                             "perplexity_backward,perplexity\n";

#define ROW_BYTES 320

struct curve {
    char *path;
    int fd;        /* O_APPEND */
    off_t n_bytes; /* of whole rows */
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

/* ---- Rows ---- */

static void append_cell(char row[ROW_BYTES], int digits, double value)
{
    size_t n = strlen(row);
    if (isnan(value))
        snprintf(row + n, ROW_BYTES - n, ",");
    else
        snprintf(row + n, ROW_BYTES - n, ",%.*g", digits, value);
}

static void format_row(char row[ROW_BYTES], const struct curve_point *p)
{
    snprintf(row, ROW_BYTES, "%" PRIu64 ",%" PRIu64, p->step, p->tokens);
    append_cell(row, 9, p->epoch);
    append_cell(row, 9, p->seconds);
    append_cell(row, 6, p->learning_rate);
    append_cell(row, 8, p->loss);
    append_cell(row, 7, p->perplexity_forward);
    append_cell(row, 7, p->perplexity_backward);
    append_cell(row, 7, p->perplexity);
    strcat(row, "\n");
}

/* One cell and the ',' or LF behind it; NULL: not a number. */
static const char *parse_count(uint64_t *ret, const char *at)
{
    char *end;
    if (*at < '0' || *at > '9')
        return NULL;
    errno = 0;
    *ret = strtoull(at, &end, 10);
    return errno || *end != ',' ? NULL : end + 1;
}

static const char *parse_value(double *ret, const char *at, char delimiter)
{
    char *end = (char *)at;
    *ret = (double)NAN;
    if (*at != delimiter)
        *ret = strtod(at, &end);
    return *end == delimiter && (end > at || isnan(*ret)) ? end + 1 : NULL;
}

/* A row that ends in LF; returns what follows it, or NULL if it is none. */
static const char *parse_row(struct curve_point *ret, const char *at)
{
    struct curve_point p = {0};
    double *const values[] = {&p.epoch,
                              &p.seconds,
                              &p.learning_rate,
                              &p.loss,
                              &p.perplexity_forward,
                              &p.perplexity_backward,
                              &p.perplexity};
    at = parse_count(&p.step, at);
    at = at ? parse_count(&p.tokens, at) : NULL;
    for (size_t k = 0; at && k < ARRAY_LEN(values); k++)
        at = parse_value(values[k], at, k + 1 < ARRAY_LEN(values) ? ',' : '\n');
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

/* Points of the whole rows of `text`; the file may hold nothing but a torn header. */
static int parse_all(struct curve_point **ret_points, size_t *ret_n_points, const char *text,
                     size_t n_bytes, const char *path, struct elmo_error *err)
{
    size_t n_header = sizeof header - 1, n_whole = whole_bytes(text, n_bytes), n_points = 0,
           n_lines = 0;
    if (strncmp(text, header, n_bytes < n_header ? n_bytes : n_header))
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is no curve: its first line differs", path);
    for (size_t k = 0; k < n_whole; k++)
        n_lines += text[k] == '\n';
    AUTO(mem_free) struct curve_point *points = calloc(n_lines + 1, sizeof *points);
    if (!points)
        return elmo_fail_nomem(err);
    const char *at = text + (n_whole ? n_header : 0);
    while (at < text + n_whole) {
        at = parse_row(&points[n_points++], at);
        if (!at)
            return elmo_fail(err, ELMO_E_FORMAT, "'%.200s': line %zu is no point of a curve", path,
                             n_points + 1);
    }
    *ret_points = STEAL(points);
    *ret_n_points = n_points;
    return 0;
}

int curve_read(struct curve_point **ret_points, size_t *ret_n_points, const char *path,
               struct elmo_error *err)
{
    AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO(mem_free) char *text = NULL;
    size_t n_bytes = 0;
    if (fd < 0)
        return fail_io(err, "read", path);
    int r = read_all(&text, &n_bytes, fd, path, err);
    return r ? r : parse_all(ret_points, ret_n_points, text, n_bytes, path, err);
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
static int repair(struct curve *c, const char *text, size_t n_bytes, struct elmo_error *err)
{
    c->n_bytes = (off_t)whole_bytes(text, n_bytes);
    if (!c->n_bytes)
        return append_whole(c, header, err);
    return drop_torn_row(c) ? 0 : fail_io(err, "write", c->path);
}

int curve_open(struct curve **ret_curve, const char *path, struct elmo_error *err)
{
    AUTO(curve_free) struct curve *c = calloc(1, sizeof *c);
    AUTO(mem_free) struct curve_point *points = NULL;
    AUTO(mem_free) char *text = NULL;
    size_t n_points = 0, n_bytes = 0;
    if (!c)
        return elmo_fail_nomem(err);
    c->fd = -1;
    c->path = strdup(path);
    if (!c->path)
        return elmo_fail_nomem(err);
    c->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (c->fd < 0)
        return fail_io(err, "write", path);
    int r = read_all(&text, &n_bytes, c->fd, path, err);
    if (!r)
        r = parse_all(&points, &n_points, text, n_bytes, path, err);
    if (!r)
        r = repair(c, text, n_bytes, err);
    if (r)
        return r;
    c->has_points = n_points > 0;
    c->last_step = n_points ? points[n_points - 1].step : 0;
    *ret_curve = STEAL(c);
    return 0;
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
    format_row(row, point);
    int r = append_whole(c, row, err);
    if (r)
        return r;
    c->has_points = true;
    c->last_step = point->step;
    return 0;
}

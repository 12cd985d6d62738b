#include "word_vectors_text.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <unistr.h>

#include "error.h"
#include "word_vectors.h"

#define MAX_LINE_BYTES   ((size_t)1 << 20)
#define MAX_NUMBER_BYTES 63

struct slice {
    const char *begin, *end;
};

static bool is_separator(char c)
{
    return c == ' ' || c == '\t';
}

static int fail_line(const struct word_vectors_text *t, const char *what, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_FORMAT, "'%.200s', line %zu: %s", t->path, t->line, what);
}

static struct slice trim_end(struct slice s)
{
    while (s.begin < s.end && (is_separator(s.end[-1]) || s.end[-1] == '\r'))
        s.end--;
    return s;
}

/* The last field; what is before it stays in *line, without the separators between. */
static struct slice cut_last(struct slice *line)
{
    struct slice field = *line;
    field.begin = field.end;
    while (field.begin > line->begin && !is_separator(field.begin[-1]))
        field.begin--;
    line->end = field.begin;
    *line = trim_end(*line);
    return field;
}

/* ---- Numbers ---- */

static const double powers_of_10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* What there is between strtod and "0.123456": up to 15 digits, and a power of ten that a double
 * holds exactly, so that one operation rounds once and right. False: it is longer, or no number. */
static bool read_short_number(struct slice s, double *ret)
{
    const char *c = s.begin;
    uint64_t digits = 0;
    int n_digits = 0, n_behind = 0;
    bool negative = c < s.end && *c == '-', point = false;
    c += negative;
    for (; c < s.end; c++) {
        if (*c == '.' && !point) {
            point = true;
            continue;
        }
        if (*c < '0' || *c > '9' || n_digits == 15)
            return false;
        digits = digits * 10 + (uint64_t)(*c - '0');
        n_digits++;
        n_behind += point;
    }
    if (n_digits == 0)
        return false;
    double value = (double)digits / powers_of_10[n_behind];
    *ret = negative ? -value : value;
    return true;
}

/* Any decimal number. strtod takes also hexadecimal, infinities and NaNs. */
static bool read_long_number(struct slice s, double *ret)
{
    char text[MAX_NUMBER_BYTES + 1], *end;
    size_t n = (size_t)(s.end - s.begin);
    if (n == 0 || n > MAX_NUMBER_BYTES)
        return false;
    memcpy(text, s.begin, n);
    text[n] = '\0';
    if (text[strspn(text, "0123456789+-.eE")] != '\0')
        return false;
    *ret = strtod(text, &end);
    return end == text + n;
}

/* To float32 by way of double, as numpy.float32(text) does. */
static bool read_number(struct slice s, float *ret)
{
    double value;
    if (!read_short_number(s, &value) && !read_long_number(s, &value))
        return false;
    *ret = (float)value;
    return isfinite(*ret);
}

/* ---- Lines ---- */

/* The next line that is not blank, without its end; false: there is none. */
static int next_line(struct word_vectors_text *t, struct slice *ret_line, bool *ret_there,
                     struct elmo_error *err)
{
    *ret_there = false;
    while (t->next < t->end && !*ret_there) {
        size_t n_left = (size_t)(t->end - t->next);
        size_t n_max = n_left < MAX_LINE_BYTES ? n_left : MAX_LINE_BYTES;
        const char *feed = memchr(t->next, '\n', n_max);
        t->line++;
        if (!feed && n_left > MAX_LINE_BYTES)
            return fail_line(t, "longer than 1 MiB", err);
        *ret_line = (struct slice){t->next, feed ? feed : t->end};
        t->next = feed ? feed + 1 : t->end;
        *ret_line = trim_end(*ret_line);
        *ret_there = ret_line->begin < ret_line->end;
    }
    return 0;
}

/* Only digits, below 2^53. */
static bool read_count(struct slice s, size_t *ret)
{
    double value;
    for (const char *c = s.begin; c < s.end; c++) {
        if (*c < '0' || *c > '9')
            return false;
    }
    if (!read_short_number(s, &value))
        return false;
    *ret = (size_t)value;
    return true;
}

/* "WORDS DIM" and nothing else. */
static bool read_header(struct word_vectors_text *t, struct slice line)
{
    struct slice second = cut_last(&line), first = cut_last(&line);
    return line.begin == line.end && read_count(first, &t->n_promised) &&
           read_count(second, &t->dim);
}

static size_t count_fields(struct slice line)
{
    size_t n = line.begin < line.end && is_separator(*line.begin); /* after an empty word */
    for (; line.begin < line.end; n++)
        cut_last(&line);
    return n;
}

int word_vectors_text_begin(struct word_vectors_text *ret_text, const char *path, const char *bytes,
                            size_t n_bytes, struct elmo_error *err)
{
    struct word_vectors_text t = {.path = path, .next = bytes, .end = bytes + n_bytes};
    struct slice line;
    bool there;
    if (n_bytes >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
        t.next += 3;
    const char *first = t.next;
    int r = next_line(&t, &line, &there, err);
    if (r)
        return r;
    if (!there)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' holds no words", path);
    if (!read_header(&t, line)) {
        t.n_promised = SIZE_MAX;
        t.dim = count_fields(line) - 1;
        t.next = first;
        t.line = 0;
    }
    if (t.dim == 0 || t.dim > WORD_VECTORS_MAX_DIM) {
        t.line = t.line ? t.line : 1;
        return fail_line(&t, "a word and 1 to 8192 numbers, or WORDS and DIM, expected", err);
    }
    *ret_text = t;
    return 0;
}

static int read_values(const struct word_vectors_text *t, struct slice *line, float *values,
                       struct elmo_error *err)
{
    for (size_t k = t->dim; k > 0; k--) {
        const struct slice field = cut_last(line);
        if (field.begin < field.end && read_number(field, &values[k - 1]))
            continue;
        return fail_line(
            t, line->begin == line->end ? "too few numbers" : "not a number, or not a finite one",
            err);
    }
    if (line->begin == line->end && !is_separator(*line->begin))
        return fail_line(t, "too few numbers", err);
    /* Words may hold spaces, but none is known that ends in a number after one. */
    struct slice rest = *line;
    const struct slice last = cut_last(&rest);
    float more;
    if (rest.begin < rest.end && read_number(last, &more))
        return fail_line(t, "too many numbers", err);
    return 0;
}

static bool is_usable(struct slice word)
{
    size_t n_bytes = (size_t)(word.end - word.begin);
    return n_bytes > 0 && !u8_check((const uint8_t *)word.begin, n_bytes);
}

static int check_end(const struct word_vectors_text *t, struct elmo_error *err)
{
    if (t->n_promised == SIZE_MAX || t->n_words == t->n_promised)
        return 0;
    return elmo_fail(err, ELMO_E_FORMAT,
                     "'%.200s', line %zu: its first line says %zu words, not %zu", t->path, t->line,
                     t->n_promised, t->n_words);
}

int word_vectors_text_next(struct word_vectors_text *t, struct elmo_token *ret_word,
                           float *ret_values, struct elmo_error *err)
{
    struct slice line;
    for (;;) {
        bool there;
        int r = next_line(t, &line, &there, err);
        if (r)
            return r;
        if (!there) {
            *ret_word = (struct elmo_token){0};
            return check_end(t, err);
        }
        r = read_values(t, &line, ret_values, err);
        if (r)
            return r;
        t->n_words++;
        if (is_usable(line))
            break;
        t->n_left_out++;
        t->first_left_out = t->first_left_out ? t->first_left_out : t->line;
    }
    *ret_word = (struct elmo_token){line.begin, (size_t)(line.end - line.begin)};
    return 0;
}

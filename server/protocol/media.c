#include "media.h"

#include <string.h>
#include <strings.h>

#include "util/slice.h"

#define BLANKS " \t"

/* Splits *rest at the first `separator` outside quotes and returns the trimmed part before it. */
static struct slice cut(struct slice *rest, char separator)
{
    bool quoted = false;
    size_t n = 0;
    for (; n < rest->n_bytes && (quoted || rest->bytes[n] != separator); n++) {
        if (quoted && rest->bytes[n] == '\\' && n + 1 < rest->n_bytes)
            n++;
        else if (rest->bytes[n] == '"')
            quoted = !quoted;
    }
    struct slice before = {rest->bytes, n};
    size_t n_cut = n < rest->n_bytes ? n + 1 : n;
    rest->bytes += n_cut;
    rest->n_bytes -= n_cut;
    return slice_trim(before, BLANKS);
}

static bool slice_is(struct slice s, const char *text)
{
    return s.n_bytes == strlen(text) && strncasecmp(s.bytes, text, s.n_bytes) == 0;
}

/* 3: the same type, 2: "application/" and a star, 1: both stars, 0: no match. */
static unsigned specificity(struct slice range, const char *type)
{
    size_t n_main = (size_t)(strchr(type, '/') - type) + 1; /* with the slash */
    if (slice_is(range, type))
        return 3;
    if (range.n_bytes == n_main + 1 && range.bytes[n_main] == '*' &&
        strncasecmp(range.bytes, type, n_main) == 0)
        return 2;
    return slice_is(range, "*/*") ? 1 : 0;
}

/* Parses a qvalue (0, 0.5, 0.125, 1 or 1.000) in thousandths. Malformed values count as 1. */
static unsigned quality(struct slice q)
{
    unsigned value = 0, digit = 100;
    if (q.n_bytes == 0 || q.n_bytes > strlen("0.125") || q.bytes[0] != '0' ||
        (q.n_bytes > 1 && q.bytes[1] != '.'))
        return 1000;
    for (size_t i = 2; i < q.n_bytes; i++, digit /= 10) {
        if (q.bytes[i] < '0' || q.bytes[i] > '9')
            return 1000;
        value += digit * (unsigned)(q.bytes[i] - '0');
    }
    return value;
}

/* The value of a parameter "name=value" if it has this name, otherwise {NULL}. */
static struct slice parameter_value(struct slice parameter, const char *name)
{
    struct slice value = parameter;
    struct slice found = cut(&value, '=');
    return slice_is(found, name) ? slice_trim(value, BLANKS) : (struct slice){0};
}

/* The q among the parameters of a range. */
static unsigned quality_of(struct slice parameters)
{
    unsigned value = 1000;
    while (parameters.n_bytes > 0) {
        struct slice q = parameter_value(cut(&parameters, ';'), "q");
        if (q.bytes)
            value = quality(q);
    }
    return value;
}

unsigned media_rank(const char *const *accept, size_t n_accept, const char *type)
{
    unsigned best = 0, best_quality = 0;
    bool any_range = false;
    for (size_t i = 0; i < n_accept; i++) {
        struct slice rest = slice_of(accept[i]);
        while (rest.n_bytes > 0) {
            struct slice item = cut(&rest, ',');
            any_range = any_range || item.n_bytes > 0;
            unsigned match = specificity(cut(&item, ';'), type), q = quality_of(item);
            if (match > best || (match == best && match > 0 && q > best_quality))
                best_quality = q;
            best = match > best ? match : best;
        }
    }
    if (!any_range)
        return 1;
    return best_quality > 0 ? 4 * best_quality + best : 0;
}

bool media_is_json(const char *content_type)
{
    struct slice rest = slice_of(content_type);
    if (!slice_is(cut(&rest, ';'), "application/json"))
        return false;
    while (rest.n_bytes > 0) {
        struct slice charset = parameter_value(cut(&rest, ';'), "charset");
        if (charset.bytes && !slice_is(charset, "utf-8") && !slice_is(charset, "\"utf-8\""))
            return false;
    }
    return true;
}

static bool is_gzip(struct slice coding)
{
    return slice_is(coding, "gzip") || slice_is(coding, "x-gzip"); /* RFC 9110, section 8.4.1.3 */
}

bool media_is_gzip(const char *content_encoding)
{
    return is_gzip(slice_trim(slice_of(content_encoding), BLANKS));
}

enum coding media_coding(const struct head_field *accept_encoding)
{
    enum { LISTED_GZIP, LISTED_ZSTD, LISTED_IDENTITY, LISTED_ANY, N_LISTED };
    int q[N_LISTED] = {-1, -1, -1, -1}; /* -1: not listed */
    if (accept_encoding->count != 1)
        return CODING_IDENTITY;
    struct slice rest = slice_of(accept_encoding->value);
    while (rest.n_bytes > 0) {
        struct slice item = cut(&rest, ','), name = cut(&item, ';');
        struct slice value = parameter_value(cut(&item, ';'), "q");
        int at = is_gzip(name)                ? LISTED_GZIP
                 : slice_is(name, "zstd")     ? LISTED_ZSTD
                 : slice_is(name, "identity") ? LISTED_IDENTITY
                 : slice_is(name, "*")        ? LISTED_ANY
                                              : N_LISTED;
        if (at < N_LISTED)
            q[at] = value.bytes ? (int)quality(value) : 1000;
    }
    int gzip = q[LISTED_GZIP] >= 0 ? q[LISTED_GZIP] : q[LISTED_ANY];
    int zstd = q[LISTED_ZSTD] >= 0 ? q[LISTED_ZSTD] : q[LISTED_ANY];
    if (gzip <= 0 && zstd <= 0)
        return CODING_IDENTITY;
    if (q[LISTED_IDENTITY] > gzip && q[LISTED_IDENTITY] > zstd)
        return CODING_IDENTITY;
    return gzip > zstd ? CODING_GZIP : CODING_ZSTD;
}

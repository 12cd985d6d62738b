#include "st_draft.h"

#include <stdio.h>
#include <string.h>

#include "tensor_set.h"

/* ---- The two parts of a file ---- */

bool st_draft_parse(struct st_draft *ret_draft, const unsigned char *bytes, size_t n_bytes)
{
    struct st_draft d = {0};
    for (unsigned k = 0; k < 8; k++)
        d.length_prefix |= (uint64_t)bytes[k] << (8 * k);
    size_t n_header = (size_t)d.length_prefix;
    if (n_header >= sizeof d.header || n_header > n_bytes - 8)
        return false;
    memcpy(d.header, bytes + 8, n_header);
    d.n_data = n_bytes - 8 - n_header;
    d.data = must_calloc(d.n_data, 1);
    memcpy(d.data, bytes + 8 + n_header, d.n_data);
    *ret_draft = d;
    return true;
}

struct st_draft st_draft_copy(const struct st_draft *draft)
{
    struct st_draft d = *draft;
    d.data = must_calloc(d.n_data, 1);
    memcpy(d.data, draft->data, d.n_data);
    return d;
}

void st_draft_done(struct st_draft *draft)
{
    free(draft->data);
    draft->data = NULL;
}

unsigned char *st_draft_bytes(const struct st_draft *d, size_t *ret_n_bytes)
{
    size_t n_header = strlen(d->header);
    *ret_n_bytes = 8 + n_header + d->n_data + d->n_extra;
    unsigned char *bytes = must_calloc(*ret_n_bytes, 1);
    for (unsigned k = 0; k < 8; k++)
        bytes[k] = (unsigned char)(d->length_prefix >> (8 * k));
    memcpy(bytes + 8, d->header, n_header);
    memcpy(bytes + 8 + n_header, d->data, d->n_data);
    return bytes;
}

/* Cuts `n_old` characters at `at` and puts `text` there; false when it would not fit. */
static bool splice(char header[static ST_DRAFT_HEADER_BYTES], char *at, size_t n_old,
                   const char *text)
{
    size_t n_text = strlen(text), n_behind = strlen(at + n_old);
    if ((size_t)(at - header) + n_text + n_behind >= ST_DRAFT_HEADER_BYTES)
        return false;
    memmove(at + n_text, at + n_old, n_behind + 1);
    memcpy(at, text, n_text);
    return true;
}

bool st_draft_replace(struct st_draft *d, const char *from, const char *to)
{
    char *at = strstr(d->header, from);
    if (!at || !splice(d->header, at, strlen(from), to))
        return false;
    d->length_prefix = strlen(d->header);
    return true;
}

/* ---- Mutants ---- */

static void flip_anywhere(struct st_draft *d, struct rng *rng)
{
    size_t n_header = strlen(d->header);
    for (size_t n = 1 + rng_below(rng, 4); n > 0; n--) {
        size_t at = rng_below(rng, n_header + d->n_data);
        unsigned char bit = (unsigned char)(1u << rng_below(rng, 8));
        if (at >= n_header)
            d->data[at - n_header] ^= bit;
        else if ((unsigned char)d->header[at] != bit) /* no NUL: `header` is a string */
            d->header[at] = (char)((unsigned char)d->header[at] ^ bit);
    }
}

/* A number of the header, in the options too, becomes another one. */
static void change_number(struct st_draft *d, struct rng *rng)
{
    static const char *const numbers[] = {"0",
                                          "1",
                                          "2",
                                          "-1",
                                          "0.5",
                                          "1e3",
                                          "1e308",
                                          "1e999",
                                          "65536",
                                          "1048576",
                                          "1048577",
                                          "2147483648",
                                          "4294967295",
                                          "4294967296",
                                          "4611686018427387904",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "18446744073709551615",
                                          "99999999999999999999",
                                          "\"1\"",
                                          "null"};
    char *at = d->header + rng_below(rng, strlen(d->header));
    at += strcspn(at, "0123456789");
    size_t n_digits = strspn(at, "0123456789");
    char near[24];
    snprintf(near, sizeof near, "%llu", strtoull(at, NULL, 10) + rng_below(rng, 9) - 4);
    if (n_digits)
        splice(d->header, at, n_digits,
               rng_chance(rng, 30) ? near : numbers[rng_below(rng, ARRAY_LEN(numbers))]);
}

static void change_structure(struct st_draft *d, struct rng *rng)
{
    static const char *const pieces[] = {"",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "\"",
                                         "\\",
                                         "\\u0000",
                                         "\\ud800",
                                         " ",
                                         "{}",
                                         "[]",
                                         "[[",
                                         "null",
                                         "true",
                                         "\"F16\"",
                                         "\"BF16\"",
                                         "\"F64\"",
                                         "\"I8\"",
                                         "-",
                                         "e9",
                                         "\xff",
                                         "\xc3\xa9",
                                         "\"x\":",
                                         "\"__metadata__\":{},",
                                         "[1,[2,[3,[4]]]]"};
    char *at = d->header + rng_below(rng, strlen(d->header));
    size_t n_behind = strlen(at), n_old = rng_chance(rng, 50) ? 1 : rng_below(rng, 40);
    splice(d->header, at, n_old < n_behind ? n_old : n_behind,
           pieces[rng_below(rng, ARRAY_LEN(pieces))]);
}

/* A piece of the header once more, somewhere else: double keys, double tensors. */
static void repeat_piece(struct st_draft *d, struct rng *rng)
{
    char piece[256];
    size_t n_header = strlen(d->header), n = 1 + rng_below(rng, sizeof piece - 1);
    const char *from = d->header + rng_below(rng, n_header);
    snprintf(piece, n, "%s", from);
    splice(d->header, d->header + rng_below(rng, n_header), 0, piece);
}

static void swap_dtype(struct st_draft *d, struct rng *rng)
{
    static const char *const dtypes[] = {"F16", "BF16", "F64", "U8", "F33", ""};
    char *at = strstr(d->header + rng_below(rng, strlen(d->header)), "\"F32\"");
    if (at)
        splice(d->header, at + 1, 3, dtypes[rng_below(rng, ARRAY_LEN(dtypes))]);
}

static void change_length(struct st_draft *d, struct rng *rng)
{
    if (rng_chance(rng, 50))
        d->n_data = rng_below(rng, d->n_data + 1);
    else
        d->n_extra = 1 + rng_below(rng, 16);
}

static void change_prefix(struct st_draft *d, struct rng *rng)
{
    static const uint64_t lengths[] = {0,          1,          7,         8,
                                       UINT32_MAX, UINT64_MAX, INT64_MAX, (uint64_t)1 << 40};
    d->length_prefix = rng_chance(rng, 50) ? lengths[rng_below(rng, ARRAY_LEN(lengths))]
                                           : d->length_prefix + rng_below(rng, 64) - 32;
}

void st_draft_mutate(struct st_draft *d, struct rng *rng)
{
    static void (*const ways[])(struct st_draft *, struct rng *) = {
        flip_anywhere, change_number, change_number, change_structure,
        repeat_piece,  swap_dtype,    change_length};
    for (size_t n = 1 + rng_below(rng, 3); n > 0; n--)
        ways[rng_below(rng, ARRAY_LEN(ways))](d, rng);
    d->length_prefix = strlen(d->header);
    if (rng_chance(rng, 3))
        change_prefix(d, rng);
}

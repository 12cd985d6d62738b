#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "protocol/encoder.h"
#include "support/fail_alloc.h"

#define N_PLAIN 300000

static const enum coding codings[] = {CODING_GZIP, CODING_ZSTD};

/* Text as an answer has it: numbers that do not repeat, in a form that does. */
static char *plain_text(void)
{
    char *text = malloc(N_PLAIN + 32);
    uint32_t x = 1;
    size_t n = 0;
    assert_non_null(text);
    while (n < N_PLAIN) {
        x = x * 1664525 + 1013904223;
        n += (size_t)sprintf(text + n, "0.%u,", x >> 2);
    }
    return text;
}

struct source {
    const char *bytes;
    size_t n_bytes, n_read;
    size_t piece;    /* bytes at a time, at most */
    size_t n_before; /* of the failure; SIZE_MAX: none */
};

static ssize_t read_source(void *from, char *dst, size_t n_max)
{
    struct source *s = from;
    size_t n = s->n_bytes - s->n_read;
    if (s->n_read >= s->n_before)
        return -1;
    n = n < s->piece ? n : s->piece;
    n = n < n_max ? n : n_max;
    memcpy(dst, s->bytes + s->n_read, n);
    s->n_read += n;
    return (ssize_t)n;
}

/* Everything that the encoder gives, in pieces of n_max; -1 when it fails. */
static ssize_t encode(enum coding coding, struct source *source, char *dst, size_t n_dst,
                      size_t n_max)
{
    AUTO(encoder_free) struct encoder *e = NULL;
    size_t n_all = 0;
    ssize_t n;
    assert_int_equal(encoder_new(&e, coding, read_source, source, NULL), 0);
    do {
        assert_true(n_all <= n_dst - n_max);
        n = encoder_read(e, dst + n_all, n_max);
        assert_true(n <= (ssize_t)n_max);
        n_all += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    if (n == 0)
        assert_int_equal(encoder_read(e, dst, n_max), 0); /* and stays at its end */
    return n < 0 ? n : (ssize_t)n_all;
}

/* The libraries' own decoders, which know nothing of how it was cut. */
static void assert_decodes(enum coding coding, const char *coded, size_t n_coded,
                           const char *expected, size_t n_expected)
{
    char *plain = malloc(n_expected + 1);
    assert_non_null(plain);
    if (coding == CODING_ZSTD) {
        assert_int_equal(ZSTD_decompress(plain, n_expected + 1, coded, n_coded), n_expected);
    } else {
        z_stream z = {.next_in = (Bytef *)(uintptr_t)coded,
                      .avail_in = (uInt)n_coded,
                      .next_out = (Bytef *)plain,
                      .avail_out = (uInt)n_expected + 1};
        assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.avail_in, 0);
        assert_int_equal(z.total_out, n_expected);
        inflateEnd(&z);
    }
    assert_memory_equal(plain, expected, n_expected);
    free(plain);
}

static void any_cut_decodes_to_what_came_in(void **state)
{
    static const struct {
        size_t n_plain, piece, n_max;
    } cases[] = {
        {0, 1, 64},
        {1, 1, 1},
        {N_PLAIN, 1, 100},
        {N_PLAIN, 7, 4096},
        {N_PLAIN, 4096, 1},
        {N_PLAIN, 16 * 1024, 3},
        {N_PLAIN, N_PLAIN, N_PLAIN},
    };
    size_t n_dst = 3 * N_PLAIN;
    char *plain = plain_text(), *dst = malloc(n_dst);
    (void)state;
    assert_non_null(dst);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t k = 0; k < ARRAY_LEN(codings); k++) {
            struct source source = {plain, cases[i].n_plain, 0, cases[i].piece, SIZE_MAX};
            ssize_t n = encode(codings[k], &source, dst, n_dst, cases[i].n_max);
            assert_true(n >= 0);
            assert_decodes(codings[k], dst, (size_t)n, plain, cases[i].n_plain);
        }
    }
    free(dst);
    free(plain);
}

static void text_of_numbers_shrinks_to_half(void **state)
{
    char *plain = plain_text(), *dst = malloc(3 * N_PLAIN);
    (void)state;
    assert_non_null(dst);
    for (size_t k = 0; k < ARRAY_LEN(codings); k++) {
        struct source source = {plain, N_PLAIN, 0, N_PLAIN, SIZE_MAX};
        ssize_t n = encode(codings[k], &source, dst, 3 * N_PLAIN, 4096);
        assert_in_range(n, 1, N_PLAIN * 55 / 100);
    }
    free(dst);
    free(plain);
}

static void a_source_that_fails_is_a_failure(void **state)
{
    char *plain = plain_text(), *dst = malloc(3 * N_PLAIN);
    (void)state;
    assert_non_null(dst);
    for (size_t k = 0; k < ARRAY_LEN(codings); k++) {
        struct source source = {plain, N_PLAIN, 0, 1000, N_PLAIN / 2};
        assert_int_equal(encode(codings[k], &source, dst, 3 * N_PLAIN, 4096), -1);
    }
    free(dst);
    free(plain);
}

static void no_memory_is_no_encoder(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(codings); k++) {
        struct source source = {"", 0, 0, 1, SIZE_MAX};
        struct encoder *e = NULL;
        fail_alloc_after(0);
        struct elmo_error err = {0};
        int r = encoder_new(&e, codings[k], read_source, &source, &err);
        assert_int_equal(fail_alloc_stop(), 1);
        assert_int_equal(r, ELMO_E_NOMEM);
        assert_int_equal(err.status, r);
        assert_null(e);
    }
}

static void names_are_those_of_the_registry(void **state)
{
    (void)state;
    assert_null(coding_name(CODING_IDENTITY));
    assert_string_equal(coding_name(CODING_GZIP), "gzip");
    assert_string_equal(coding_name(CODING_ZSTD), "zstd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_decodes_to_what_came_in),
        cmocka_unit_test(text_of_numbers_shrinks_to_half),
        cmocka_unit_test(a_source_that_fails_is_a_failure),
        cmocka_unit_test(no_memory_is_no_encoder),
        cmocka_unit_test(names_are_those_of_the_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

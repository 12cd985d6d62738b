#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "protocol/inflate.h"
#include "support/fail_alloc.h"

#define PLAIN "{\"inputs\":\"a text, a text, a text\"}"

/* Appends a member of gzip to dst, which has room; returns its bytes. */
static size_t gzip(char *dst, size_t n_dst, const char *plain, size_t n_plain)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)plain,
                  .avail_in = (uInt)n_plain,
                  .next_out = (Bytef *)dst,
                  .avail_out = (uInt)n_dst};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = z.total_out;
    deflateEnd(&z);
    return n;
}

/* Feeds the bytes in pieces and ends; the first outcome that is not INFLATE_OK. */
static enum inflate_outcome feed(const char *bytes, size_t n_bytes, size_t piece,
                                 struct buffer *out)
{
    AUTO(inflate_free) struct inflate *i = NULL;
    assert_int_equal(inflate_new(&i, NULL), 0);
    for (size_t k = 0; k < n_bytes; k += piece) {
        size_t n = n_bytes - k < piece ? n_bytes - k : piece;
        enum inflate_outcome outcome = inflate_write(i, bytes + k, n, out);
        if (outcome != INFLATE_OK)
            return outcome;
    }
    return inflate_end(i);
}

static void assert_plain(const struct buffer *out, const char *expected)
{
    assert_int_equal(out->n_bytes, strlen(expected));
    assert_memory_equal(out->bytes, expected, strlen(expected));
}

static void pieces_of_any_size_give_the_text(void **state)
{
    char coded[256];
    size_t n = gzip(coded, sizeof coded, PLAIN, strlen(PLAIN));
    (void)state;
    for (size_t piece = 1; piece <= n; piece++) {
        AUTO(buffer_done) struct buffer out = {0};
        assert_int_equal(feed(coded, n, piece, &out), INFLATE_OK);
        assert_plain(&out, PLAIN);
    }
}

static void members_follow_each_other(void **state)
{
    char coded[512];
    size_t n = gzip(coded, sizeof coded, "one ", 4);
    n += gzip(coded + n, sizeof coded - n, "", 0);
    n += gzip(coded + n, sizeof coded - n, "two", 3);
    (void)state;
    for (size_t piece = 1; piece <= n; piece++) {
        AUTO(buffer_done) struct buffer out = {0};
        assert_int_equal(feed(coded, n, piece, &out), INFLATE_OK);
        assert_plain(&out, "one two");
    }
}

static void every_prefix_is_bad(void **state)
{
    char coded[256];
    size_t n = gzip(coded, sizeof coded, PLAIN, strlen(PLAIN));
    (void)state;
    for (size_t k = 0; k < n; k++) {
        AUTO(buffer_done) struct buffer out = {0};
        assert_int_equal(feed(coded, k, 7, &out), INFLATE_BAD);
    }
}

static void every_changed_byte_is_bad_or_without_meaning(void **state)
{
    char coded[256];
    size_t n = gzip(coded, sizeof coded, PLAIN, strlen(PLAIN)), n_bad = 0;
    (void)state;
    for (size_t k = 0; k < n; k++) {
        AUTO(buffer_done) struct buffer out = {.max_bytes = 1000};
        coded[k] = (char)(coded[k] ^ 0x55);
        enum inflate_outcome outcome = feed(coded, n, 16, &out);
        coded[k] = (char)(coded[k] ^ 0x55);
        if (outcome == INFLATE_OK) /* time, flags and system in the header */
            assert_plain(&out, PLAIN);
        n_bad += outcome != INFLATE_OK;
    }
    assert_true(n_bad >= n - 6);
}

static void what_follows_the_last_member_is_bad(void **state)
{
    char coded[256];
    size_t n = gzip(coded, sizeof coded, PLAIN, strlen(PLAIN));
    (void)state;
    memcpy(coded + n, "more", 4);
    for (size_t piece = 1; piece <= n + 4; piece++) {
        AUTO(buffer_done) struct buffer out = {0};
        assert_int_equal(feed(coded, n + 4, piece, &out), INFLATE_BAD);
    }
}

static void a_bomb_stops_at_the_limit(void **state)
{
    enum { N_PLAIN = 10000000, LIMIT = 100000 };
    char *plain = calloc(1, N_PLAIN), coded[20000];
    (void)state;
    assert_non_null(plain);
    size_t n = gzip(coded, sizeof coded, plain, N_PLAIN);
    AUTO(buffer_done) struct buffer out = {.max_bytes = LIMIT};
    assert_int_equal(feed(coded, n, n, &out), INFLATE_TOO_LARGE);
    assert_in_range(out.capacity, 0, 2 * LIMIT);
    AUTO(buffer_done) struct buffer enough = {.max_bytes = N_PLAIN};
    assert_int_equal(feed(coded, n, n, &enough), INFLATE_OK);
    assert_int_equal(enough.n_bytes, N_PLAIN);
    free(plain);
}

static void exactly_the_limit_is_fine(void **state)
{
    char coded[256];
    size_t n = gzip(coded, sizeof coded, PLAIN, strlen(PLAIN));
    (void)state;
    AUTO(buffer_done) struct buffer fits = {.max_bytes = strlen(PLAIN)};
    assert_int_equal(feed(coded, n, n, &fits), INFLATE_OK);
    AUTO(buffer_done) struct buffer small = {.max_bytes = strlen(PLAIN) - 1};
    assert_int_equal(feed(coded, n, n, &small), INFLATE_TOO_LARGE);
}

static void no_memory_is_told_apart(void **state)
{
    char coded[256];
    size_t n = gzip(coded, sizeof coded, PLAIN, strlen(PLAIN));
    (void)state;
    fail_alloc_after(0);
    struct inflate *none = NULL;
    struct elmo_error err = {0};
    int r = inflate_new(&none, &err);
    assert_int_equal(fail_alloc_stop(), 1);
    assert_int_equal(r, ELMO_E_NOMEM);
    assert_int_equal(err.status, r);
    assert_null(none);

    AUTO(inflate_free) struct inflate *i = NULL;
    AUTO(buffer_done) struct buffer out = {0};
    assert_int_equal(inflate_new(&i, NULL), 0);
    fail_alloc_after(0);
    enum inflate_outcome outcome = inflate_write(i, coded, n, &out);
    assert_true(fail_alloc_stop() >= 1);
    assert_int_equal(outcome, INFLATE_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_give_the_text),
        cmocka_unit_test(members_follow_each_other),
        cmocka_unit_test(every_prefix_is_bad),
        cmocka_unit_test(every_changed_byte_is_bad_or_without_meaning),
        cmocka_unit_test(what_follows_the_last_member_is_bad),
        cmocka_unit_test(a_bomb_stops_at_the_limit),
        cmocka_unit_test(exactly_the_limit_is_fine),
        cmocka_unit_test(no_memory_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/fail_alloc.h"
#include "util/buffer.h"

static void assert_content(const struct buffer *b, const char *expected)
{
    assert_int_equal(b->n_bytes, strlen(expected));
    assert_memory_equal(b->bytes, expected, b->n_bytes);
}

static void appends_join_in_order(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    buffer_append(&b, "one ", 4);
    buffer_append_text(&b, "two");
    buffer_append_char(&b, ' ');
    buffer_printf(&b, "%d", 3);
    buffer_append(&b, NULL, 0);
    assert_false(b.failed);
    assert_content(&b, "one two 3");
}

static void growing_keeps_every_byte(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    for (unsigned i = 0; i < 100000; i++)
        buffer_append_char(&b, (char)(i % 251));
    assert_false(b.failed);
    assert_int_equal(b.n_bytes, 100000);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(b.bytes[i], (char)(i % 251));
}

static void growing_allocates_a_logarithmic_number_of_times(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    fail_alloc_after(16); /* 256 << 15 > 1 million */
    for (unsigned i = 0; i < 1000000; i++)
        buffer_append_char(&b, 'x');
    assert_int_equal(fail_alloc_stop(), 0);
    assert_false(b.failed);
}

static void printf_is_right_around_its_local_space(void **state)
{
    (void)state;
    char text[600];
    for (int n = 0; n < (int)sizeof text; n++) {
        memset(text, 'a', sizeof text);
        text[n] = '\0';
        AUTO(buffer_done) struct buffer b = {0};
        buffer_printf(&b, "%s", text);
        assert_false(b.failed);
        assert_int_equal(b.n_bytes, n);
        assert_true(n == 0 || memcmp(b.bytes, text, (size_t)n) == 0);
    }
}

static void limit_takes_exactly_that_many_bytes(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {.max_bytes = 5};
    buffer_append_text(&b, "abc");
    buffer_append_text(&b, "de");
    assert_false(b.failed);
    buffer_append_char(&b, 'f');
    assert_true(b.failed);
    assert_content(&b, "abcde");
}

static void failure_is_sticky_and_keeps_the_content(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {.max_bytes = 4};
    buffer_append_text(&b, "abc");
    buffer_append_text(&b, "de");
    assert_true(b.failed);
    buffer_append_char(&b, 'd'); /* would fit */
    buffer_printf(&b, "%d", 1);
    assert_null(buffer_reserve(&b, 0));
    assert_content(&b, "abc");
    size_t n_bytes = 77;
    assert_null(buffer_take(&b, &n_bytes));
    assert_int_equal(n_bytes, 77);
}

static void absurd_sizes_fail_instead_of_wrapping(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    buffer_append_text(&b, "abc");
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    assert_content(&b, "abc");
}

static void no_memory_is_a_failure(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    buffer_append_text(&b, "abc");
    char large[1000] = {0};
    fail_alloc_after(0);
    buffer_append(&b, large, sizeof large);
    assert_int_equal(fail_alloc_stop(), 1);
    assert_true(b.failed);
    assert_content(&b, "abc");
}

static void reserve_and_commit_write_in_place(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    buffer_append_text(&b, "<");
    char *dst = buffer_reserve(&b, 1000);
    assert_non_null(dst);
    memset(dst, 'x', 1000);
    buffer_commit(&b, 3);
    buffer_append_text(&b, ">");
    assert_content(&b, "<xxx>");
}

static void take_moves_the_bytes_out(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {.max_bytes = 10};
    buffer_append_text(&b, "abc");
    size_t n_bytes = 0;
    AUTO(mem_free) char *taken = buffer_take(&b, &n_bytes);
    assert_int_equal(n_bytes, 3);
    assert_memory_equal(taken, "abc", 3);
    assert_null(b.bytes);
    assert_int_equal(b.n_bytes, 0);
    assert_int_equal(b.max_bytes, 10);
    buffer_append_text(&b, "again");
    assert_content(&b, "again");
}

static void take_of_nothing_is_not_a_failure(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    size_t n_bytes = 1;
    AUTO(mem_free) char *taken = buffer_take(&b, &n_bytes);
    assert_non_null(taken);
    assert_int_equal(n_bytes, 0);
}

static void done_makes_it_usable_again(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {.max_bytes = 2};
    buffer_append_text(&b, "abc");
    assert_true(b.failed);
    buffer_done(&b);
    buffer_append_text(&b, "ab");
    assert_false(b.failed);
    assert_content(&b, "ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_join_in_order),
        cmocka_unit_test(growing_keeps_every_byte),
        cmocka_unit_test(growing_allocates_a_logarithmic_number_of_times),
        cmocka_unit_test(printf_is_right_around_its_local_space),
        cmocka_unit_test(limit_takes_exactly_that_many_bytes),
        cmocka_unit_test(failure_is_sticky_and_keeps_the_content),
        cmocka_unit_test(absurd_sizes_fail_instead_of_wrapping),
        cmocka_unit_test(no_memory_is_a_failure),
        cmocka_unit_test(reserve_and_commit_write_in_place),
        cmocka_unit_test(take_moves_the_bytes_out),
        cmocka_unit_test(take_of_nothing_is_not_a_failure),
        cmocka_unit_test(done_makes_it_usable_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base64.h"
#include "fail_alloc.h"

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The slow decoder the encoder is held to: bits of the characters, eight at a time. */
static size_t decode(const char *text, size_t n_chars, unsigned char *ret_bytes)
{
    unsigned bits = 0, n_bits = 0;
    size_t n_bytes = 0;
    for (size_t i = 0; i < n_chars && text[i] != '='; i++) {
        assert_true(value_of(text[i]) >= 0);
        bits = bits << 6 | (unsigned)value_of(text[i]);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            ret_bytes[n_bytes++] = (unsigned char)(bits >> n_bits);
            bits &= (1u << n_bits) - 1;
        }
    }
    assert_int_equal(bits, 0); /* RFC 4648, section 3.5: padding bits are zero */
    return n_bytes;
}

static void rfc_4648_vectors(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        AUTO(buffer_done) struct buffer b = {0};
        base64_append(&b, vectors[i][0], strlen(vectors[i][0]));
        buffer_append(&b, "", 1);
        assert_string_equal(b.bytes, vectors[i][1]);
    }
}

static void every_length_and_byte_round_trips(void **state)
{
    (void)state;
    unsigned char bytes[600], decoded[600];
    uint32_t random = 1;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525 + 1013904223;
            bytes[i] = (unsigned char)(random >> 24);
        }
        AUTO(buffer_done) struct buffer b = {0};
        base64_append(&b, bytes, n);
        assert_false(b.failed);
        assert_int_equal(b.n_bytes, (n + 2) / 3 * 4);
        assert_int_equal(decode(b.bytes, b.n_bytes, decoded), n);
        assert_memory_equal(decoded, bytes, n);
        for (size_t i = 0; i < b.n_bytes; i++) /* '=' at the end alone */
            assert_true(b.bytes[i] != '=' || i >= b.n_bytes - (3 - n % 3) % 3);
    }
}

static void appends_to_what_is_there(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    buffer_append_text(&b, "\"");
    base64_append(&b, "foo", 3);
    buffer_append(&b, "\"", 2);
    assert_string_equal(b.bytes, "\"Zm9v\"");
}

static void failures_show_in_the_buffer(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer limited = {.max_bytes = 7};
    base64_append(&limited, "foob", 4);
    assert_true(limited.failed);

    AUTO(buffer_done) struct buffer b = {0};
    fail_alloc_after(0);
    base64_append(&b, "foob", 4);
    assert_int_equal(fail_alloc_stop(), 1);
    assert_true(b.failed);
    assert_int_equal(b.n_bytes, 0);
}

static void absurd_lengths_fail_instead_of_wrapping(void **state)
{
    (void)state;
    AUTO(buffer_done) struct buffer b = {0};
    base64_append(&b, "", SIZE_MAX);
    assert_true(b.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_4648_vectors),
        cmocka_unit_test(every_length_and_byte_round_trips),
        cmocka_unit_test(appends_to_what_is_there),
        cmocka_unit_test(failures_show_in_the_buffer),
        cmocka_unit_test(absurd_lengths_fail_instead_of_wrapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

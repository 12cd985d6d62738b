#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/fail_alloc.h"
#include "text/base64.h"

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

/* A slow decoder as reference: it collects the bits of the characters, eight at a time. */
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

/* Source and text lie in allocations of just their sizes, which ASan guards. */
static void check_round_trip(size_t n, enum cpu_set isa, uint32_t *random)
{
    size_t n_chars = (n + 2) / 3 * 4;
    unsigned char *bytes = malloc(n + (n == 0)), *decoded = malloc(n + 1);
    char *text = malloc(n_chars + (n == 0));
    assert_true(bytes && decoded && text);
    for (size_t i = 0; i < n; i++) {
        *random = *random * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(*random >> 24);
    }
    base64_encode(text, bytes, n, isa);
    assert_int_equal(decode(text, n_chars, decoded), n);
    assert_memory_equal(decoded, bytes, n);
    for (size_t i = 0; i < n_chars; i++) /* '=' only at the end */
        assert_true(text[i] != '=' || i >= n_chars - (3 - n % 3) % 3);
    free(bytes);
    free(decoded);
    free(text);
}

static void every_length_and_byte_round_trips_by_every_instruction_set(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (enum cpu_set isa = CPU_BASELINE; isa <= text_isa_best(); isa++)
        for (size_t n = 0; n <= 600; n++)
            check_round_trip(n, isa, &random);
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
        cmocka_unit_test(every_length_and_byte_round_trips_by_every_instruction_set),
        cmocka_unit_test(appends_to_what_is_there),
        cmocka_unit_test(failures_show_in_the_buffer),
        cmocka_unit_test(absurd_lengths_fail_instead_of_wrapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

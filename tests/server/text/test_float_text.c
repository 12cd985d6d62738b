#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "text/float_text.h"

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static const char *skip_digits(const char *p, size_t *n_digits)
{
    for (; *p >= '0' && *p <= '9'; p++)
        ++*n_digits;
    return p;
}

/* number = [-] int [. digits] [e sign digits], RFC 8259 */
static bool is_json_number(const char *p)
{
    size_t n_int = 0, n_fraction = 0, n_exponent = 0;
    if (*p == '-')
        p++;
    bool zero_first = *p == '0';
    p = skip_digits(p, &n_int);
    if (n_int == 0 || (zero_first && n_int > 1))
        return false;
    if (*p == '.') {
        p = skip_digits(p + 1, &n_fraction);
        if (n_fraction == 0)
            return false;
    }
    if (*p == 'e') {
        p++;
        if (*p != '+' && *p != '-')
            return false;
        p = skip_digits(p + 1, &n_exponent);
        if (n_exponent == 0)
            return false;
    }
    return *p == '\0';
}

/* The text of the float with these bits, NUL-terminated, when it is right; else the test fails. */
static const char *checked_text(uint32_t bits, char text[static FLOAT_TEXT_MAX + 1])
{
    float value = float_of(bits);
    size_t n_bytes = float_text_write(text, value);
    if (n_bytes > 15)
        fail_msg("%a: %zu bytes", (double)value, n_bytes);
    text[n_bytes] = '\0';
    if (!is_json_number(text))
        fail_msg("%a: '%s' is not a JSON number", (double)value, text);
    if (bits_of(strtof(text, NULL)) != bits)
        fail_msg("%a: strtof of '%s' differs", (double)value, text);
    if (bits_of((float)strtod(text, NULL)) != bits)
        fail_msg("%a: strtod of '%s' differs", (double)value, text);
    return text;
}

/* Without zeros before or after the others. */
static int count_digits(const char *text)
{
    int n = 0, n_zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (*text == '0' && n == 0))
            continue;
        n++;
        n_zeros = *text == '0' ? n_zeros + 1 : 0;
    }
    return n - n_zeros;
}

static void check(uint32_t bits)
{
    char text[FLOAT_TEXT_MAX + 1];
    checked_text(bits, text);
}

static void check_neighbours(float value)
{
    uint32_t bits = bits_of(value);
    for (uint32_t distance = 0; distance <= 4; distance++) {
        if (bits + distance < bits_of(INFINITY))
            check(bits + distance);
        if (bits >= distance)
            check(bits - distance);
    }
}

/* xorshift64: the tests are the same on every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void known_values_have_the_expected_text(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        {0.0f, "0"},
        {-0.0f, "-0"},
        {1.0f, "1"},
        {-1.0f, "-1"},
        {0.1f, "0.1"},
        {-0.3f, "-0.3"},
        {12.5f, "12.5"},
        {100.0f, "100"},
        {3.14159274f, "3.1415927"},
        {-0.0001f, "-0.0001"},
        {0.00012345679f, "0.00012345679"},
        {0.00001f, "1e-5"},
        {16777216.0f, "16777216"},
        {100000000.0f, "100000000"},
        {1e9f, "1e+9"},
        {1e20f, "1e+20"},
        {FLT_MAX, "3.4028235e+38"},
        {FLT_MIN, "1.1754944e-38"},
        {FLT_TRUE_MIN, "1e-45"},
        {-FLT_TRUE_MIN, "-1e-45"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[FLOAT_TEXT_MAX + 1];
        assert_string_equal(checked_text(bits_of(cases[i].value), text), cases[i].text);
    }
}

static void what_is_not_finite_is_null(void **state)
{
    (void)state;
    const float values[] = {INFINITY, -INFINITY, NAN, float_of(0xffffffff)};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char text[FLOAT_TEXT_MAX];
        assert_int_equal(float_text_write(text, values[i]), 4);
        assert_memory_equal(text, "null", 4);
    }
}

static void decimals_of_six_digits_come_back_as_typed(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < 200000; i++) {
        char typed[32], text[FLOAT_TEXT_MAX + 1];
        unsigned digits = (unsigned)(next_random(&random) % 900000) + 100000;
        if (digits % 10 == 0)
            digits++;
        snprintf(typed, sizeof typed, "%u.%05u", digits / 100000, digits % 100000);
        assert_string_equal(checked_text(bits_of(strtof(typed, NULL)), text), typed);
    }
}

static void every_exponent_with_random_mantissas_reads_back(void **state)
{
    (void)state;
    uint64_t random = 2;
    for (uint32_t exponent = 0; exponent < 255; exponent++) {
        check(exponent << 23);
        check(exponent << 23 | 0x7fffff);
        for (int i = 0; i < 500; i++)
            check(exponent << 23 | (uint32_t)(next_random(&random) & 0x7fffff));
    }
}

static void powers_and_their_neighbours_read_back(void **state)
{
    (void)state;
    for (int exponent = -149; exponent <= 127; exponent++)
        check_neighbours(ldexpf(1.0f, exponent));
    for (int exponent = -45; exponent <= 38; exponent++)
        for (int digit = 1; digit <= 9; digit++) {
            char typed[16];
            snprintf(typed, sizeof typed, "%de%d", digit, exponent);
            float value = strtof(typed, NULL);
            if (isfinite(value))
                check_neighbours(value);
        }
    check_neighbours(FLT_MAX);
}

static void subnormals_read_back(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 20000; bits++)
        check(bits);
    for (uint32_t bits = 0x7fffff - 20000; bits < 0x800000 + 20000; bits++)
        check(bits);
}

static void random_bit_patterns_read_back(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (int i = 0; i < 2000000; i++) {
        uint32_t bits = (uint32_t)(next_random(&random) >> 16);
        if (isfinite(float_of(bits)))
            check(bits);
    }
}

/* Held against the shortest text that printf finds to read back: the margin of float_text.c costs
 * digits, but as seldom as it is narrow. Not where floats are integers, but small ones: there a
 * shorter text may lie half-way between two floats, and we do not rely on how that is read. */
static void hardly_a_text_is_longer_than_needed(void **state)
{
    (void)state;
    uint64_t random = 4;
    int n_longer = 0;
    for (int i = 0; i < 200000; i++) {
        uint32_t bits = (uint32_t)(next_random(&random) >> 16);
        float magnitude = fabsf(float_of(bits));
        if (!isfinite(magnitude) || (magnitude >= 0x1p23f && magnitude < 0x1p60f))
            continue;
        char text[FLOAT_TEXT_MAX + 1], shortest[32];
        int n_needed = 0;
        do
            snprintf(shortest, sizeof shortest, "%.*e", n_needed++, (double)float_of(bits));
        while (bits_of(strtof(shortest, NULL)) != bits);
        n_longer += count_digits(checked_text(bits, text)) > n_needed;
    }
    assert_true(n_longer <= 2);
}

/* ---- Lists ---- */

/* For every instruction set, in buffers of exactly the promised size, which ASan checks. */
static void check_list(const float *values, size_t n_values)
{
    size_t n_room = FLOAT_TEXT_LIST_MAX(n_values), n_expected = 0;
    char *expected = malloc(n_room), *list = malloc(n_room);
    assert_non_null(expected);
    assert_non_null(list);
    for (size_t i = 0; i < n_values; i++) {
        expected[n_expected++] = ',';
        n_expected += float_text_write(expected + n_expected, values[i]);
    }
    for (enum cpu_set isa = CPU_BASELINE; isa <= text_isa_best(); isa++) {
        size_t n_bytes = float_text_write_list(list, values, n_values, isa);
        if (n_bytes != n_expected || memcmp(list, expected, n_bytes) != 0)
            fail_msg("%s: '%.*s' for '%.*s'", cpu_set_name(isa), (int)n_bytes, list,
                     (int)n_expected, expected);
    }
    free(expected);
    free(list);
}

static void lists_of_every_length_are_their_values(void **state)
{
    (void)state;
    uint64_t random = 5;
    for (size_t n = 0; n <= 200; n++) {
        float *values = malloc(n > 0 ? n * sizeof *values : 1); /* nothing may be read after it */
        assert_non_null(values);
        for (size_t i = 0; i < n; i++) {
            uint64_t bits = next_random(&random);
            values[i] = bits % 7 ? ldexpf((float)(bits >> 40), (int)(bits % 40) - 40)
                                 : float_of((uint32_t)(bits >> 16));
            if (bits & 8)
                values[i] = -values[i];
        }
        check_list(values, n);
        free(values);
    }
}

static void lists_of_longest_texts_fit(void **state)
{
    (void)state;
    const float longest[] = {-0.000123456789f, -1.23456789e-38f};
    float values[100];
    for (size_t k = 0; k < ARRAY_LEN(longest); k++) {
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
            values[i] = longest[k];
        for (size_t n = 0; n <= ARRAY_LEN(values); n++)
            check_list(values, n);
    }
}

/* Lists of 1024: what `next` makes of the places before `n_values`. */
static void check_many(float (*next)(uint32_t), uint32_t n_values)
{
    static float values[1024];
    uint32_t i = 0;
    while (i < n_values) {
        size_t n = 0;
        for (; n < ARRAY_LEN(values) && i < n_values; n++)
            values[n] = next(i++);
        check_list(values, n);
    }
}

static float random_mantissa(uint32_t i)
{
    uint64_t random = i + 1;
    for (int k = 0; k < 4; k++)
        next_random(&random);
    return float_of(i << 23 | (uint32_t)(random & 0x7fffff)); /* every 512 another sign and all */
}

static float power_and_neighbours(uint32_t i)
{
    int exponent = (int)(i / 90) - 45, digit = (int)(i / 9 % 10);
    char typed[16];
    snprintf(typed, sizeof typed, "%de%d", digit, exponent);
    return float_of(bits_of(strtof(typed, NULL)) + i % 9 - 4);
}

static float power_of_two_and_neighbours(uint32_t i)
{
    return float_of((i / 9 << 23) + i % 9 - 4);
}

static float short_decimal(uint32_t i)
{
    return (float)(i / 8) / (float[]){1, 10, 100, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f}[i % 8];
}

static void lists_are_the_same_by_every_instruction_set(void **state)
{
    (void)state;
    check_many(random_mantissa, 1 << 20);
    check_many(power_and_neighbours, 90 * 84);
    check_many(power_of_two_and_neighbours, 512 * 9);
    check_many(short_decimal, 1 << 18);
}

static void skip_but_if_exhaustive(void)
{
    if (getenv("ELMOD_EXHAUSTIVE"))
        return;
    print_message("skipped: set ELMOD_EXHAUSTIVE=1 to check all 2^32 floats\n");
    skip();
}

static float float_at(uint32_t i)
{
    return float_of(i);
}

/* A few minutes on one core: ELMOD_EXHAUSTIVE=1 tests/test_float_text (not under meson's time
 * limit). */
static void lists_of_every_float_are_the_same(void **state)
{
    (void)state;
    skip_but_if_exhaustive();
    check_many(float_at, UINT32_MAX);
}

/* Some twenty minutes. The negative half is held to the positive one's text. */
static void every_float_reads_back(void **state)
{
    (void)state;
    skip_but_if_exhaustive();
    for (uint32_t bits = 0; bits < bits_of(INFINITY); bits++) {
        char text[FLOAT_TEXT_MAX + 1], negative[FLOAT_TEXT_MAX];
        checked_text(bits, text);
        size_t n_bytes = float_text_write(negative, float_of(bits | 0x80000000));
        if (n_bytes != strlen(text) + 1 || negative[0] != '-' ||
            memcmp(negative + 1, text, n_bytes - 1) != 0)
            fail_msg("-%s is printed otherwise", text);
    }
    for (uint32_t bits = bits_of(INFINITY); bits < 0x80000000; bits++) {
        char text[FLOAT_TEXT_MAX];
        if (float_text_write(text, float_of(bits)) != 4 || memcmp(text, "null", 4) != 0)
            fail_msg("0x%08x is not null", bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values_have_the_expected_text),
        cmocka_unit_test(what_is_not_finite_is_null),
        cmocka_unit_test(decimals_of_six_digits_come_back_as_typed),
        cmocka_unit_test(every_exponent_with_random_mantissas_reads_back),
        cmocka_unit_test(powers_and_their_neighbours_read_back),
        cmocka_unit_test(subnormals_read_back),
        cmocka_unit_test(random_bit_patterns_read_back),
        cmocka_unit_test(hardly_a_text_is_longer_than_needed),
        cmocka_unit_test(lists_of_every_length_are_their_values),
        cmocka_unit_test(lists_of_longest_texts_fit),
        cmocka_unit_test(lists_are_the_same_by_every_instruction_set),
        cmocka_unit_test(lists_of_every_float_are_the_same),
        cmocka_unit_test(every_float_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

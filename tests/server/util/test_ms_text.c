#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "util/ms_text.h"

static void durations_are_decimal_milliseconds(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        unsigned n_decimals;
        const char *text;
    } cases[] = {
        {0, 6, "0.000000"},
        {0, 1, "0.0"},
        {1, 6, "0.000001"},
        {1, 3, "0.000"},
        {999999, 3, "0.999"},
        {1000000, 3, "1.000"},
        {12345678, 6, "12.345678"},
        {12345678, 3, "12.345"},
        {UINT64_C(3600000000000), 3, "3600000.000"},
        {UINT64_MAX, 6, "18446744073709.551615"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[MS_TEXT_MAX];
        size_t n = ms_text_write(text, cases[i].ns, cases[i].n_decimals);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(n, strlen(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_decimal_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

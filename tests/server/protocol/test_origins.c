#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/origins.h"

static void lists_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"", true},
        {"*", true},
        {"https://app.example.org", true},
        {"http://localhost:3000", true},
        {"HTTPS://App.Example.ORG", true},
        {"https://a,http://b:1,http://c:65535", true},
        {"http://[::1]:8080", true},
        {"http://[2001:db8::1]", true},
        {"chrome-extension://abcdefghijklmnop", true},
        {"https://app.example.org/", false},
        {"https://app.example.org/page", false},
        {"https://*.example.org", false},
        {"https://", false},
        {"https:///", false},
        {"https:/a", false},
        {"://a", false},
        {"1http://a", false},
        {"app.example.org", false},
        {"null", false},
        {"**", false},
        {"*,https://a", false},
        {"https://a,*", false},
        {"https://a,", false},
        {",https://a", false},
        {"https://a,,https://b", false},
        {"https://a, https://b", false},
        {" https://a", false},
        {"https://a ", false},
        {"https://a:", false},
        {"https://a:0", false},
        {"https://a:65536", false},
        {"https://a:99999999999999999999", false},
        {"https://a:1x", false},
        {"https://a:-1", false},
        {"https://me@a", false},
        {"http://[::1", false},
        {"http://[]", false},
        {"http://::1", false},
        {"https://a?b", false},
        {"https://a\r\nX: y", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (origins_is_list(cases[i].text) != cases[i].ok)
            fail_msg("'%s'", cases[i].text);
}

static void an_origin_is_allowed_when_it_is_in_the_list(void **state)
{
    (void)state;
    static const struct {
        const char *list, *origin;
        bool allowed;
    } cases[] = {
        {"https://a.org", "https://a.org", true},
        {"https://a.org", "HTTPS://A.ORG", true},
        {"https://A.org", "https://a.org", true},
        {"https://a.org,http://b:80", "http://b:80", true},
        {"https://a.org,http://b:80", "https://a.org", true},
        {"*", "https://anyone", true},
        {"*", "null", true},
        {"", "https://a.org", false},
        {"", "", false},
        {"https://a.org", "", false},
        {"https://a.org", "null", false},
        {"https://a.org", "*", false},
        {"https://a.org", "http://a.org", false},
        {"https://a.org", "https://a.org:443", false},
        {"https://a.org", "https://a.or", false},
        {"https://a.org", "https://a.orgs", false},
        {"https://a.org", "https://x.a.org", false},
        {"https://a.org,http://b", "https://a.org,http://b", false},
        {"https://a.org,http://b", ",", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (origins_allow(cases[i].list, cases[i].origin) != cases[i].allowed)
            fail_msg("'%s' of '%s'", cases[i].origin, cases[i].list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_checked),
        cmocka_unit_test(an_origin_is_allowed_when_it_is_in_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

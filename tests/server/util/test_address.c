#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "util/address.h"

static void addresses_are_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:8080", "127.0.0.1", 8080},
        {"localhost:0", "localhost", 0},
        {"0.0.0.0:65535", "0.0.0.0", 65535},
        {"[::1]:80", "::1", 80},
        {"[::]:00080", "::", 80},
        {"[2001:db8::192.0.2.1]:1", "2001:db8::192.0.2.1", 1},
        {"a-b.example.:1", "a-b.example.", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct address address;
        assert_true(address_parse(cases[i].text, &address));
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        ":",
        ":80",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "host:+1",
        "host: 1",
        "host:1x",
        "host:99999999999999999999",
        "::1:80",
        "[::1]",
        "[::1]:",
        "[::1:80",
        "::1]:80",
        "[]:80",
        "[host]:80",
        "[127.0.0.1]:80",
        "[::1]x:80",
        "[::g]:80",
        "[[::1]]:80",
        "ho st:80",
        "http://host:80",
        "host:80/",
        "[",
        "[:",
        "[:80",
        "]:80",
        "[]",
        "*:80",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct address address = {.port = 7};
        if (address_parse(cases[i], &address))
            fail_msg("'%s' is taken as %s port %u", cases[i], address.host, address.port);
        assert_int_equal(address.port, 7);
    }
    char text[400];
    for (size_t n = 250; n < 300; n++) {
        memset(text, 'h', n);
        strcpy(text + n, ":1");
        struct address address;
        assert_int_equal(address_parse(text, &address), n <= 253);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_host_and_port),
        cmocka_unit_test(what_is_no_address_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

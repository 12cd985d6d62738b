#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "text/json_pointer.h"

static void root_is_the_whole_body(void **state)
{
    (void)state;
    struct json_pointer p = json_pointer_root();
    assert_string_equal(p.text, "#");
    assert_int_equal(p.n_bytes, 1);
}

static void keys_and_indexes_join_with_slashes(void **state)
{
    (void)state;
    struct json_pointer p = json_pointer_root();
    json_pointer_add_key(&p, "inputs", 6);
    struct json_pointer item = p;
    json_pointer_add_index(&item, 3);
    json_pointer_add_index(&item, 0);
    assert_string_equal(item.text, "#/inputs/3/0");
    assert_int_equal(item.n_bytes, strlen(item.text));
    assert_string_equal(p.text, "#/inputs");
}

static void keys_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t n_bytes;
        const char *text;
    } cases[] = {
        {"", 0, "#/"},
        {"a/b~c", 5, "#/a~1b~0c"}, /* RFC 6901 */
        {"c%d", 3, "#/c%25d"},
        {"e^f", 3, "#/e%5Ef"},
        {"g|h", 3, "#/g%7Ch"},
        {"i\\j", 3, "#/i%5Cj"},
        {"k\"l", 3, "#/k%22l"},
        {" ", 1, "#/%20"},
        {"\xc3\xa9", 2, "#/%C3%A9"},
        {"a\0b", 3, "#/a%00b"},
        {"<\x7f#>", 4, "#/%3C%7F%23%3E"},
        {"-._!$&'()*+,;=:@?", 17, "#/-._!$&'()*+,;=:@?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json_pointer p = json_pointer_root();
        json_pointer_add_key(&p, cases[i].key, cases[i].n_bytes);
        assert_string_equal(p.text, cases[i].text);
    }
}

static void long_keys_are_cut_between_escapes(void **state)
{
    (void)state;
    char plain[300], quotes[300];
    memset(plain, 'k', sizeof plain);
    memset(quotes, '"', sizeof quotes);

    struct json_pointer p = json_pointer_root();
    json_pointer_add_key(&p, plain, JSON_POINTER_KEY_MAX);
    assert_int_equal(p.n_bytes, 2 + JSON_POINTER_KEY_MAX);
    p = json_pointer_root();
    json_pointer_add_key(&p, plain, sizeof plain);
    assert_int_equal(p.n_bytes, 2 + JSON_POINTER_KEY_MAX);

    p = json_pointer_root();
    json_pointer_add_key(&p, quotes, sizeof quotes);
    assert_int_equal(p.n_bytes, 2 + JSON_POINTER_KEY_MAX / 3 * 3);
    assert_string_equal(p.text + p.n_bytes - 3, "%22");
}

static void the_whole_text_is_bounded(void **state)
{
    (void)state;
    char key[JSON_POINTER_KEY_MAX];
    memset(key, '/', sizeof key);
    for (size_t n = 0; n <= sizeof key; n++) {
        struct json_pointer p = json_pointer_root();
        for (int i = 0; i < 10; i++) {
            json_pointer_add_key(&p, key, n);
            json_pointer_add_index(&p, SIZE_MAX);
            assert_true(p.n_bytes < JSON_POINTER_MAX);
            assert_int_equal(strlen(p.text), p.n_bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_is_the_whole_body),
        cmocka_unit_test(keys_and_indexes_join_with_slashes),
        cmocka_unit_test(keys_are_escaped),
        cmocka_unit_test(long_keys_are_cut_between_escapes),
        cmocka_unit_test(the_whole_text_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

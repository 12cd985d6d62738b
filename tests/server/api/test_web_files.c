/* The pages in the program: the table, and which entity tags are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/exchange.h"
#include "api/web.h"

static void entity_tags_are_compared_weakly(void **state)
{
    (void)state;
    static const struct {
        const char *if_none_match, *etag;
        bool is_listed;
    } cases[] = {
        {"W/\"ab\"", "W/\"ab\"", true},
        {"\"ab\"", "W/\"ab\"", true},
        {"W/\"ab\"", "\"ab\"", true},
        {"*", "W/\"ab\"", true},
        {" \t*", "W/\"ab\"", true},
        {"\"x\",\"ab\"", "W/\"ab\"", true},
        {"\"x\" ,\t W/\"ab\" , \"y\"", "W/\"ab\"", true},
        {", ,\"ab\"", "W/\"ab\"", true},
        {"\"a,b\", \"c\"", "\"a,b\"", true},
        {"\"a,b\", \"c\"", "\"c\"", true},
        {"", "W/\"ab\"", false},
        {"\"a\"", "W/\"ab\"", false},
        {"\"abc\"", "W/\"ab\"", false},
        {"\"AB\"", "W/\"ab\"", false},
        {"ab", "W/\"ab\"", false},
        {"\"ab", "W/\"ab\"", false},
        {"w/\"ab\"", "W/\"ab\"", false},
        {"x, \"ab\"", "W/\"ab\"", false},
        {"*, \"x\"", "W/\"ab\"", false},
        {"\"ab\"x", "W/\"ab\"", false},
        {"W/", "W/\"ab\"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (web_etag_is_listed(cases[i].if_none_match, cases[i].etag) != cases[i].is_listed)
            fail_msg("%s in %s", cases[i].etag, cases[i].if_none_match);
    }
}

static const struct web_file *file_at(const char *path)
{
    for (size_t i = 0; i < web_n_files; i++)
        if (strcmp(web_files[i].path, path) == 0)
            return &web_files[i];
    fail_msg("no %s", path);
    return NULL;
}

static bool contains(const struct web_file *file, const char *text)
{
    size_t n = strlen(text);
    for (size_t at = 0; at + n <= file->n_bytes; at++)
        if (memcmp(file->bytes + at, text, n) == 0)
            return true;
    return false;
}

static void files_have_paths_and_tags_of_their_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < web_n_files; i++) {
        assert_true(web_files[i].n_bytes > 0);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(web_files[i].path, web_files[k].path);
            assert_string_not_equal(web_files[i].etag, web_files[k].etag);
        }
    }
    assert_string_equal(file_at("/")->media_type, "text/html; charset=utf-8");
    assert_string_equal(file_at("/web/style.css")->media_type, "text/css; charset=utf-8");
    assert_string_equal(file_at("/web/main.js")->media_type, "text/javascript; charset=utf-8");
    assert_true(contains(file_at("/"), "web/main.js"));
}

/* The policy forbids them, so they would not work; and nothing is fetched from elsewhere. */
static void pages_have_nothing_inline_and_nothing_from_elsewhere(void **state)
{
    (void)state;
    static const char *const forbidden[] = {"<style",     " style=",  " onclick=", "<script>",
                                            "src=\"http", "src=\"//", "@import"};
    for (size_t i = 0; i < web_n_files; i++) {
        for (size_t k = 0; k < ARRAY_LEN(forbidden); k++) {
            if (contains(&web_files[i], forbidden[k]))
                fail_msg("%s has %s", web_files[i].path, forbidden[k]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entity_tags_are_compared_weakly),
        cmocka_unit_test(files_have_paths_and_tags_of_their_own),
        cmocka_unit_test(pages_have_nothing_inline_and_nothing_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

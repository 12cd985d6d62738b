/* Both tokenisers on a table of texts, and offsets in all three units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "support/fail_alloc.h"
#include "text/tokenize.h"

/* Tokens of `text`, each followed by '|', compared with `expected`. */
static void check(enum tokenizer tokenizer, const char *text, const char *expected)
{
    char joined[1024] = "";
    struct elmo_token *tokens;
    size_t n_tokens;
    assert_int_equal(tokenize(tokenizer, text, strlen(text), &tokens, &n_tokens, NULL), ELMO_OK);
    for (size_t k = 0; k < n_tokens; k++) {
        strncat(joined, tokens[k].bytes, tokens[k].n_bytes);
        strcat(joined, "|");
        assert_true(tokens[k].bytes >= text &&
                    tokens[k].bytes + tokens[k].n_bytes <= text + strlen(text));
    }
    assert_string_equal(joined, expected);
    assert_true(n_tokens || !tokens);
    free(tokens);
}

static const struct {
    const char *text, *whitespace, *unicode;
} cases[] = {
    {"", "", ""},
    {" \t\r\n ", "", ""},
    {"one", "one|", "one|"},
    {"Hello, world!", "Hello,|world!|", "Hello|,|world|!|"},
    {"  two  words  ", "two|words|", "two|words|"},
    {"don't stop", "don't|stop|", "don't|stop|"},
    {"don\xe2\x80\x99t", "don\xe2\x80\x99t|", "don\xe2\x80\x99t|"},
    {"caf\xc3\xa9 na\xc3\xafve", "caf\xc3\xa9|na\xc3\xafve|", "caf\xc3\xa9|na\xc3\xafve|"},
    {"a\xc2\xa0"
     "b\xe3\x80\x80"
     "c",
     "a|b|c|", "a|b|c|"}, /* no-break and ideographic space */
    {"\xe6\x9d\xb1\xe4\xba\xac", "\xe6\x9d\xb1\xe4\xba\xac|", "\xe6\x9d\xb1|\xe4\xba\xac|"},
    {"3.14 1,000", "3.14|1,000|", "3.14|1,000|"},
    {"x\ty\nz", "x|y|z|", "x|y|z|"},
    {"a\x01"
     "b",
     "a\x01"
     "b|",
     "a|b|"}, /* a control character alone is no word */
    {"\xf0\x9f\x98\x80 ok", "\xf0\x9f\x98\x80|ok|", "\xf0\x9f\x98\x80|ok|"},
    {"<S> </S>", "<S>|</S>|", "<|S|>|<|/|S|>|"},
    {"good<br />film", "good<br|/>film|", "good|<|br|/|>|film|"},
    {"end of line\r\n", "end|of|line|", "end|of|line|"},
};

static void splits_as_the_table_says(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        check(TOKENIZER_WHITESPACE, cases[k].text, cases[k].whitespace);
        check(TOKENIZER_UNICODE, cases[k].text, cases[k].unicode);
    }
}

static void refuses_what_is_not_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"};
    for (size_t k = 0; k < ARRAY_LEN(bad); k++)
        for (int tokenizer = 0; tokenizer < 2; tokenizer++) {
            struct elmo_token *tokens = (void *)1;
            size_t n_tokens = 77;
            struct elmo_error err = {0};
            assert_int_equal(tokenize((enum tokenizer)tokenizer, bad[k], strlen(bad[k]), &tokens,
                                      &n_tokens, &err),
                             ELMO_E_UTF8);
            assert_int_equal(n_tokens, 77);
            assert_string_equal(err.message, "the text is not valid UTF-8");
        }
}

static void offsets_come_in_three_units(void **state)
{
    (void)state;
    /* a, U+00E9, U+1F600 (two UTF-16 units), then "b" */
    const char *text = "a\xc3\xa9 \xf0\x9f\x98\x80 b";
    static const size_t expected[3][3][2] = {
        [ELMO_OFFSET_BYTES] = {{0, 3}, {4, 8}, {9, 10}},
        [ELMO_OFFSET_CODEPOINTS] = {{0, 2}, {3, 4}, {5, 6}},
        [ELMO_OFFSET_UTF16] = {{0, 2}, {3, 5}, {6, 7}},
    };
    struct elmo_token *tokens;
    size_t n_tokens, offsets[3][2];
    assert_int_equal(tokenize(TOKENIZER_WHITESPACE, text, strlen(text), &tokens, &n_tokens, NULL),
                     ELMO_OK);
    assert_int_equal(n_tokens, 3);
    for (int unit = 0; unit < 3; unit++) {
        elmo_token_offsets(text, tokens, n_tokens, (enum elmo_offset_unit)unit, offsets);
        assert_memory_equal(offsets, expected[unit], sizeof offsets);
    }
    free(tokens);
}

static void handles_a_long_text(void **state)
{
    (void)state;
    const size_t n_words = 200000;
    AUTO(mem_free) char *text = malloc(3 * n_words);
    assert_non_null(text);
    for (size_t k = 0; k < n_words; k++)
        memcpy(text + 3 * k, "ab ", 3);
    for (int tokenizer = 0; tokenizer < 2; tokenizer++) {
        struct elmo_token *tokens;
        size_t n_tokens;
        assert_int_equal(
            tokenize((enum tokenizer)tokenizer, text, 3 * n_words, &tokens, &n_tokens, NULL),
            ELMO_OK);
        assert_int_equal(n_tokens, n_words);
        free(tokens);
    }
}

static void every_failing_allocation_is_reported(void **state)
{
    (void)state;
    const char *text = "a b c d e f g h i j k l m n o p q r s t u v w x y z "
                       "a b c d e f g h i j k l m n o p q r s t u v w x y z";
    for (int tokenizer = 0; tokenizer < 2; tokenizer++) {
        size_t n_good = 0, n_failed;
        do {
            struct elmo_token *tokens = NULL;
            size_t n_tokens;
            fail_alloc_after(n_good++);
            int r =
                tokenize((enum tokenizer)tokenizer, text, strlen(text), &tokens, &n_tokens, NULL);
            n_failed = fail_alloc_stop();
            assert_int_equal(r, n_failed ? ELMO_E_NOMEM : ELMO_OK);
            free(tokens);
        } while (n_failed);
        assert_true(n_good > 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_as_the_table_says),
        cmocka_unit_test(refuses_what_is_not_utf8),
        cmocka_unit_test(offsets_come_in_three_units),
        cmocka_unit_test(handles_a_long_text),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

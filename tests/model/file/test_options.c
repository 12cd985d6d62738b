/* options.json: what is read, what may be missing, and which words an error has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "file/options.h"

#define ORIGINAL                                                                                   \
    "{\"lstm\": {\"use_skip_connections\": true, \"projection_dim\": 512, \"cell_clip\": 3,"       \
    " \"proj_clip\": 3, \"dim\": 4096, \"n_layers\": 2}, \"char_cnn\": {\"activation\": \"relu\"," \
    " \"filters\": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],"          \
    " \"n_highway\": 2, \"embedding\": {\"dim\": 16}, \"n_characters\": 262,"                      \
    " \"max_characters_per_token\": 50}, \"dropout\": 0.1, \"n_epochs\": 10}"

static void reads_the_original_model(void **state)
{
    (void)state;
    struct options o;
    struct elmo_error err = {0};
    assert_int_equal(options_parse(&o, ORIGINAL, &err), ELMO_OK);
    assert_int_equal(o.char_dim, 16);
    assert_int_equal(o.max_chars, 50);
    assert_int_equal(o.n_char_filters, 7);
    assert_int_equal(o.char_filters[6].width, 7);
    assert_int_equal(o.char_filters[6].n_filters, 1024);
    assert_int_equal(o.filter_dim, 2048);
    assert_int_equal(o.n_highway, 2);
    assert_int_equal(o.activation, ACT_RELU);
    assert_int_equal(o.n_layers, 2);
    assert_int_equal(o.cell_dim, 4096);
    assert_int_equal(o.proj_dim, 512);
    assert_true(o.cell_clip == 3.0f && o.proj_clip == 3.0f);
    assert_true(o.skip_connections);
}

/* ORIGINAL with its first `from` replaced. */
static void edited(char *buf, size_t buf_bytes, const char *from, const char *to)
{
    const char *at = strstr(ORIGINAL, from);
    assert_non_null(at);
    snprintf(buf, buf_bytes, "%.*s%s%s", (int)(at - ORIGINAL), ORIGINAL, to, at + strlen(from));
}

static void takes_what_the_wild_has(void **state)
{
    (void)state;
    char json[2048];
    struct options o;
    edited(json, sizeof json, "\"cell_clip\": 3,", "\"cell_clip\": null,");
    assert_int_equal(options_parse(&o, json, NULL), ELMO_OK);
    assert_true(o.cell_clip == 0.0f);
    edited(json, sizeof json, "\"proj_clip\": 3,", "");
    assert_int_equal(options_parse(&o, json, NULL), ELMO_OK);
    assert_true(o.proj_clip == 0.0f);
    edited(json, sizeof json, "\"n_highway\": 2, ", "");
    assert_int_equal(options_parse(&o, json, NULL), ELMO_OK);
    assert_int_equal(o.n_highway, 0);
    edited(json, sizeof json, ": true", ": false");
    assert_int_equal(options_parse(&o, json, NULL), ELMO_OK);
    assert_false(o.skip_connections);
    edited(json, sizeof json, "\"relu\"", "\"tanh\"");
    assert_int_equal(options_parse(&o, json, NULL), ELMO_OK);
    assert_int_equal(o.activation, ACT_TANH);
    edited(json, sizeof json, "262", "261");
    assert_int_equal(options_parse(&o, json, NULL), ELMO_OK);
}

static const struct {
    const char *from, *to, *expected;
} bad[] = {
    {"{\"lstm\"", "\"lstm\"", "not JSON"},
    {"\"lstm\": {", "\"other\": {", "lstm must be an object"},
    {"\"char_cnn\": {", "\"other\": {", "char_cnn must be an object"},
    {"\"dim\": 4096", "\"dim\": 0", "lstm.dim must be an integer"},
    {"\"dim\": 4096", "\"dim\": -1", "lstm.dim must be an integer"},
    {"\"dim\": 4096", "\"dim\": 4096.5", "lstm.dim must be an integer"},
    {"\"dim\": 4096", "\"dim\": 99999999999", "lstm.dim must be an integer"},
    {"\"dim\": 4096", "\"dim\": \"4096\"", "lstm.dim must be an integer"},
    {"\"dim\": 4096, ", "", "lstm.dim must be an integer from 1 to 1048576, it is missing"},
    {"\"projection_dim\": 512", "\"projection_dim\": []", "lstm.projection_dim"},
    {"\"n_layers\": 2", "\"n_layers\": 0", "lstm.n_layers"},
    {"\"n_layers\": 2", "\"n_layers\": 65", "lstm.n_layers"},
    {"\"cell_clip\": 3", "\"cell_clip\": -3", "lstm.cell_clip"},
    {"\"proj_clip\": 3", "\"proj_clip\": true", "lstm.proj_clip"},
    {": true", ": 1", "use_skip_connections must be true or false"},
    {"\"use_skip_connections\": true, ", "", "use_skip_connections must be true or false, it is"},
    {"\"relu\"", "\"gelu\"", "char_cnn.activation"},
    {"[1, 32]", "[0, 32]", "char_cnn.filters[0]"},
    {"[2, 32]", "[51, 32]", "char_cnn.filters[1] must be [width 1 to 50"},
    {"[3, 64]", "[3]", "char_cnn.filters[2]"},
    {"[4, 128]", "[4, 0]", "char_cnn.filters[3]"},
    {"[5, 256]", "5", "char_cnn.filters[4]"},
    {"[6, 512]", "[6, 1048577]", "char_cnn.filters[5]"},
    {"\"filters\"", "\"filtres\"", "char_cnn.filters must be an array"},
    {"\"n_highway\": 2", "\"n_highway\": 1000", "char_cnn.n_highway"},
    {"{\"dim\": 16}", "16", "char_cnn.embedding.dim"},
    {"\"n_characters\": 262", "\"n_characters\": 128", "char_cnn.n_characters"},
    {"_per_token\": 50", "_per_token\": 2", "char_cnn.max_characters_per_token"},
    {"\"dropout\": 0.1", "\"lstm\": {}", "duplicate"},
};

static void names_what_is_wrong(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
        char json[2048];
        struct elmo_error err = {0};
        struct options untouched = {.n_layers = 77};
        edited(json, sizeof json, bad[k].from, bad[k].to);
        assert_int_equal(options_parse(&untouched, json, &err), ELMO_E_FORMAT);
        if (!strstr(err.message, bad[k].expected))
            fail_msg("case %zu: expected '%s' in '%s'", k, bad[k].expected, err.message);
        assert_int_equal(untouched.n_layers, 77);
    }
}

static void survives_every_prefix(void **state)
{
    (void)state;
    for (size_t n = 0; n < strlen(ORIGINAL); n++) {
        char json[2048];
        struct options o;
        struct elmo_error err = {0};
        snprintf(json, sizeof json, "%.*s", (int)n, ORIGINAL);
        assert_int_equal(options_parse(&o, json, &err), ELMO_E_FORMAT);
        assert_true(err.message[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_original_model),
        cmocka_unit_test(takes_what_the_wild_has),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(survives_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

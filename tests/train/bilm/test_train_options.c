/* What options.json says of training: what is read and what is refused, the values of a run, the
 * note on what is not used, what an exported file says, and whether two architectures are the same.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "train/bilm/train_options.h"

/* As bilm-tf's bin/train_elmo.py has it. */
#define ARCHITECTURE                                                                              \
    "\"char_cnn\": {\"activation\": \"relu\", \"embedding\": {\"dim\": 16}, \"filters\": [[1, "   \
    "32], [2, 64]], \"max_characters_per_token\": 50, \"n_characters\": 261, \"n_highway\": 2}, " \
    "\"lstm\": {\"cell_clip\": 3, \"dim\": 4096, \"n_layers\": 2, \"proj_clip\": 3, "             \
    "\"projection_dim\": 512, \"use_skip_connections\": true}"
#define TRAINING                                                                             \
    "\"bidirectional\": true, \"dropout\": 0.1, \"all_clip_norm_val\": 10.0, \"n_epochs\": " \
    "10, \"n_train_tokens\": 768648884, \"batch_size\": 128, \"n_tokens_vocab\": 793471, "   \
    "\"unroll_steps\": 20, \"n_negative_samples_batch\": 8192"
#define NULLS                                                                              \
    "\"dropout\": null, \"all_clip_norm_val\": null, \"n_negative_samples_batch\": null, " \
    "\"learning_rate\": null, \"n_epochs\": null, \"bidirectional\": null"
#define ALL "{" TRAINING ", " ARCHITECTURE "}"

/* ---- Reading ---- */

static struct train_options parsed(const char *json)
{
    struct train_options o;
    struct elmo_error err = {0};
    if (train_options_parse(&o, json, &err))
        fail_msg("%s: %s", json, err.message);
    return o;
}

static void all_of_bilm_tf_s_keys_are_read(void **state)
{
    (void)state;
    struct train_options o = parsed(ALL);
    assert_true(o.dropout == 0.1);
    assert_true(o.all_clip_norm_val == 10);
    assert_true(isnan(o.learning_rate));
    assert_int_equal(o.n_negative_samples_batch, 8192);
    assert_int_equal(o.unroll_steps, 20);
    assert_int_equal(o.batch_size, 128);
    assert_int_equal(o.n_epochs, 10);
    assert_int_equal(o.n_train_tokens, 768648884);
    assert_int_equal(o.n_tokens_vocab, 793471);
    o = parsed("{\"learning_rate\": 0.2, \"dropout\": 0, \"all_clip_norm_val\": 1}");
    assert_true(o.learning_rate == 0.2);
    assert_true(o.dropout == 0);
    assert_true(o.all_clip_norm_val == 1);
}

static void what_is_not_there_or_null_is_not_set(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "{" ARCHITECTURE "}", "{" NULLS "}"};
    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        struct train_options o = parsed(texts[k]);
        assert_true(isnan(o.dropout) && isnan(o.all_clip_norm_val) && isnan(o.learning_rate));
        assert_false(o.n_negative_samples_batch || o.unroll_steps || o.batch_size || o.n_epochs ||
                     o.n_train_tokens || o.n_tokens_vocab);
    }
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int status;
        const char *message;
    } cases[] = {
        {"{\"bidirectional\": false}", ELMO_E_INVALID, "bidirectional is false"},
        {"{\"bidirectional\": 1}", ELMO_E_FORMAT, "bidirectional must be true"},
        {"{\"bidirectional\": \"false\"}", ELMO_E_FORMAT, "bidirectional must be true"},
        {"{\"dropout\": 1}", ELMO_E_FORMAT, "dropout must be a number from 0 to less than 1"},
        {"{\"dropout\": -0.1}", ELMO_E_FORMAT, "dropout must be a number from 0"},
        {"{\"dropout\": \"0.1\"}", ELMO_E_FORMAT, "dropout must be a number from 0"},
        {"{\"dropout\": false}", ELMO_E_FORMAT, "dropout must be a number from 0"},
        {"{\"all_clip_norm_val\": 0}", ELMO_E_FORMAT, "all_clip_norm_val must be a number greater"},
        {"{\"all_clip_norm_val\": -1}", ELMO_E_FORMAT,
         "all_clip_norm_val must be a number greater"},
        {"{\"all_clip_norm_val\": [10]}", ELMO_E_FORMAT, "all_clip_norm_val must be a number"},
        {"{\"learning_rate\": 0}", ELMO_E_FORMAT, "learning_rate must be a number greater than 0"},
        {"{\"n_negative_samples_batch\": 0}", ELMO_E_FORMAT,
         "n_negative_samples_batch must be an integer of at least 1"},
        {"{\"n_negative_samples_batch\": 8192.0}", ELMO_E_FORMAT, "n_negative_samples_batch must"},
        {"{\"unroll_steps\": -20}", ELMO_E_FORMAT, "unroll_steps must be an integer"},
        {"{\"batch_size\": {}}", ELMO_E_FORMAT, "batch_size must be an integer"},
        {"{\"n_epochs\": \"10\"}", ELMO_E_FORMAT, "n_epochs must be an integer"},
        {"{\"n_train_tokens\": true}", ELMO_E_FORMAT, "n_train_tokens must be an integer"},
        {"{\"n_tokens_vocab\": 0.5}", ELMO_E_FORMAT, "n_tokens_vocab must be an integer"},
        {"{\"dropout\": 0.1, \"dropout\": 0.2}", ELMO_E_FORMAT, "duplicate"},
        {"[]", ELMO_E_FORMAT, "options: not a JSON object"},
        {"{", ELMO_E_FORMAT, "options: not a JSON object: "},
        {"", ELMO_E_FORMAT, "options: not a JSON object: "},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct train_options untouched = {.n_epochs = 77};
        struct elmo_error err = {0};
        assert_int_equal(train_options_parse(&untouched, cases[k].json, &err), cases[k].status);
        if (!strstr(err.message, cases[k].message))
            fail_msg("%s: '%s' is not in '%s'", cases[k].json, cases[k].message, err.message);
        assert_int_equal(untouched.n_epochs, 77);
    }
}

/* ---- Values ---- */

static void the_command_line_comes_first_then_the_options(void **state)
{
    (void)state;
    static const struct train_values defaults = {.dropout = 0.3, .max_norm = 2, .n_samples = 100};
    static const struct {
        const char *json;
        struct train_values set, expected;
    } cases[] = {
        {"{}", {NAN, NAN, 0}, {0.3, 2, 100}},
        {ALL, {NAN, NAN, 0}, {0.1, 0.5, 8192}},
        {ALL, {0.2, NAN, 0}, {0.2, 0.5, 8192}},
        {ALL, {0, NAN, 0}, {0, 0.5, 8192}},
        {ALL, {NAN, 5, 0}, {0.1, 5, 8192}},
        {ALL, {NAN, NAN, 64}, {0.1, 0.5, 64}},
        {"{}", {0.2, 5, 64}, {0.2, 5, 64}},
        {"{\"dropout\": 0}", {NAN, NAN, 0}, {0, 2, 100}},
        {"{\"all_clip_norm_val\": 0.5}", {NAN, NAN, 0}, {0.3, 0.5, 100}},
        {"{\"all_clip_norm_val\": 10, \"unroll_steps\": 20}", {NAN, NAN, 0}, {0.3, 0.5, 100}},
        {"{\"unroll_steps\": 20}", {NAN, NAN, 0}, {0.3, 2, 100}},
        {"{\"n_negative_samples_batch\": 1}", {NAN, NAN, 0}, {0.3, 2, 1}},
        {"{\"learning_rate\": 7, \"n_epochs\": 7}", {NAN, NAN, 0}, {0.3, 2, 100}},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct train_options o = parsed(cases[k].json);
        struct train_values v = cases[k].set;
        train_options_apply(&v, &o, &defaults);
        if (v.dropout != cases[k].expected.dropout || v.max_norm != cases[k].expected.max_norm ||
            v.n_samples != cases[k].expected.n_samples)
            fail_msg("case %zu: %g, %g, %zu", k, v.dropout, v.max_norm, (size_t)v.n_samples);
    }
}

static void one_note_names_what_is_not_used(void **state)
{
    (void)state;
    static const struct {
        const char *json, *note;
    } cases[] = {
        {"{}", ""},
        {"{\"bidirectional\": true, \"dropout\": 0.1, \"all_clip_norm_val\": 10, "
         "\"n_negative_samples_batch\": 9, " ARCHITECTURE "}",
         ""},
        {"{\"learning_rate\": 0.2}",
         "note: options.json: learning_rate is not used; see --learning-rate"},
        {"{\"n_epochs\": 10, \"learning_rate\": 0.2}",
         "note: options.json: learning_rate and n_epochs are not used; see --learning-rate and "
         "--tokens"},
        {"{\"unroll_steps\": 20, \"batch_size\": 128}",
         "note: options.json: unroll_steps and batch_size are not used; see --batch-tokens"},
        {"{\"learning_rate\": 0.2, " TRAINING "}",
         "note: options.json: learning_rate, unroll_steps, batch_size, n_epochs, n_train_tokens and "
         "n_tokens_vocab are not used; see --learning-rate, --batch-tokens, --tokens and --vocab"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        char note[TRAIN_OPTIONS_NOTE_BYTES] = "x";
        struct train_options o = parsed(cases[k].json);
        train_options_note(note, &o);
        assert_string_equal(note, cases[k].note);
    }
}

/* ---- Writing ---- */

#define USED "\"dropout\": 0.05, \"all_clip_norm_val\": 2.5, \"n_negative_samples_batch\": 512"

static void exported_options_have_what_the_run_used(void **state)
{
    (void)state;
    static const struct train_values used = {0.05, 2.5, 512};
    static const struct {
        const char *json, *expected;
    } cases[] = {
        {"{}", "{" USED "}"},
        {ALL, "{\"bidirectional\": true, " USED ", " ARCHITECTURE "}"},
        {"{\"learning_rate\": 0.2, \"own\": [1, 0.3, null]}",
         "{\"own\": [1, 0.3, null], " USED "}"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        AUTO(mem_free) char *text = NULL;
        assert_int_equal(train_options_write(&text, cases[k].json, &used, NULL), 0);
        json_auto_t *found = json_loads(text, 0, NULL);
        json_auto_t *expected = json_loads(cases[k].expected, 0, NULL);
        if (!expected || !json_equal(found, expected))
            fail_msg("found %s", text);
        assert_null(strstr(text, "0.050")); /* not 0.050000000000000003 */
        /* The next run takes the same from it, and has nothing to note. */
        char note[TRAIN_OPTIONS_NOTE_BYTES];
        struct train_values v = {NAN, NAN, 0};
        struct train_options o = parsed(text);
        train_options_apply(&v, &o, &(struct train_values){9, 9, 9});
        assert_true(v.dropout == 0.05 && v.max_norm == 2.5 && v.n_samples == 512);
        train_options_note(note, &o);
        assert_string_equal(note, "");
    }
}

static void only_an_object_is_written_again(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[1]", "{\"a\"}", "1"};
    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        char *text = NULL;
        struct elmo_error err = {0};
        assert_int_equal(
            train_options_write(&text, texts[k], &(struct train_values){0.1, 1, 1}, &err),
            ELMO_E_FORMAT);
        assert_non_null(strstr(err.message, "not a JSON object"));
        assert_null(text);
    }
}

/* ---- The architecture ---- */

/* ALL with its first `from` replaced. */
static void edited(char *buf, size_t buf_bytes, const char *from, const char *to)
{
    const char *at = strstr(ALL, from);
    assert_non_null(at);
    snprintf(buf, buf_bytes, "%.*s%s%s", (int)(at - ALL), ALL, to, at + strlen(from));
}

static void architectures_are_compared_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *key; /* NULL: the same */
    } cases[] = {
        {"\"dropout\": 0.1", "\"dropout\": 0.1", NULL},
        {"\"dropout\": 0.1", "\"dropout\": 0.7", NULL},
        {TRAINING ", ", "", NULL},
        {"\"n_characters\": 261", "\"n_characters\": 262", NULL},
        {"\"n_characters\": 261, ", "", NULL},
        {"\"cell_clip\": 3,", "\"cell_clip\": 3.0,", NULL},
        {"\"embedding\": {\"dim\": 16}", "\"embedding\": {\"dim\": 8}", "char_cnn.embedding.dim"},
        {"_per_token\": 50", "_per_token\": 40", "char_cnn.max_characters_per_token"},
        {"[2, 64]", "[2, 63]", "char_cnn.filters"},
        {"[2, 64]", "[3, 64]", "char_cnn.filters"},
        {", [2, 64]", "", "char_cnn.filters"},
        {"\"n_highway\": 2", "\"n_highway\": 1", "char_cnn.n_highway"},
        {", \"n_highway\": 2", "", "char_cnn.n_highway"},
        {"relu", "tanh", "char_cnn.activation"},
        {"\"n_layers\": 2", "\"n_layers\": 3", "lstm.n_layers"},
        {"\"dim\": 4096", "\"dim\": 4095", "lstm.dim"},
        {"_dim\": 512", "_dim\": 511", "lstm.projection_dim"},
        {"\"cell_clip\": 3", "\"cell_clip\": 5", "lstm.cell_clip"},
        {"\"cell_clip\": 3", "\"cell_clip\": null", "lstm.cell_clip"},
        {"\"proj_clip\": 3", "\"proj_clip\": 2.5", "lstm.proj_clip"},
        {"connections\": true", "connections\": false", "lstm.use_skip_connections"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        char json[2048];
        const char *key = "untouched", *back = "untouched";
        edited(json, sizeof json, cases[k].from, cases[k].to);
        assert_int_equal(train_options_compare(&key, ALL, json, NULL), 0);
        assert_int_equal(train_options_compare(&back, json, ALL, NULL), 0);
        if (cases[k].key ? !key || !back || strcmp(key, cases[k].key) || strcmp(back, key)
                         : key || back)
            fail_msg("case %zu: '%s'", k, key ? key : "the same");
    }
}

static void defaults_are_filled_in_before_architectures_are_compared(void **state)
{
    (void)state;
    char without[2048], zero[2048];
    const char *key = "untouched";
    edited(without, sizeof without, "\"proj_clip\": 3, ", "");
    edited(zero, sizeof zero, "\"proj_clip\": 3", "\"proj_clip\": 0");
    assert_int_equal(train_options_compare(&key, without, zero, NULL), 0);
    assert_null(key);
    edited(without, sizeof without, ", \"n_highway\": 2", "");
    edited(zero, sizeof zero, "\"n_highway\": 2", "\"n_highway\": 0");
    assert_int_equal(train_options_compare(&key, without, zero, NULL), 0);
    assert_null(key);
}

static void what_is_no_architecture_is_not_compared(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    const char *key = "untouched";
    assert_int_equal(train_options_compare(&key, ALL, "{}", &err), ELMO_E_FORMAT);
    assert_int_equal(train_options_compare(&key, "{}", ALL, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, "char_cnn"));
    assert_string_equal(key, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_bilm_tf_s_keys_are_read),
        cmocka_unit_test(what_is_not_there_or_null_is_not_set),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(the_command_line_comes_first_then_the_options),
        cmocka_unit_test(one_note_names_what_is_not_used),
        cmocka_unit_test(exported_options_have_what_the_run_used),
        cmocka_unit_test(only_an_object_is_written_again),
        cmocka_unit_test(architectures_are_compared_and_nothing_else),
        cmocka_unit_test(defaults_are_filled_in_before_architectures_are_compared),
        cmocka_unit_test(what_is_no_architecture_is_not_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

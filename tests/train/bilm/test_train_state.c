/* What a checkpoint says of its run, as JSON: read back as it was, also from older trainers; what
 * is missing or wrong is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "train/bilm/train_state.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct train_state full = {
    .n_steps = 12345,
    .n_tokens = 23456789,
    .position = {7, 3, {{1024, 5}, {2048, 0}, {4096, 77}}},
    .seed = UINT64_MAX - 3,
    .optimizer_steps = 12345,
    .average_steps = 2345,
    .seconds = 3600.1234567890123,
    .corpus_sha256 = DIGEST,
    .heldout_sha256 = DIGEST,
    .init_sha256 = "",
    .decay = {1.0 / 3, {123456, 7890, 2.0 / 7}},
    .settings = {.batch_tokens = {1024, 4096},
                 .n_samples = 2048,
                 .threads = 2,
                 .precision = PRECISION_BF16,
                 .dropout = 0.1,
                 .learning_rate = 1e-3,
                 .max_norm = 1.5,
                 .average = 0.9995,
                 .tokens = 100,
                 .hours = 0.1},
};

static void a_state_is_read_back_as_it_was(void **state)
{
    (void)state;
    struct train_state read;
    char *text = train_state_text(&full);
    assert_non_null(text);
    assert_int_equal(train_state_parse(&read, text, NULL), 0);
    char *again = train_state_text(&read);
    assert_string_equal(text, again); /* every member; the numbers have all their digits */
    assert_true(read.decay.left == full.decay.left);
    assert_true(read.decay.line.from == full.decay.line.from);
    assert_true(read.seconds == full.seconds && read.seed == full.seed);
    assert_memory_equal(&read.position, &full.position, sizeof read.position);
    assert_int_equal(read.settings.precision, PRECISION_BF16);
    free(text);
    free(again);
}

/* The first trainers had no settings; later ones had some of today's. */
static void states_of_older_trainers_are_read(void **state)
{
    (void)state;
    static const char first[] =
        "{\"n_steps\":5,\"n_tokens\":80,\"epoch\":1,\"next_batch\":3,\"seed\":7,"
        "\"optimizer_steps\":5,\"seconds\":1.5,\"corpus_sha256\":\"" DIGEST
        "\",\"heldout_sha256\":\"" DIGEST "\"";
    static const char settings[] =
        ",\"init_sha256\":\"\",\"settings\":{\"batch_tokens\":16,\"n_samples\":8,\"threads\":2,"
        "\"dropout\":0.1,\"learning_rate\":0.001,\"max_norm\":1.0,\"tokens\":0}";
    for (int k = 0; k < 2; k++) {
        char text[1024];
        struct train_state s;
        snprintf(text, sizeof text, "%s%s}", first, k ? settings : "");
        assert_int_equal(train_state_parse(&s, text, NULL), 0);
        assert_int_equal(s.position.epoch, 1);
        assert_int_equal(s.position.n_stages, 1);
        assert_int_equal(s.position.stages[0].batch_tokens, k ? 16 : 0);
        assert_int_equal(s.position.stages[0].n_taken, 3);
        assert_int_equal(s.settings.batch_tokens.from, k ? 16 : 0);
        assert_int_equal(s.settings.batch_tokens.to, k ? 16 : 0);
        assert_int_equal(s.settings.precision, PRECISION_F32);
        assert_true(s.settings.average == 0 && s.decay.left == 1);
        assert_int_equal(s.decay.line.n_tokens, 0);
    }
}

/* The whole state with a member changed; free() it. Where it is inside: "decay.left". NULL: the
 * member is taken away. */
static char *changed(const char *where, const char *value)
{
    char *text = train_state_text(&full), group[32] = "";
    json_t *root = json_loads(text, 0, NULL), *object = root;
    const char *dot = strchr(where, '.');
    if (dot) {
        snprintf(group, sizeof group, "%.*s", (int)(dot - where), where);
        object = json_object_get(root, group);
        where = dot + 1;
    }
    if (value)
        json_object_set_new(object, where, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(object, where);
    free(text);
    text = json_dumps(root, 0);
    json_decref(root);
    return text;
}

static void what_is_missing_or_wrong_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *where, *value;
    } cases[] = {
        {"n_steps", NULL},
        {"n_steps", "-1"},
        {"n_steps", "1.5"},
        {"n_tokens", NULL},
        {"epoch", NULL},
        {"epoch", "\"1\""},
        {"seed", NULL},
        {"optimizer_steps", NULL},
        {"average_steps", "-1"},
        {"seconds", NULL},
        {"seconds", "\"1\""},
        {"corpus_sha256", NULL},
        {"corpus_sha256", "1"},
        {"heldout_sha256", "\"" DIGEST "0\""},
        {"stages", NULL}, /* and no next_batch */
        {"stages", "[]"},
        {"stages", "[[16]]"},
        {"stages", "[[16, -1]]"},
        {"stages", "[16, 1]"},
        {"stages", "{}"},
        {"stages", "[[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],"
                   "[1,1],[1,1],[1,1],[1,1]]"},
        {"decay", "1"},
        {"decay.left", NULL},
        {"decay.begin_tokens", "-1"},
        {"decay.from", NULL},
        {"settings", "[]"},
        {"settings.batch_tokens", NULL},
        {"settings.precision", "\"f8\""},
        {"settings.dropout", "null"},
        {"settings.average", "\"0\""},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct train_state s = {.n_steps = 99};
        struct elmo_error err = {0};
        char *text = changed(cases[k].where, cases[k].value);
        if (train_state_parse(&s, text, &err) != ELMO_E_FORMAT)
            fail_msg("%s: %s", cases[k].where, cases[k].value ? cases[k].value : "missing");
        assert_non_null(strstr(err.message, META_STATE));
        assert_int_equal(s.n_steps, 99); /* untouched */
        free(text);
    }
    struct train_state s;
    assert_int_equal(train_state_parse(&s, NULL, NULL), ELMO_E_FORMAT);
    assert_int_equal(train_state_parse(&s, "", NULL), ELMO_E_FORMAT);
    assert_int_equal(train_state_parse(&s, "[]", NULL), ELMO_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_read_back_as_it_was),
        cmocka_unit_test(states_of_older_trainers_are_read),
        cmocka_unit_test(what_is_missing_or_wrong_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

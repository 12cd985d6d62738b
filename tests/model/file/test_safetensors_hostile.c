/* Files that are no model: elmo_model_open_memory must refuse them with words, or open what is
 * still a model and run it, and never do anything else. Every prefix of a small valid file, 100,000
 * mutated ones, and a table of wrong files with the words that each must get. The sanitizers of a
 * debug build are half of this test: every file lies in memory of exactly its size. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "elmo.h"
#include "reference/outputs.h"
#include "reference/random_model.h"
#include "reference/st_draft.h"
#include "reference/test_files.h"

#define N_MUTANTS 100000

static struct {
    struct st_draft file;
    struct random_model model;
    struct temp_dir dir;
} valid;

static int set_up(void **state)
{
    (void)state;
    const struct options options = {.char_dim = 1,
                                    .max_chars = 6,
                                    .n_char_filters = 1,
                                    .char_filters = {{2, 3}},
                                    .filter_dim = 3,
                                    .n_highway = 1,
                                    .n_layers = 1,
                                    .cell_dim = 4,
                                    .proj_dim = 2,
                                    .skip_connections = true};
    const struct head_shape head = {4, 3, 1};
    struct rng rng = {11};
    random_model_init_with(&valid.model, &rng, &options, &head, ELMO_POOL_MEAN, true);
    temp_dir_init(&valid.dir);
    AUTO(mem_free) char *path = temp_path(&valid.dir, "valid.safetensors");
    assert_int_equal(random_model_write(&valid.model, path, NULL), 0);
    size_t n_bytes;
    AUTO(mem_free) unsigned char *bytes = read_whole_file(path, &n_bytes);
    assert_true(st_draft_parse(&valid.file, bytes, n_bytes));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_done(&valid.dir);
    random_model_done(&valid.model);
    st_draft_done(&valid.file);
    return 0;
}

/* ---- Opening ---- */

static void run_one_sentence(const struct elmo_model *model)
{
    static const struct elmo_token tokens[] = {{"a", 1}, {"longer than most", 16}, {"", 0}};
    struct elmo_session *session = NULL;
    struct elmo_error err = {0};
    struct outputs outputs;
    struct elmo_sentence s = {.tokens = tokens, .n_tokens = ARRAY_LEN(tokens)};
    outputs_attach(&outputs, &s, model, WANT_ALL);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    int r = elmo_session_run(session, &s, 1, &err);
    assert_true(r == 0 || (r == ELMO_E_NUMERIC && *err.message));
    elmo_session_free(session);
    outputs_done(&outputs);
}

/* Opens the bytes, runs a sentence if they are a model; says whether they were. */
static bool opens(const unsigned char *bytes, size_t n_bytes, struct elmo_error *ret_err)
{
    struct elmo_model *model = NULL;
    *ret_err = (struct elmo_error){0};
    int r = elmo_model_open_memory(&model, bytes, n_bytes, NULL, ret_err);
    if (r) {
        assert_null(model);
        assert_int_equal(r, ELMO_E_FORMAT);
        assert_int_equal(ret_err->status, r);
        assert_true(*ret_err->message);
        return false;
    }
    run_one_sentence(model);
    elmo_model_free(model);
    return true;
}

static bool draft_opens(const struct st_draft *d, struct elmo_error *ret_err)
{
    size_t n_bytes;
    AUTO(mem_free) unsigned char *bytes = st_draft_bytes(d, &n_bytes);
    return opens(bytes, n_bytes, ret_err);
}

static void the_valid_file_opens_and_no_prefix_of_it(void **state)
{
    (void)state;
    struct elmo_error err;
    struct st_draft d = st_draft_copy(&valid.file);
    size_t n_bytes;
    AUTO(mem_free) unsigned char *bytes = st_draft_bytes(&d, &n_bytes);
    assert_true(opens(bytes, n_bytes, &err));
    for (size_t n = 0; n < n_bytes; n++) {
        AUTO(mem_free) unsigned char *prefix = must_calloc(n, 1);
        memcpy(prefix, bytes, n);
        assert_false(opens(prefix, n, &err));
    }
    st_draft_done(&d);
}

/* ---- Mutants ---- */

static void mutants_are_refused_or_run(void **state)
{
    (void)state;
    struct rng rng = {2024};
    size_t n_opened = 0;
    for (size_t k = 0; k < N_MUTANTS; k++) {
        struct elmo_error err;
        struct st_draft d = st_draft_copy(&valid.file);
        st_draft_mutate(&d, &rng);
        n_opened += draft_opens(&d, &err);
        st_draft_done(&d);
    }
    print_message("%zu of %d mutants are still models\n", n_opened, N_MUTANTS);
    assert_true(n_opened > N_MUTANTS / 100); /* the mutations reach the forward pass ... */
    assert_true(n_opened < N_MUTANTS / 2);   /* ... and are noticed */
}

/* ---- Wrong files and their words ---- */

static const struct {
    const char *what;
    const char *from, *to; /* the first `from` of the header becomes `to` */
    size_t n_extra;        /* bytes behind the data */
    const char *words[3];
} wrong_headers[] = {
    {"not JSON", "{", "<", 0, {"header", "JSON"}},
    {"not an object", "{", "[{", 0, {"JSON"}},
    {"tensor twice", "\"CNN/b_cnn_0\"", "\"CNN/W_cnn_0\"", 0, {"duplicate"}},
    {"tensor of another name",
     "\"CNN/b_cnn_0\"",
     "\"CNN/b_cnn_7\"",
     0,
     {"'CNN/b_cnn_0' [3] is missing"}},
    {"unexpected tensor",
     "\"char_embed\"",
     "\"more\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[END,END+4]},\"char_embed\"",
     4,
     {"unexpected tensor 'more'"}},
    {"entry not an object",
     "\"char_embed\":{",
     "\"char_embed\":7,\"x\":{",
     0,
     {"char_embed", "not an object"}},
    {"no dtype", "\"dtype\":\"F32\",", "", 0, {"char_embed", "no dtype"}},
    {"unknown dtype", "\"F32\"", "\"F33\"", 0, {"char_embed", "unknown dtype 'F33'"}},
    {"integers", "\"F32\"", "\"I32\"", 0, {"char_embed", "expected F32, BF16 or F16", "found I32"}},
    {"dtype too small",
     "\"F32\"",
     "\"BF16\"",
     0,
     {"char_embed", "BF16 [261, 1] takes 522 bytes", "1044"}},
    {"no shape", "\"shape\":[261,1],", "", 0, {"char_embed", "no shape"}},
    {"turned shape",
     "[261,1]",
     "[1,261]",
     0,
     {"char_embed", "expected shape [261, 1]", "found [1, 261]"}},
    {"flat shape", "[261,1]", "[261]", 0, {"char_embed", "expected shape [261, 1]", "found [261]"}},
    {"larger shape",
     "[261,1]",
     "[261,2]",
     0,
     {"char_embed", "F32 [261, 2] takes 2088 bytes", "1044"}},
    {"negative shape",
     "[261,1]",
     "[-261,-1]",
     0,
     {"char_embed", "shape[0]", "non-negative integer"}},
    {"real shape", "[261,1]", "[261,1.0]", 0, {"char_embed", "shape[1]", "non-negative integer"}},
    {"overflowing shape", "[261,1]", "[4294967296,4294967296]", 0, {"char_embed", "overflows"}},
    {"shape of zero", "[261,1]", "[0,4294967296]", 0, {"char_embed", "takes 0 bytes"}},
    {"nine dimensions",
     "[261,1]",
     "[261,1,1,1,1,1,1,1,1]",
     0,
     {"char_embed", "9 dimensions", "at most 8"}},
    {"no offsets",
     "\"data_offsets\":[0,1044]",
     "\"offsets\":[0,1044]",
     0,
     {"char_embed", "data_offsets"}},
    {"three offsets", "[0,1044]", "[0,4,1044]", 0, {"char_embed", "data_offsets is not a pair"}},
    {"negative offset", "[0,1044]", "[-4,1040]", 0, {"char_embed", "non-negative"}},
    {"offset wraps", "[0,1044]", "[18446744073709551612,1040]", 0, {"header", "too big integer"}},
    {"turned offsets", "[0,1044]", "[1044,0]", 0, {"char_embed", "[1044, 0]"}},
    {"beyond the end", "[0,1044]", "[0,1000000]", 0, {"char_embed", "outside", "truncated?"}},
    {"overlap", "[1044,1068]", "[1040,1064]", 0, {"CNN/W_cnn_0", "overlap"}},
    {"hole", "[0,1044]", "[4,1048]", 4, {"4 unused bytes before", "char_embed"}},
    {"bytes behind", "{", "{", 4, {"4 unused bytes at the end"}},
    {"metadata not an object",
     "\"__metadata__\":{",
     "\"__metadata__\":[],\"x\":{",
     0,
     {"__metadata__", "not an object"}},
    {"metadata not a string",
     "\"name\":\"random\"",
     "\"name\":1",
     0,
     {"__metadata__", "name", "not a string"}},
    {"no metadata", "\"__metadata__\"", "\"metadata\"", 0, {"metadata", "dtype"}},
    {"no format version",
     "\"elmo_format\"",
     "\"format\"",
     0,
     {"elmo_format", "not an elmod model"}},
    {"newer format",
     "\"elmo_format\":\"1\"",
     "\"elmo_format\":\"2\"",
     0,
     {"elmo_format", "expected 1", "found 2"}},
    {"no name", "\"name\"", "\"nom\"", 0, {"no 'name'"}},
    {"empty name", "\"random\"", "\"\"", 0, {"'name'", "1 to 128 bytes"}},
    {"name with escape", "\"random\"", "\"\\u001b[2J\"", 0, {"'name'", "control"}},
    {"no tokenizer", "\"tokenizer\"", "\"tokeniser\"", 0, {"no 'tokenizer'"}},
    {"unknown tokenizer",
     "\"tokenizer\":\"",
     "\"tokenizer\":\"x",
     0,
     {"'tokenizer'", "expected \"whitespace\" or \"unicode\"", "found \"x"}},
    {"no options", "\"options\"", "\"option\"", 0, {"no 'options'"}},
    {"options not JSON", "\"options\":\"{", "\"options\":\"", 0, {"options", "not JSON"}},
    {"options of other cells",
     "\\\"dim\\\": 4",
     "\\\"dim\\\": 5",
     0,
     {"LSTMCell/W_0", "expected shape [4, 20]", "found [4, 16]"}},
    {"options of no layer",
     "\\\"n_layers\\\": 1",
     "\\\"n_layers\\\": 0",
     0,
     {"lstm.n_layers", "1 to 64"}},
    {"options of two layers",
     "\\\"n_layers\\\": 1",
     "\\\"n_layers\\\": 2",
     0,
     {"Cell1/LSTMCell/W_0", "missing"}},
    {"filter wider than a token",
     "[[2, 3]]",
     "[[7, 3]]",
     0,
     {"char_cnn.filters[0]", "width 1 to 6"}},
    {"no labels", "\"labels\"", "\"label\"", 0, {"no 'labels'"}},
    {"labels not JSON", "\"labels\":\"[", "\"labels\":\"", 0, {"'labels'", "2 strings"}},
    {"three labels", "\\\"label_0\\\"", "\\\"label_0\\\", \\\"x\\\"", 0, {"'labels'", "2 strings"}},
    {"labels alike", "label_1", "label_0", 0, {"'labels'", "entry 1", "twice"}},
    {"unknown pooling",
     "\"pooling\":\"mean\"",
     "\"pooling\":\"sum\"",
     0,
     {"'pooling'", "found \"sum\""}},
    {"pooling of another width",
     "\"pooling\":\"mean\"",
     "\"pooling\":\"mean_max\"",
     0,
     {"sentiment/dense_1/kernel", "expected 8 rows", "found 4"}},
    {"half a head",
     "\"sentiment/dense_2/kernel\"",
     "\"sentiment/dense_3/kernel\"",
     0,
     {"sentiment", "dense_2/kernel"}},
    {"head that does not chain",
     "\"shape\":[3,1]",
     "\"shape\":[1,3]",
     0,
     {"sentiment/dense_2/kernel", "expected shape [3, 3]", "found [1, 3]"}},
};

/* "END" in a replacement is where the valid data ends. */
static void expand_end(char *text, size_t text_bytes, const char *with_end)
{
    char end[24], end_and_4[24];
    snprintf(end, sizeof end, "%zu", valid.file.n_data);
    snprintf(end_and_4, sizeof end_and_4, "%zu", valid.file.n_data + 4);
    snprintf(text, text_bytes, "%s", with_end);
    for (char *at; (at = strstr(text, "END"));) {
        bool plus_4 = !strncmp(at, "END+4", 5);
        const char *number = plus_4 ? end_and_4 : end;
        size_t n_old = plus_4 ? 5 : 3, n_new = strlen(number);
        memmove(at + n_new, at + n_old, strlen(at + n_old) + 1);
        memcpy(at, number, n_new);
    }
}

static void check_words(const char *what, const struct st_draft *d, const char *const *words,
                        size_t n_words)
{
    struct elmo_error err;
    if (draft_opens(d, &err))
        fail_msg("%s: opened", what);
    for (size_t w = 0; w < n_words && words[w]; w++)
        if (!strstr(err.message, words[w]))
            fail_msg("%s: no \"%s\" in \"%s\"", what, words[w], err.message);
}

static void each_wrong_header_is_named(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(wrong_headers); k++) {
        struct st_draft d = st_draft_copy(&valid.file);
        char to[512];
        expand_end(to, sizeof to, wrong_headers[k].to);
        if (!st_draft_replace(&d, wrong_headers[k].from, to))
            fail_msg("%s: no \"%s\" in %s", wrong_headers[k].what, wrong_headers[k].from, d.header);
        d.n_extra = wrong_headers[k].n_extra;
        check_words(wrong_headers[k].what, &d, wrong_headers[k].words, 3);
        st_draft_done(&d);
    }
}

static void a_header_longer_than_the_file_or_16_mib_is_not_read(void **state)
{
    (void)state;
    for (int huge = 0; huge < 2; huge++) {
        struct st_draft d = st_draft_copy(&valid.file);
        d.n_extra = huge ? 17u << 20 : 0;
        d.length_prefix = huge ? (16u << 20) + 1 : strlen(d.header) + d.n_data + 1;
        check_words("long header", &d, (const char *const[]){"truncated", "at most 16777216"}, 2);
        st_draft_done(&d);
    }
}

static void a_value_that_is_not_finite_is_named(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY};
    for (size_t k = 0; k < ARRAY_LEN(values); k++) {
        struct st_draft d = st_draft_copy(&valid.file);
        memcpy(d.data + 8, &values[k], sizeof values[k]);
        check_words("not finite", &d, (const char *const[]){"char_embed", "not finite"}, 2);
        st_draft_done(&d);
    }
}

/* ---- Each tensor: missing, or of a wrong size ---- */

/* The model without a tensor, or (grow) with it one row longer; *ret_err says what is wrong. */
static void open_spoiled(size_t index, bool grow, struct elmo_error *ret_err)
{
    struct random_model spoiled = valid.model;
    spoiled.weights = (struct tensor_set){0};
    for (size_t k = 0; k < valid.model.weights.n_items; k++) {
        const struct named_tensor *t = &valid.model.weights.items[k];
        size_t dims[TENSOR_MAX_DIMS];
        memcpy(dims, t->dims, sizeof dims);
        if (k == index && !grow)
            continue;
        dims[0] += k == index;
        memcpy(tensor_set_add(&spoiled.weights, t->name, dims, t->n_dims), t->values,
               t->n_values * sizeof *t->values);
    }
    AUTO(mem_free) char *path = temp_path(&valid.dir, "spoiled.safetensors");
    assert_int_equal(random_model_write(&spoiled, path, NULL), 0);
    size_t n_bytes;
    AUTO(mem_free) unsigned char *bytes = read_whole_file(path, &n_bytes);
    assert_false(opens(bytes, n_bytes, ret_err));
    tensor_set_done(&spoiled.weights);
}

static void each_missing_tensor_is_named(void **state)
{
    (void)state;
    for (size_t k = 0; k < valid.model.weights.n_items; k++) {
        struct elmo_error err;
        open_spoiled(k, false, &err);
        if (!strstr(err.message, valid.model.weights.items[k].name))
            fail_msg("no %s in \"%s\"", valid.model.weights.items[k].name, err.message);
    }
}

static void each_tensor_of_a_wrong_size_is_named(void **state)
{
    (void)state;
    for (size_t k = 0; k < valid.model.weights.n_items; k++) {
        const char *name = valid.model.weights.items[k].name;
        struct elmo_error err;
        open_spoiled(k, true, &err);
        if (!strstr(err.message, name))
            fail_msg("no %s in \"%s\"", name, err.message);
        assert_true(strstr(err.message, "expected") && strstr(err.message, "found"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_valid_file_opens_and_no_prefix_of_it),
        cmocka_unit_test(mutants_are_refused_or_run),
        cmocka_unit_test(each_wrong_header_is_named),
        cmocka_unit_test(a_header_longer_than_the_file_or_16_mib_is_not_read),
        cmocka_unit_test(a_value_that_is_not_finite_is_named),
        cmocka_unit_test(each_missing_tensor_is_named),
        cmocka_unit_test(each_tensor_of_a_wrong_size_is_named),
    };
    return cmocka_run_group_tests_name("safetensors_hostile", tests, set_up, tear_down);
}

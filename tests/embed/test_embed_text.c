/* elmo-embed: keys and sentences as AllenNLP's command has them; what is wrong with a text is
 * named; the program's flags and exit codes. */
#include "convert/hdf5_handle.h" /* first: see there */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "embed/hdf5_strings.h"
#include "embed/sentence_index.h"
#include "embed_case.h"
#include "reference/tensor_set.h"
#include "support/program.h"

/* ---- sentence_to_index ---- */

static void sentences_are_told_as_json_dumps_does(void **state)
{
    (void)state;
    struct embed_case c;
    embed_case_init(&c, "tanh_deep", embed_small_text, strlen(embed_small_text));
    embed_case_run(&c);
    AUTO(mem_free) char *found = embed_sentences(c.out, 0);
    assert_string_equal(
        found, "{\"The cat sat on the mat .\": \"0\", \"a\\u00a0b\\tc\": \"1\", \"one\": \"2\", "
               "\"x y \\\"z\\\" \\\\ \\u0001 \\ud83d\\ude00\": \"3\", "
               "\"The cat sat on the mat .\": \"4\", "
               "\"and a longer line of words than any other line has here\": \"5\"}");
    embed_case_out(&c, "forgets");
    c.settings.forget_sentences = true;
    embed_case_run(&c);
    struct hdf5_input *input;
    assert_int_equal(hdf5_input_open(&input, c.out, NULL), 0);
    assert_false(hdf5_input_has(input, "sentence_to_index"));
    hdf5_input_free(input);
    embed_case_done(&c);
}

/* A heap of HDF5 for each: around its least size, and objects that end before the string's limit.
 */
static void strings_of_any_length_are_read_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 4040, 4056, 4064, 4070, 70000};
    struct temp_dir dir;
    temp_dir_init(&dir);
    AUTO(mem_free) char *path = temp_path(&dir, "x.hdf5"), *json = temp_path(&dir, "x.json");
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct sentence_index index;
        const struct sentence_index_mark begin = {0};
        assert_int_equal(sentence_index_open(&index, json, sizes[s], &begin, NULL), 0);
        for (uint64_t k = 0; k < 500; k++)
            assert_int_equal(sentence_index_add(&index, "word", 1 + k % 4, k, NULL), 0);
        assert_int_equal(sentence_index_finish(&index, NULL), 0);
        assert_true(sizes[s] > 5000 ? index.n_objects == 1 : index.n_objects > 1);
        hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        haddr_t address = 0;
        assert_int_equal(
            hdf5_strings_reserve(file, "sentence_to_index", index.n_objects, &address, NULL), 0);
        H5Fclose(file);
        assert_int_equal(hdf5_strings_fill(path, address, index.n_objects, json, NULL), 0);
        uint64_t n = 0;
        for (size_t k = 0; k < index.n_objects; k++) {
            AUTO(mem_free) char *text = embed_sentences(path, k);
            assert_true(strlen(text) <= sizes[s]);
            json_t *object = json_loads(text, 0, NULL);
            assert_non_null(object);
            for (const char *at = text; (at = strstr(at, "\": \"")); at++)
                assert_int_equal(strtoull(at + 4, NULL, 10), n++);
            json_decref(object);
        }
        assert_int_equal(n, 500);
        sentence_index_done(&index);
    }
    temp_dir_done(&dir);
}

static void a_file_that_is_not_as_expected_gets_no_strings(void **state)
{
    (void)state;
    static const char newer[64] = "\x89HDF\r\n\x1a\n\2"; /* its superblock is of version 2 */
    struct temp_dir dir;
    temp_dir_init(&dir);
    AUTO(mem_free) char *path = temp_path(&dir, "x.hdf5"), *json = temp_path(&dir, "x.json");
    assert_true(write_whole_file(json, "{}\n", 3));
    assert_true(write_whole_file(path, newer, sizeof newer));
    struct elmo_error err = {0};
    assert_int_equal(hdf5_strings_fill(path, 0, 1, json, &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "not as expected"));
    temp_dir_done(&dir);
}

/* ---- Keys ---- */

static void a_sentence_is_a_key(void **state)
{
    (void)state;
    static const char text[] = "a b\nand / or\n  http://x.org/y z \na b\n../x .\n";
    struct embed_case c;
    struct hdf5_input *input;
    embed_case_init(&c, "tanh_deep", text, strlen(text));
    c.settings.sentence_keys = true;
    embed_case_run(&c);
    assert_int_equal(embed_count(c.out), 4); /* "a b" once */
    assert_int_equal(hdf5_input_open(&input, c.out, NULL), 0);
    static const char *const keys[] = {"a b", "and / or", "http://x.org/y z", "../x ."};
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        struct hdf5_shape shape;
        if (hdf5_input_shape(input, keys[k], &shape, NULL))
            fail_msg("no key '%s'", keys[k]);
    }
    assert_false(hdf5_input_has(input, "sentence_to_index"));
    hdf5_input_free(input);
    embed_case_done(&c);
}

static void a_sentence_that_can_be_no_key_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        size_t n_bytes;
    } cases[] = {
        {"x\n.\n", "line 2 cannot be a key: it is '.'", 4},
        {"x\ny\n/\n", "line 3 cannot be a key: it is nothing but", 6},
        {"x\nu/v\nu\n", "line 3 cannot be a key", 8},
        {"x\nu\nu/v\n", "line 3 cannot be a key", 8},
        {"x\n/y\ny\n", "line 3 cannot be a key: another line's", 7},
        {"a\0b\n", "line 1 cannot be a key: it has a zero byte", 4},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct embed_case c;
        embed_case_init(&c, "tanh_deep", cases[k].text, cases[k].n_bytes);
        c.settings.sentence_keys = true;
        embed_case_fails(&c, ELMO_E_FORMAT, cases[k].part);
        embed_case_done(&c);
    }
}

/* ---- Texts with faults ---- */

static void a_fault_of_the_text_is_named_by_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        int status;
    } cases[] = {
        {"a b\nc \xff d\ne\n", "in.txt', line 2: not valid UTF-8", ELMO_E_UTF8},
        {"a b\nc\n\n", "in.txt', line 3: empty", ELMO_E_FORMAT},
        {" \t \nc\n", "in.txt', line 1: empty", ELMO_E_FORMAT},
        {"a\nb\nc d e f g h\n", "in.txt', line 3: more tokens than --max-tokens", ELMO_E_FORMAT},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct embed_case c;
        embed_case_init(&c, "tanh_deep", cases[k].text, strlen(cases[k].text));
        c.settings.max_tokens = 5;
        embed_case_fails(&c, cases[k].status, cases[k].part);
        embed_case_done(&c);
    }
    size_t n_bytes = ((size_t)1 << 20) + 10;
    AUTO(mem_free) char *text = must_calloc(n_bytes, 1);
    memset(text, 'x', n_bytes);
    struct embed_case c;
    embed_case_init(&c, "tanh_deep", text, n_bytes);
    embed_case_fails(&c, ELMO_E_FORMAT, "in.txt', line 1: longer than 1 MiB");
    embed_case_done(&c);
}

static void empty_lines_can_be_kept(void **state)
{
    (void)state;
    struct embed_case c;
    struct hdf5_input *input;
    struct hdf5_shape shape;
    embed_case_init(&c, "tanh_deep", "a b\n\nc\n", 7);
    c.settings.keep_empty = true;
    c.settings.outputs = "elmo,default";
    embed_case_run(&c);
    assert_int_equal(hdf5_input_open(&input, c.out, NULL), 0);
    assert_int_equal(hdf5_input_shape(input, "elmo/1", &shape, NULL), 0);
    assert_int_equal(shape.n_dims, 2);
    assert_int_equal(shape.dims[0], 0);
    assert_int_equal(hdf5_input_shape(input, "default/1", &shape, NULL), 0);
    AUTO(mem_free) float *found = must_calloc(shape.dims[0], sizeof *found);
    assert_int_equal(hdf5_input_read(input, "default/1", &shape, found, NULL, NULL), 0);
    for (size_t k = 0; k < shape.dims[0]; k++)
        assert_true(found[k] == 0);
    hdf5_input_free(input);
    embed_case_done(&c);
}

static void an_input_without_lines_is_a_result_without_rows(void **state)
{
    (void)state;
    static const struct sink_kind *const kinds[] = {&sink_hdf5, &sink_npy, &sink_safetensors};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct embed_case c;
        embed_case_init(&c, "tanh_deep", "", 0);
        c.settings.format = kinds[k];
        embed_case_run(&c);
        if (kinds[k] == &sink_hdf5) {
            assert_int_equal(embed_count(c.out), 0);
            AUTO(mem_free) char *sentences = embed_sentences(c.out, 0);
            assert_string_equal(sentences, "{}");
        }
        embed_case_done(&c);
    }
}

/* ---- The program ---- */

static void program_says_0_1_or_2(void **state)
{
    (void)state;
    struct embed_case c;
    embed_case_init(&c, "tanh_deep", embed_small_text, strlen(embed_small_text));
    static const struct program_case runs[] = {
        {0, "--help | grep -q 'usage: elmo-embed'"},
        {0, "--version | grep -Eq '^elmo-embed [0-9.]+ \\(.+\\)$'"},
        {2, "2>/dev/null"},
        {2, "in.txt 2>/dev/null"},
        {2, "in.txt o extra 2>/dev/null"},
        {2, "--frobnicate in.txt o 2>/dev/null"},
        {2, "--top --all in.txt o 2>err; r=$?; grep -q exclude err; exit $r"},
        {2, "--shard 4/4 in.txt o 2>err; r=$?; grep -q -e \"--shard: '4/4'\" err && exit $r"},
        {2, "--shard 1 in.txt o 2>/dev/null"},
        {2, "--shard -1/4 in.txt o 2>/dev/null"},
        {2, "--dtype f16 in.txt o 2>/dev/null"},
        {2, "--threads 0 in.txt o 2>/dev/null"},
        {2, "--format tsv in.txt o 2>/dev/null"},
        {2, "--format npy --use-sentence-keys in.txt o 2>/dev/null"},
        {2, "--part-bytes 7 in.txt o 2>/dev/null"},
        {2, "--outputs nothing in.txt o 2>err; r=$?; grep -q \"no output 'nothing'\" err && [ ! -e "
            "o.work ] && exit $r"},
        {1, "missing.txt o 2>err; r=$?; grep -q 'missing.txt' err && [ ! -e o.work ] && exit $r"},
        {1, "--model in.txt in.txt o 2>/dev/null"},
        {1, "in.txt no/such/folder/o 2>err; r=$?; grep -q 'no/such/folder' err && exit $r"},
        {0, "--quiet in.txt o 2>err && [ ! -s err ] && [ -e o ] && [ ! -e o.work ]"},
        {1, "--quiet in.txt o 2>err; r=$?; grep -q 'is there already' err && exit $r"},
        {0, "--resume in.txt o 2>err && grep -q 'nothing to do' err"},
        {0, "--quiet --format npy in.txt n/ && [ -e n/all.npy ]"},
        {0, "--quiet --dtype int8 --tokenizer model --threads 3 --average - p <in.txt"},
        {0, "--top in.txt t 2>err && grep -q '6 sentences, 36 tokens' err"},
    };
    program_check("ELMO_EMBED", c.dir.path, runs, ARRAY_LEN(runs));
    embed_case_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_are_told_as_json_dumps_does),
        cmocka_unit_test(strings_of_any_length_are_read_back),
        cmocka_unit_test(a_file_that_is_not_as_expected_gets_no_strings),
        cmocka_unit_test(a_sentence_is_a_key),
        cmocka_unit_test(a_sentence_that_can_be_no_key_is_named),
        cmocka_unit_test(a_fault_of_the_text_is_named_by_file_and_line),
        cmocka_unit_test(empty_lines_can_be_kept),
        cmocka_unit_test(an_input_without_lines_is_a_result_without_rows),
        cmocka_unit_test(program_says_0_1_or_2),
    };
    return cmocka_run_group_tests_name("embed_text", tests, NULL, NULL);
}

/* elmo-convert: what it writes is what it read, bit for bit in float32 and rounded to nearest even
 * in bfloat16, and back again; the program's flags and exit codes. What it refuses:
 * test_convert_errors.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <hdf5.h>

#include "convert/export.h"
#include "convert/hdf5_file.h"
#include "file/model_file.h"
#include "inference/model.h"
#include "reference/convert_case.h"
#include "support/program.h"

#define N_MODELS 40

static void import(const struct import_job *job, FILE *notes)
{
    struct elmo_error err = {0};
    if (import_run(job, notes, &err))
        fail_msg("%s", err.message);
}

static struct elmo_model *open_model(const char *path)
{
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    if (elmo_model_open(&model, path, NULL, &err))
        fail_msg("%s", err.message);
    return model;
}

/* ---- Values ---- */

static void f32_keeps_every_bit_there_and_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < N_MODELS; seed++) {
        struct rng rng = {seed};
        struct convert_case c;
        convert_case_init(&c, &rng);
        import(&c.job, NULL);

        AUTO(mem_free) char *weights = temp_path(&c.dir, "back.hdf5");
        AUTO(mem_free) char *head = temp_path(&c.dir, "back-head.hdf5");
        AUTO(mem_free) char *options = temp_path(&c.dir, "back.json");
        struct elmo_error err = {0};
        const struct export_job back = {c.out, weights, c.sentiment ? head : NULL, options};
        if (export_run(&back, &err))
            fail_msg("%s", err.message);

        struct hdf5_input *inputs[2] = {NULL};
        assert_int_equal(hdf5_input_open(&inputs[0], weights, NULL), 0);
        if (c.sentiment)
            assert_int_equal(hdf5_input_open(&inputs[1], head, NULL), 0);
        for (size_t k = 0; k < c.model.weights.n_items; k++) {
            const struct named_tensor *t = &c.model.weights.items[k];
            size_t prefix = strlen(HEAD_PREFIX);
            bool in_head = !strncmp(t->name, HEAD_PREFIX, prefix);
            struct hdf5_shape shape = {.n_dims = t->n_dims};
            memcpy(shape.dims, t->dims, sizeof t->dims);
            AUTO(mem_free) float *values = must_calloc(t->n_values, sizeof *values);
            assert_int_equal(hdf5_input_read(inputs[in_head], t->name + (in_head ? prefix : 0),
                                             &shape, values, NULL, NULL),
                             0);
            assert_memory_equal(values, t->values, t->n_values * sizeof *values);
        }
        size_t n_bytes;
        AUTO(mem_free) unsigned char *text = read_whole_file(options, &n_bytes);
        assert_int_equal(n_bytes, strlen(c.model.options_json));
        assert_memory_equal(text, c.model.options_json, n_bytes);
        hdf5_input_free(inputs[0]);
        hdf5_input_free(inputs[1]);
        convert_case_done(&c);
    }
}

/* The nearer of the two bfloat16 values around x; the even one when x lies in the middle. */
static float nearest_bf16(float x)
{
    uint32_t bits;
    float below, above;
    memcpy(&bits, &x, sizeof bits);
    uint32_t below_bits = bits & 0xffff0000u, above_bits = below_bits + 0x10000u;
    memcpy(&below, &below_bits, sizeof below);
    memcpy(&above, &above_bits, sizeof above);
    double to_below = (double)x - (double)below, to_above = (double)above - (double)x;
    if (x < 0) {
        to_below = -to_below;
        to_above = -to_above;
    }
    if (to_below == to_above)
        return below_bits & 0x10000u ? above : below;
    return to_below < to_above ? below : above;
}

static void bf16_rounds_matrices_and_keeps_the_rest(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < N_MODELS; seed++) {
        struct rng rng = {seed};
        struct convert_case c;
        convert_case_init(&c, &rng);
        /* Half-way cases, which random weights do not hit: odd and even below, both signs. */
        static const uint32_t halves[] = {0x3f808000u, 0x3f818000u, 0xbf808000u, 0xbf818000u};
        struct named_tensor *W = NULL;
        for (size_t k = 0; k < c.model.weights.n_items; k++)
            if (!strcmp(c.model.weights.items[k].name, "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0"))
                W = &c.model.weights.items[k];
        memcpy(W->values, halves, sizeof halves);
        assert_int_equal(bilm_weights_write(&c.model, c.weights, NULL), 0);

        c.job.dtype = ST_BF16;
        import(&c.job, NULL);
        struct elmo_model *model = open_model(c.out);
        for (size_t k = 0; k < c.model.weights.n_items; k++) {
            const struct named_tensor *t = &c.model.weights.items[k];
            const struct st_tensor *found = safetensors_find(model->file, t->name);
            assert_non_null(found);
            bool rounded = t->n_dims > 1 && strcmp(t->name, "char_embed");
            assert_int_equal(found->dtype, rounded ? ST_BF16 : ST_F32);
            AUTO(mem_free) float *values = must_calloc(t->n_values, sizeof *values);
            st_to_f32(values, found->data, found->dtype, t->n_values);
            for (size_t v = 0; v < t->n_values; v++)
                assert_true(values[v] == (rounded ? nearest_bf16(t->values[v]) : t->values[v]));
        }
        elmo_model_free(model);
        convert_case_done(&c);
    }
}

/* elmod computes with float32 tensors where they lie in the file. */
static void float32_tensors_are_aligned(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < N_MODELS; seed++) {
        struct rng rng = {seed};
        struct convert_case c;
        convert_case_init(&c, &rng);
        c.job.dtype = seed % 2 ? ST_BF16 : ST_F32;
        import(&c.job, NULL);
        struct elmo_model *model = open_model(c.out);
        for (size_t k = 0; k < safetensors_n_tensors(model->file); k++) {
            const struct st_tensor *t = safetensors_tensor(model->file, k);
            assert_int_equal((uintptr_t)t->data % st_dtype_bytes(t->dtype), 0);
        }
        elmo_model_free(model);
        convert_case_done(&c);
    }
}

static void the_same_files_give_the_same_bytes(void **state)
{
    (void)state;
    struct rng rng = {1};
    struct convert_case c;
    convert_case_init(&c, &rng);
    size_t n_first, n_second;
    import(&c.job, NULL);
    AUTO(mem_free) unsigned char *first = read_whole_file(c.out, &n_first);
    import(&c.job, NULL);
    AUTO(mem_free) unsigned char *second = read_whole_file(c.out, &n_second);
    assert_int_equal(n_first, n_second);
    assert_memory_equal(first, second, n_first);
    convert_case_done(&c);
}

static void metadata_says_what_the_job_said(void **state)
{
    (void)state;
    struct options o = {.char_dim = 2,
                        .max_chars = 10,
                        .n_char_filters = 1,
                        .char_filters = {{1, 4}},
                        .filter_dim = 4,
                        .n_layers = 1,
                        .cell_dim = 3,
                        .proj_dim = 2};
    const struct head_shape head = {4, 3, 1};
    struct random_model model;
    struct rng rng = {7};
    struct convert_case c;
    random_model_init_with(&model, &rng, &o, &head, ELMO_POOL_MAX, true);
    convert_case_init_with(&c, &model);
    assert_true(write_whole_file(c.provenance, "{\"by\": \"nobody\"}", 16));
    c.job.provenance = c.provenance;
    c.job.labels = "bad, very,good";
    assert_int_not_equal(import_run(&c.job, NULL, NULL), 0); /* three labels for two outputs */
    c.job.labels = "very bad,g\xc3\xb6"
                   "od";
    import(&c.job, NULL);
    struct elmo_model *opened = open_model(c.out);
    const struct elmo_model_info *info = elmo_model_info(opened);
    assert_string_equal(info->name, "case");
    assert_string_equal(info->tokenizer, c.job.tokenizer);
    assert_string_equal(info->provenance, "{\"by\": \"nobody\"}");
    assert_int_equal(info->n_labels, 2);
    assert_string_equal(info->labels[0], "very bad");
    assert_string_equal(info->labels[1], "g\xc3\xb6"
                                         "od");
    assert_int_equal(opened->head_pooling, ELMO_POOL_MAX);
    elmo_model_free(opened);
    convert_case_done(&c);
}

/* ---- Other HDF5 files than our own ---- */

/* Puts a dataset of another type or shape in the place of one; the values are kept. */
static void replace_dataset(const char *path, const char *name, hid_t type, hid_t space,
                            const float *values)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    if (H5Lexists(file, name, H5P_DEFAULT) > 0)
        assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Fclose(file);
}

static hid_t half_type(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE); /* IEEE 754 binary16 */
    assert_true(H5Tset_fields(type, 15, 10, 5, 0, 10) >= 0);
    assert_true(H5Tset_size(type, 2) >= 0);
    assert_true(H5Tset_ebias(type, 15) >= 0);
    return type;
}

static struct random_model tiny_model_with_head(uint64_t seed)
{
    struct options o = {.char_dim = 1,
                        .max_chars = 5,
                        .n_char_filters = 1,
                        .char_filters = {{2, 4}},
                        .filter_dim = 4,
                        .n_layers = 2,
                        .cell_dim = 3,
                        .proj_dim = 2,
                        .skip_connections = true};
    const struct head_shape head = {4, 3, 2};
    struct random_model model;
    struct rng rng = {seed};
    random_model_init_with(&model, &rng, &o, &head, ELMO_POOL_MEAN, true);
    return model;
}

static void other_floats_and_scalars_are_read_and_noted(void **state)
{
    (void)state;
    struct random_model model = tiny_model_with_head(3);
    struct convert_case c;
    convert_case_init_with(&c, &model);
    const float bias[] = {0.5f, -0.25f, 0.125f, 2.0f}, gamma = 1.5f, unused = 3.0f;
    const hsize_t four = 4;
    hid_t half = half_type();
    replace_dataset(c.weights, "CNN/b_cnn_0", H5T_IEEE_F64BE, H5Screate_simple(1, &four, NULL),
                    bias);
    replace_dataset(c.weights, "CNN_proj/b_proj", half, H5Screate_simple(1, (hsize_t[]){2}, NULL),
                    bias);
    replace_dataset(c.weights, "extra", H5T_IEEE_F32LE, H5Screate(H5S_SCALAR), &unused);
    replace_dataset(c.sentiment, "mix/gamma", H5T_IEEE_F32LE, H5Screate(H5S_SCALAR), &gamma);
    H5Tclose(half);

    char *text = NULL;
    size_t n_text = 0;
    FILE *notes = open_memstream(&text, &n_text);
    import(&c.job, notes);
    fclose(notes);
    assert_non_null(strstr(text, "dataset 'CNN/b_cnn_0' is float64, read as float32\n"));
    assert_non_null(strstr(text, "dataset 'CNN_proj/b_proj' is float16, read as float32\n"));
    assert_non_null(strstr(text, "dataset 'extra' is not used\n"));
    size_t n_lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        n_lines++;
    assert_int_equal(n_lines, 3);
    free(text);

    struct elmo_model *opened = open_model(c.out);
    assert_memory_equal(opened->weights.conv[0].bias, bias, sizeof bias);
    assert_memory_equal(opened->weights.b_proj, bias, 2 * sizeof *bias);
    assert_true(opened->weights.head.mix_gamma == gamma);
    elmo_model_free(opened);
    convert_case_done(&c);
}

/* ---- The program ---- */

static void program_says_0_1_or_2(void **state)
{
    (void)state;
    struct random_model model = tiny_model_with_head(4);
    struct convert_case c;
    convert_case_init_with(&c, &model);
    static const struct program_case runs[] = {
        {0, "--help | grep -q 'usage: elmo-convert'"},
        {0, "--help >/dev/null"},
        {2, "2>/dev/null"},
        {2, "--frobnicate 2>/dev/null"},
        {2, "--options options.json --weights weights.hdf5 --tokenizer unicode --name x 2>err; "
            "r=$?; grep -q -e --out err; exit $r"},
        {2, "--options options.json --weights weights.hdf5 --tokenizer words --name x --out o "
            "2>/dev/null"},
        {2, "--options options.json --weights weights.hdf5 --tokenizer unicode --name x --out o "
            "--dtype int8 2>/dev/null"},
        {2, "--options options.json --weights weights.hdf5 --tokenizer unicode --name x --out o "
            "stray 2>/dev/null"},
        {2, "--to-hdf5 --model o --out w --tokenizer unicode 2>/dev/null"},
        {0, "--options options.json --weights weights.hdf5 --tokenizer unicode --name x --out o "
            "2>err && [ ! -s err ]"},
        {0, "--options options.json --weights weights.hdf5 --sentiment sentiment.hdf5 --labels a,b "
            "--pooling mean --tokenizer unicode --name x --dtype bf16 --out h"},
        {0, "--to-hdf5 --model h --out w --sentiment-out s --options-out j && cmp j options.json"},
        {1, "--to-hdf5 --model o --out w2 --sentiment-out s 2>err; r=$?; "
            "grep -q 'no sentiment head' err && [ ! -e w2 ] && exit $r"},
        {1, "--options options.json --weights options.json --tokenizer unicode --name x --out q "
            "2>err; r=$?; grep -q 'is not an HDF5 file' err && [ ! -e q ] && exit $r"},
    };
    program_check("ELMO_CONVERT", c.dir.path, runs, ARRAY_LEN(runs));
    convert_case_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_keeps_every_bit_there_and_back),
        cmocka_unit_test(bf16_rounds_matrices_and_keeps_the_rest),
        cmocka_unit_test(float32_tensors_are_aligned),
        cmocka_unit_test(the_same_files_give_the_same_bytes),
        cmocka_unit_test(metadata_says_what_the_job_said),
        cmocka_unit_test(other_floats_and_scalars_are_read_and_noted),
        cmocka_unit_test(program_says_0_1_or_2),
    };
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}

/* What elmo-convert refuses: every kind of wrong file with words that name it, truncated HDF5 at
 * many places, and memory that runs out. After a failure no file is left and an older one is
 * whole. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <hdf5.h>

#include "convert/export.h"
#include "reference/convert_case.h"
#include "support/fail_alloc.h"

#define CELL "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/"

static void init_tiny_case(struct convert_case *c)
{
    struct options o = {.char_dim = 1,
                        .max_chars = 5,
                        .n_char_filters = 1,
                        .char_filters = {{2, 4}},
                        .filter_dim = 4,
                        .n_highway = 1,
                        .n_layers = 2,
                        .cell_dim = 3,
                        .proj_dim = 2};
    const struct head_shape head = {4, 3, 1};
    struct random_model model;
    struct rng rng = {5};
    random_model_init_with(&model, &rng, &o, &head, ELMO_POOL_MEAN, true);
    convert_case_init_with(c, &model);
}

/* ---- Making files wrong ---- */

static hid_t edit(const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static void drop(const char *path, const char *name)
{
    hid_t file = edit(path);
    assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    H5Fclose(file);
}

/* Replaces a dataset by one of this type and shape, filled with `value`. */
static void replace(const char *path, const char *name, hid_t type, int n_dims, const hsize_t *dims,
                    double value)
{
    drop(path, name);
    hid_t file = edit(path), space = H5Screate_simple(n_dims, dims, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hssize_t n_values = H5Sget_simple_extent_npoints(space);
    AUTO(mem_free) double *values = must_calloc((size_t)n_values, sizeof *values);
    for (hssize_t k = 0; k < n_values; k++)
        values[k] = value;
    assert_true(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Fclose(file);
}

static void write_text(const char *path, const char *text)
{
    assert_true(write_whole_file(path, text, strlen(text)));
}

static void missing_dataset(struct convert_case *c)
{
    drop(c->weights, CELL "W_0");
}
static void missing_projection(struct convert_case *c)
{
    drop(c->weights, CELL "W_P_0");
}
static void wrong_shape(struct convert_case *c)
{
    replace(c->weights, CELL "W_0", H5T_IEEE_F32LE, 2, (hsize_t[]){5, 12}, 0);
}
static void wrong_rank(struct convert_case *c)
{
    replace(c->weights, "char_embed", H5T_IEEE_F32LE, 1, (hsize_t[]){261}, 0);
}
static void deep_rank(struct convert_case *c)
{
    replace(c->weights, "char_embed", H5T_IEEE_F32LE, 5, (hsize_t[]){261, 1, 1, 1, 1}, 0);
}
static void integers(struct convert_case *c)
{
    replace(c->weights, CELL "B", H5T_STD_I32LE, 1, (hsize_t[]){12}, 0);
}
static void strings(struct convert_case *c)
{
    drop(c->weights, CELL "B");
    hid_t file = edit(c->weights), type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate_simple(1, (hsize_t[]){12}, NULL);
    hid_t dataset = H5Dcreate2(file, CELL "B", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
    H5Fclose(file);
}
static void no_values_at_all(struct convert_case *c)
{
    drop(c->weights, "char_embed");
    hid_t file = edit(c->weights), space = H5Screate(H5S_NULL);
    hid_t dataset = H5Dcreate2(file, "char_embed", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT,
                               H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Fclose(file);
}
static void group_for_dataset(struct convert_case *c)
{
    drop(c->weights, "char_embed");
    hid_t file = edit(c->weights);
    H5Gclose(H5Gcreate2(file, "char_embed", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(file);
}
static void dangling_link(struct convert_case *c)
{
    drop(c->weights, "char_embed");
    hid_t file = edit(c->weights);
    H5Lcreate_soft("/nowhere", file, "char_embed", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
}
static void too_large_for_float32(struct convert_case *c)
{
    replace(c->weights, CELL "B", H5T_IEEE_F64LE, 1, (hsize_t[]){12}, 1e300);
}
static void not_a_number(struct convert_case *c)
{
    replace(c->weights, CELL "B", H5T_IEEE_F32LE, 1, (hsize_t[]){12}, (double)NAN);
}
static void too_large_for_bf16(struct convert_case *c)
{
    replace(c->weights, CELL "W_0", H5T_IEEE_F32LE, 2, (hsize_t[]){4, 12}, 3.4e38);
    c->job.dtype = ST_BF16;
}
static void not_hdf5(struct convert_case *c)
{
    write_text(c->weights, "not an HDF5 file, though long enough to have a signature in it");
}
static void empty_file(struct convert_case *c)
{
    write_text(c->weights, "");
}
static void no_such_file(struct convert_case *c)
{
    c->job.weights = "/no/such/weights.hdf5";
}
static void options_not_json(struct convert_case *c)
{
    write_text(c->options, "{");
}
static void options_of_another_model(struct convert_case *c)
{
    write_text(c->options,
               "{\"lstm\": {\"dim\": 3, \"projection_dim\": 2, \"n_layers\": 2, "
               "\"use_skip_connections\": true}, \"char_cnn\": {\"activation\": \"relu\", "
               "\"embedding\": {\"dim\": 2}, \"filters\": [[2, 4]], "
               "\"max_characters_per_token\": 5, \"n_highway\": 1}}");
}
static void no_options(struct convert_case *c)
{
    c->job.options = "/no/such/options.json";
}
static void options_with_nul(struct convert_case *c)
{
    assert_true(write_whole_file(c->options, "{\0}", 3));
}
static void huge_options(struct convert_case *c)
{
    write_text(c->options, "{\"lstm\": {\"dim\": 1e30}}");
}
static void head_without_kernel(struct convert_case *c)
{
    drop(c->sentiment, "dense_2/kernel");
}
static void head_without_gamma(struct convert_case *c)
{
    drop(c->sentiment, "mix/gamma");
}
static void head_of_another_width(struct convert_case *c)
{
    replace(c->sentiment, "dense_1/kernel", H5T_IEEE_F32LE, 2, (hsize_t[]){6, 3}, 0);
}
static void head_that_does_not_chain(struct convert_case *c)
{
    replace(c->sentiment, "dense_2/kernel", H5T_IEEE_F32LE, 2, (hsize_t[]){2, 1}, 0);
}
static void head_with_huge_hidden(struct convert_case *c)
{
    /* Nothing is stored: a file of a few KB may declare any shape. */
    drop(c->sentiment, "dense_1/kernel");
    hid_t file = edit(c->sentiment);
    hid_t space = H5Screate_simple(2, (hsize_t[]){4, (hsize_t)1 << 40}, NULL);
    hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(chunked, 2, (hsize_t[]){4, 1024});
    hid_t dataset = H5Dcreate2(file, "dense_1/kernel", H5T_IEEE_F32LE, space, H5P_DEFAULT, chunked,
                               H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Pclose(chunked);
    H5Sclose(space);
    H5Fclose(file);
}
static void head_pooled_otherwise(struct convert_case *c)
{
    c->job.pooling = "mean_max";
}
static void labels_too_few(struct convert_case *c)
{
    c->job.labels = "one";
}
static void labels_alike(struct convert_case *c)
{
    c->job.labels = "one,one";
}
static void labels_not_utf8(struct convert_case *c)
{
    c->job.labels = "a,\xff";
}
static void name_with_control(struct convert_case *c)
{
    c->job.name = "a\nb";
}
static void provenance_not_text(struct convert_case *c)
{
    c->job.provenance = c->sentiment;
}
static void provenance_a_list(struct convert_case *c)
{
    write_text(c->provenance, "[]");
    c->job.provenance = c->provenance;
}
static void no_such_folder(struct convert_case *c)
{
    c->job.out = "/no/such/folder/model.safetensors";
}

static const struct {
    const char *what;
    void (*spoil)(struct convert_case *c);
    int status;
    const char *words[3]; /* all in the message */
} wrong_files[] = {
    {"missing dataset", missing_dataset, ELMO_E_FORMAT, {"weights.hdf5", CELL "W_0", "no dataset"}},
    {"missing projection", missing_projection, ELMO_E_FORMAT, {CELL "W_P_0", "no dataset"}},
    {"wrong shape", wrong_shape, ELMO_E_FORMAT, {CELL "W_0", "[4, 12]", "[5, 12]"}},
    {"wrong rank", wrong_rank, ELMO_E_FORMAT, {"char_embed", "[261, 1]", "[261]"}},
    {"deep rank", deep_rank, ELMO_E_FORMAT, {"char_embed", "at most 4", "found 5"}},
    {"integers", integers, ELMO_E_FORMAT, {CELL "B", "floating-point", "integers"}},
    {"strings", strings, ELMO_E_FORMAT, {CELL "B", "floating-point", "another type"}},
    {"no values at all", no_values_at_all, ELMO_E_FORMAT, {"char_embed", "no values"}},
    {"group for dataset", group_for_dataset, ELMO_E_FORMAT, {"char_embed", "as a dataset"}},
    {"dangling link", dangling_link, ELMO_E_FORMAT, {"char_embed", "as a dataset"}},
    {"too large for float32", too_large_for_float32, ELMO_E_FORMAT, {CELL "B", "finite float32"}},
    {"not a number", not_a_number, ELMO_E_FORMAT, {CELL "B", "finite float32"}},
    {"too large for bf16", too_large_for_bf16, ELMO_E_FORMAT, {CELL "W_0", "not finite"}},
    {"not HDF5", not_hdf5, ELMO_E_FORMAT, {"weights.hdf5", "not an HDF5 file"}},
    {"empty file", empty_file, ELMO_E_FORMAT, {"weights.hdf5", "not an HDF5 file"}},
    {"no such file", no_such_file, ELMO_E_IO, {"/no/such/weights.hdf5", "No such file"}},
    {"options not JSON", options_not_json, ELMO_E_FORMAT, {"options", "JSON"}},
    {"options of another model",
     options_of_another_model,
     ELMO_E_FORMAT,
     {"char_embed", "[261, 2]"}},
    {"no options", no_options, ELMO_E_IO, {"/no/such/options.json", "No such file"}},
    {"options with NUL", options_with_nul, ELMO_E_FORMAT, {"options.json", "not a text"}},
    {"huge options", huge_options, ELMO_E_FORMAT, {"options"}},
    {"head without kernel",
     head_without_kernel,
     ELMO_E_FORMAT,
     {"sentiment.hdf5", "dense_2/kernel"}},
    {"head without gamma", head_without_gamma, ELMO_E_FORMAT, {"sentiment.hdf5", "mix/gamma"}},
    {"head of another width",
     head_of_another_width,
     ELMO_E_FORMAT,
     {"dense_1/kernel", "[4, hidden]", "[6, 3]"}},
    {"head that does not chain",
     head_that_does_not_chain,
     ELMO_E_FORMAT,
     {"dense_2/kernel", "[3, outputs]", "[2, 1]"}},
    {"head with huge hidden",
     head_with_huge_hidden,
     ELMO_E_FORMAT,
     {"dense_1/kernel", "1099511627776"}},
    {"head pooled otherwise",
     head_pooled_otherwise,
     ELMO_E_FORMAT,
     {"dense_1/kernel", "[8, hidden]", "mean_max"}},
    {"labels too few", labels_too_few, ELMO_E_FORMAT, {"labels", "2 strings"}},
    {"labels alike", labels_alike, ELMO_E_FORMAT, {"labels", "twice"}},
    {"labels not UTF-8", labels_not_utf8, ELMO_E_INVALID, {"labels", "UTF-8"}},
    {"name with control character", name_with_control, ELMO_E_FORMAT, {"name", "control"}},
    {"provenance not text", provenance_not_text, ELMO_E_FORMAT, {"sentiment.hdf5", "not a text"}},
    {"provenance a list", provenance_a_list, ELMO_E_FORMAT, {"provenance", "JSON object"}},
    {"no such folder", no_such_folder, ELMO_E_IO, {"/no/such/folder", "No such file"}},
};

static void each_wrong_file_is_named(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(wrong_files); k++) {
        struct convert_case c;
        struct elmo_error err = {0};
        init_tiny_case(&c);
        write_text(c.out, "older");
        wrong_files[k].spoil(&c);
        size_t n_files = convert_case_files(&c);
        int r = import_run(&c.job, NULL, &err);
        if (r != wrong_files[k].status || (int)err.status != r)
            fail_msg("%s: status %d, \"%s\"", wrong_files[k].what, r, err.message);
        for (size_t w = 0; w < 3 && wrong_files[k].words[w]; w++)
            if (!strstr(err.message, wrong_files[k].words[w]))
                fail_msg("%s: no \"%s\" in \"%s\"", wrong_files[k].what, wrong_files[k].words[w],
                         err.message);
        size_t n_bytes;
        AUTO(mem_free) unsigned char *older = read_whole_file(c.out, &n_bytes);
        assert_int_equal(n_bytes, 5);
        assert_memory_equal(older, "older", 5);
        assert_int_equal(convert_case_files(&c), n_files);
        convert_case_done(&c);
    }
}

/* Cut at every place, close together at the start where HDF5 keeps its structure. */
static void a_truncated_hdf5_file_is_an_error_wherever_it_ends(void **state)
{
    (void)state;
    struct convert_case c;
    init_tiny_case(&c);
    size_t n_bytes, n_cuts = 0;
    AUTO(mem_free) unsigned char *bytes = read_whole_file(c.weights, &n_bytes);
    for (size_t cut = 0; cut < n_bytes; cut += cut < 2048 ? 7 : 97) {
        struct elmo_error err = {0};
        assert_true(write_whole_file(c.weights, bytes, cut));
        assert_int_equal(import_run(&c.job, NULL, &err), ELMO_E_FORMAT);
        assert_true(*err.message);
        n_cuts++;
    }
    assert_true(n_cuts > 300);
    convert_case_done(&c);
}

/* The file ends where it should, but its metadata is gone. */
static void an_hdf5_file_with_holes_of_zeros_does_not_crash(void **state)
{
    (void)state;
    struct convert_case c;
    init_tiny_case(&c);
    size_t n_bytes;
    AUTO(mem_free) unsigned char *bytes = read_whole_file(c.weights, &n_bytes);
    for (size_t begin = 0; begin + 512 < n_bytes; begin += 512) {
        AUTO(mem_free) unsigned char *holed = must_calloc(n_bytes, 1);
        memcpy(holed, bytes, n_bytes);
        memset(holed + begin, 0, 512);
        struct elmo_error err = {0};
        assert_true(write_whole_file(c.weights, holed, n_bytes));
        int r = import_run(&c.job, NULL, &err);
        assert_true(r == 0 || *err.message); /* zeros among the weights are weights */
    }
    convert_case_done(&c);
}

/* Every allocation of ours fails once; libhdf5's and jansson's own are not reached. */
static void running_out_of_memory_is_reported_and_leaves_no_file(void **state)
{
    (void)state;
    struct convert_case c;
    init_tiny_case(&c);
    size_t n_files = convert_case_files(&c), n_failures = 0;
    for (size_t n_good = 0;; n_good++) {
        struct elmo_error err = {0};
        fail_alloc_after(n_good);
        int r = import_run(&c.job, NULL, &err);
        if (!fail_alloc_stop()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, ELMO_E_NOMEM);
        assert_int_equal(convert_case_files(&c), n_files);
        n_failures++;
    }
    assert_true(n_failures > 20);
    convert_case_done(&c);
}

static void a_wrong_model_file_is_not_exported(void **state)
{
    (void)state;
    struct convert_case c;
    init_tiny_case(&c);
    assert_int_equal(import_run(&c.job, NULL, NULL), 0);
    AUTO(mem_free) char *weights = temp_path(&c.dir, "back.hdf5");
    AUTO(mem_free) char *head = temp_path(&c.dir, "back-head.hdf5");
    size_t n_files = convert_case_files(&c), n_bytes;
    AUTO(mem_free) unsigned char *bytes = read_whole_file(c.out, &n_bytes);

    const struct export_job nowhere = {.model = c.out, .weights = "/no/such/folder/w.hdf5"};
    assert_int_equal(export_run(&nowhere, NULL), ELMO_E_IO);
    const struct export_job half = {
        .model = c.out, .weights = weights, .sentiment = "/no/such/folder/head.hdf5"};
    assert_int_equal(export_run(&half, NULL), ELMO_E_IO);
    assert_true(write_whole_file(c.out, bytes, n_bytes - 1));
    const struct export_job truncated = {.model = c.out, .weights = weights, .sentiment = head};
    assert_int_equal(export_run(&truncated, NULL), ELMO_E_FORMAT);
    assert_int_equal(convert_case_files(&c), n_files);
    convert_case_done(&c);
}

int main(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_file_is_named),
        cmocka_unit_test(a_truncated_hdf5_file_is_an_error_wherever_it_ends),
        cmocka_unit_test(an_hdf5_file_with_holes_of_zeros_does_not_crash),
        cmocka_unit_test(running_out_of_memory_is_reported_and_leaves_no_file),
        cmocka_unit_test(a_wrong_model_file_is_not_exported),
    };
    return cmocka_run_group_tests_name("convert_errors", tests, NULL, NULL);
}

#include "convert/hdf5_handle.h" /* first: see there */

#include "embed_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>

#include "reference/tensor_set.h"
#include "reference/test_rng.h"
#include "support/train_files.h"

const char embed_small_text[] = "The cat sat on the mat .\n"
                                "  a\xc2\xa0"
                                "b\tc  \n"
                                "one\r\n"
                                "x y \"z\" \\ \x01 \xf0\x9f\x98\x80\n"
                                "The cat sat on the mat .\n"
                                "and a longer line of words than any other line has here";

void embed_case_init(struct embed_case *c, const char *model, const void *text, size_t n_bytes)
{
    char relative[96];
    temp_dir_init(&c->dir);
    snprintf(relative, sizeof relative, "tests/golden/%s.safetensors", model);
    c->model = source_path(relative);
    c->in = temp_path(&c->dir, "in.txt");
    c->out = temp_path(&c->dir, "out");
    c->settings = embed_defaults();
    c->settings.model = c->model;
    c->settings.in = c->in;
    c->settings.out = c->out;
    c->settings.threads = 2;
    embed_case_text(c, text, n_bytes);
}

void embed_case_done(struct embed_case *c)
{
    train_remove(c->dir.path);
    free(c->model);
    free(c->in);
    free(c->out);
}

void embed_case_text(struct embed_case *c, const void *text, size_t n_bytes)
{
    assert_true(write_whole_file(c->in, text, n_bytes));
}

void embed_case_out(struct embed_case *c, const char *name)
{
    free(c->out);
    c->out = temp_path(&c->dir, name);
    c->settings.out = c->out;
}

void embed_case_run(const struct embed_case *c)
{
    struct elmo_error err = {0};
    if (embed_run(&c->settings, NULL, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(access(c->out, F_OK), 0);
}

void embed_case_fails(const struct embed_case *c, int status, const char *part)
{
    struct elmo_error err = {0};
    int r = embed_run(&c->settings, NULL, NULL, &err);
    if (r != status || err.status != status || !strstr(err.message, part))
        fail_msg("status %d and '%s' expected, found %d: %s", status, part, r, err.message);
}

char *embed_text(size_t n_lines, size_t max_word_bytes, size_t *ret_n_bytes)
{
    char *text;
    FILE *out = open_memstream(&text, ret_n_bytes);
    struct rng rng = {n_lines};
    assert_non_null(out);
    for (size_t k = 0; k < n_lines; k++)
        for (size_t n = 1 + rng_below(&rng, 40); n > 0; n--) {
            for (size_t b = 1 + rng_below(&rng, max_word_bytes); b > 0; b--)
                putc((int)('a' + rng_below(&rng, 26)), out);
            putc(n == 1 ? '\n' : ' ', out);
        }
    fclose(out);
    return text;
}

/* ---- Comparing ---- */

struct comparison {
    struct hdf5_input *a, *b;
    size_t n;
};

static void compare_dataset(void *context, const char *name)
{
    struct comparison *c = context;
    struct hdf5_shape shape, other;
    if (!strcmp(name, "sentence_to_index"))
        return;
    assert_int_equal(hdf5_input_shape(c->a, name, &shape, NULL), 0);
    if (hdf5_input_shape(c->b, name, &other, NULL))
        fail_msg("no dataset '%s'", name);
    assert_int_equal(shape.n_dims, other.n_dims);
    size_t n = 1;
    for (size_t d = 0; d < shape.n_dims; d++) {
        assert_int_equal(shape.dims[d], other.dims[d]);
        n *= shape.dims[d];
    }
    AUTO(mem_free) float *x = must_calloc(n + 1, sizeof *x), *y = must_calloc(n + 1, sizeof *y);
    assert_int_equal(hdf5_input_read(c->a, name, &shape, x, NULL, NULL), 0);
    assert_int_equal(hdf5_input_read(c->b, name, &shape, y, NULL, NULL), 0);
    if (memcmp(x, y, n * sizeof *x))
        fail_msg("dataset '%s' differs", name);
    c->n++;
}

static void count_dataset(void *context, const char *name)
{
    *(size_t *)context += strcmp(name, "sentence_to_index") != 0;
}

size_t embed_count(const char *path)
{
    struct hdf5_input *input;
    struct elmo_error err = {0};
    size_t n = 0;
    if (hdf5_input_open(&input, path, &err))
        fail_msg("%s", err.message);
    assert_int_equal(hdf5_input_each(input, count_dataset, &n, NULL), 0);
    hdf5_input_free(input);
    return n;
}

char *embed_sentences(const char *path, size_t k)
{
    char **strings, *copy;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    hid_t dataset = H5Dopen2(file, "sentence_to_index", H5P_DEFAULT);
    assert_true(dataset >= 0);
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    assert_true(H5Tis_variable_str(type) > 0);
    hsize_t n;
    assert_int_equal(H5Sget_simple_extent_dims(space, &n, NULL), 1);
    assert_true(k < n);
    strings = must_calloc(n, sizeof *strings);
    assert_true(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, strings) >= 0);
    copy = strdup(strings[k]);
    assert_non_null(copy);
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, strings);
    free(strings);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(dataset);
    H5Fclose(file);
    return copy;
}

static void same_hdf5(const char *a, const char *b)
{
    struct comparison c = {0};
    assert_int_equal(hdf5_input_open(&c.a, a, NULL), 0);
    assert_int_equal(hdf5_input_open(&c.b, b, NULL), 0);
    assert_int_equal(hdf5_input_each(c.a, compare_dataset, &c, NULL), 0);
    assert_true(c.n > 0);
    assert_int_equal(c.n, embed_count(b));
    bool has = hdf5_input_has(c.a, "sentence_to_index");
    assert_int_equal(has, hdf5_input_has(c.b, "sentence_to_index"));
    hdf5_input_free(c.a);
    hdf5_input_free(c.b);
    if (!has)
        return;
    AUTO(mem_free) char *x = embed_sentences(a, 0), *y = embed_sentences(b, 0);
    assert_string_equal(x, y);
}

static size_t count_files(const char *path)
{
    size_t n = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n - 2;
}

static void same_folders(const char *a, const char *b)
{
    DIR *folder = opendir(a);
    size_t n = 0;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        char from[1024], to[1024];
        size_t n_from, n_to;
        snprintf(from, sizeof from, "%s/%s", a, entry->d_name);
        snprintf(to, sizeof to, "%s/%s", b, entry->d_name);
        AUTO(mem_free)
        unsigned char *x = read_whole_file(from, &n_from), *y = read_whole_file(to, &n_to);
        assert_true(x && y);
        assert_int_equal(n_from, n_to);
        assert_memory_equal(x, y, n_from);
        n++;
    }
    closedir(folder);
    assert_true(n > 0);
    assert_int_equal(n, count_files(b));
}

void embed_same(const struct sink_kind *format, const char *a, const char *b)
{
    if (format == &sink_hdf5)
        same_hdf5(a, b);
    else
        same_folders(a, b);
}

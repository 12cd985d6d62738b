#include "hdf5_strings.h" /* first: see there */

#include "hdf5_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#define LONGEST_NAME (sizeof((struct layout_output *)0)->name + 24)

/* A row of `rows`: its line's number, its tokens, the bytes of its key (0: the number), where each
 * output's values lie in the data (HADDR_UNDEF: there are none), the key. */
enum { ROW_NUMBER, ROW_TOKENS, ROW_KEY_BYTES, ROW_OFFSETS };

struct hdf5_rows {
    const struct layout *layout;
    struct hdf5_rows_paths paths;
    hid_t file, data_creation, link_creation;
    hid_t groups[LAYOUT_MAX_OUTPUTS]; /* of named outputs */
    struct append_file rows;
    char *name; /* owned, [name_bytes]: a key that ends in NUL */
    size_t name_bytes;
    float *values; /* owned, [n_values]: to compare with */
    size_t n_values;
};

static int make_properties(struct hdf5_rows *f, struct elmo_error *err)
{
    f->data_creation = H5Pcreate(H5P_DATASET_CREATE);
    f->link_creation = H5Pcreate(H5P_LINK_CREATE);
    bool ok = f->data_creation >= 0 && f->link_creation >= 0 &&
              H5Pset_fill_time(f->data_creation, H5D_FILL_TIME_NEVER) >= 0 &&
              H5Pset_obj_track_times(f->data_creation, false) >= 0 &&
              H5Pset_create_intermediate_group(f->link_creation, 1) >= 0;
    return ok ? 0 : elmo_fail_nomem(err);
}

static int rows_new(struct hdf5_rows **ret_file, const struct layout *layout,
                    const struct hdf5_rows_paths *paths, struct elmo_error *err)
{
    AUTO(hdf5_rows_free) struct hdf5_rows *f = calloc(1, sizeof *f);
    hdf5_silence();
    if (!f)
        return elmo_fail_nomem(err);
    f->layout = layout;
    f->paths = *paths;
    f->file = f->data_creation = f->link_creation = H5I_INVALID_HID;
    for (size_t k = 0; k < ARRAY_LEN(f->groups); k++)
        f->groups[k] = H5I_INVALID_HID;
    int r = make_properties(f, err);
    if (!r)
        *ret_file = STEAL(f);
    return r;
}

static int fail(const struct hdf5_rows *f, struct elmo_error *err)
{
    char reason[HDF5_REASON_BYTES];
    return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", f->paths.data,
                     hdf5_reason(reason));
}

/* ---- Opening ---- */

static int open_groups(struct hdf5_rows *f, hid_t group_creation, struct elmo_error *err)
{
    for (size_t k = 0; f->layout->named && k < f->layout->n_outputs; k++) {
        const char *name = f->layout->outputs[k].name;
        f->groups[k] = group_creation < 0
                           ? H5Gopen2(f->file, name, H5P_DEFAULT)
                           : H5Gcreate2(f->file, name, H5P_DEFAULT, group_creation, H5P_DEFAULT);
        if (f->groups[k] < 0)
            return fail(f, err);
    }
    return 0;
}

/* Groups that keep the order of their links are of the newer kind, which takes a million of them
 * with constant memory; readers list them in the order of the lines. */
static int create_data(struct hdf5_rows *f, struct elmo_error *err)
{
    AUTO(hdf5_close) hid_t file_creation = H5Pcreate(H5P_FILE_CREATE);
    AUTO(hdf5_close) hid_t group_creation = H5Pcreate(H5P_GROUP_CREATE);
    if (file_creation < 0 || group_creation < 0 ||
        H5Pset_link_creation_order(file_creation, H5P_CRT_ORDER_TRACKED) < 0 ||
        H5Pset_link_creation_order(group_creation, H5P_CRT_ORDER_TRACKED) < 0)
        return elmo_fail_nomem(err);
    f->file = H5Fcreate(f->paths.data, H5F_ACC_TRUNC, file_creation, H5P_DEFAULT);
    return f->file < 0 ? fail(f, err) : open_groups(f, group_creation, err);
}

int hdf5_rows_create(struct hdf5_rows **ret_file, const struct layout *layout,
                     const struct hdf5_rows_paths *paths, struct elmo_error *err)
{
    AUTO(hdf5_rows_free) struct hdf5_rows *f = NULL;
    int r = rows_new(&f, layout, paths, err);
    if (!r)
        r = append_file_open(&f->rows, paths->rows, 0, err);
    if (!r)
        r = create_data(f, err);
    if (!r)
        *ret_file = STEAL(f);
    return r;
}

int hdf5_rows_reopen(struct hdf5_rows **ret_file, const struct layout *layout,
                     const struct hdf5_rows_paths *paths, uint64_t rows_bytes,
                     struct elmo_error *err)
{
    AUTO(hdf5_rows_free) struct hdf5_rows *f = NULL;
    int r = rows_new(&f, layout, paths, err);
    if (!r)
        r = append_file_open(&f->rows, paths->rows, rows_bytes, err);
    if (r)
        return r;
    f->file = H5Fopen(paths->data, H5F_ACC_RDWR, H5P_DEFAULT);
    r = f->file < 0 ? fail(f, err) : open_groups(f, H5I_INVALID_HID, err);
    if (!r)
        *ret_file = STEAL(f);
    return r;
}

static void close_handles(struct hdf5_rows *f)
{
    for (size_t k = 0; k < ARRAY_LEN(f->groups); k++) {
        hdf5_close(f->groups[k]);
        f->groups[k] = H5I_INVALID_HID;
    }
    hdf5_close(f->data_creation);
    hdf5_close(f->link_creation);
    f->data_creation = f->link_creation = H5I_INVALID_HID;
}

void hdf5_rows_free(struct hdf5_rows *f)
{
    if (!f)
        return;
    close_handles(f);
    hdf5_close(f->file);
    append_file_done(&f->rows);
    free(f->name);
    free(f->values);
    free(f);
}

/* ---- Datasets ---- */

/* Where output k of a line belongs. */
static hid_t place_of(const struct hdf5_rows *f, size_t k)
{
    return f->layout->named ? f->groups[k] : f->file;
}

static hid_t space_of(const struct hdf5_rows *f, size_t k, size_t n_tokens)
{
    size_t dims[LAYOUT_MAX_DIMS], n_dims = layout_shape(f->layout, k, n_tokens, dims);
    hsize_t extent[LAYOUT_MAX_DIMS];
    for (size_t d = 0; d < n_dims; d++)
        extent[d] = dims[d];
    return H5Screate_simple((int)n_dims, extent, NULL);
}

static int add_dataset(struct hdf5_rows *f, size_t k, size_t n_tokens, const float *values,
                       uint64_t *ret_offset, struct elmo_error *err)
{
    AUTO(hdf5_close) hid_t space = space_of(f, k, n_tokens);
    AUTO(hdf5_close)
    hid_t dataset = H5Dcreate2(place_of(f, k), f->name, H5T_IEEE_F32LE, space, f->link_creation,
                               f->data_creation, H5P_DEFAULT);
    if (dataset < 0)
        return fail(f, err);
    *ret_offset = HADDR_UNDEF;
    if (!layout_output_floats(f->layout, k, n_tokens))
        return 0;
    if (H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        return fail(f, err);
    *ret_offset = H5Dget_offset(dataset);
    hid_t closing = dataset; /* once, also where that fails: what small datasets hold is written */
    dataset = H5I_INVALID_HID;
    return H5Dclose(closing) < 0 || *ret_offset == HADDR_UNDEF ? fail(f, err) : 0;
}

static int add_row(struct hdf5_rows *f, uint64_t number, size_t key_bytes, size_t n_tokens,
                   const float *values, struct elmo_error *err)
{
    uint64_t row[ROW_OFFSETS + LAYOUT_MAX_OUTPUTS] = {
        [ROW_NUMBER] = number, [ROW_TOKENS] = n_tokens, [ROW_KEY_BYTES] = key_bytes};
    for (size_t k = 0; k < f->layout->n_outputs; k++) {
        int r = add_dataset(f, k, n_tokens, values, &row[ROW_OFFSETS + k], err);
        if (r)
            return r;
        values += layout_output_floats(f->layout, k, n_tokens);
    }
    int r =
        append_file_write(&f->rows, row, (ROW_OFFSETS + f->layout->n_outputs) * sizeof *row, err);
    return r ? r : append_file_write(&f->rows, f->name, key_bytes, err);
}

/* ---- Keys ---- */

static int reserve_name(struct hdf5_rows *f, size_t n_bytes, struct elmo_error *err)
{
    if (n_bytes <= f->name_bytes)
        return 0;
    char *name = realloc(f->name, n_bytes);
    if (!name)
        return elmo_fail_nomem(err);
    f->name = name;
    f->name_bytes = n_bytes;
    return 0;
}

static int set_name(struct hdf5_rows *f, uint64_t number, const char *key, size_t key_bytes,
                    struct elmo_error *err)
{
    int r = reserve_name(f, (key ? key_bytes : 0) + LONGEST_NAME, err);
    if (r)
        return r;
    if (!key) {
        snprintf(f->name, f->name_bytes, "%llu", (unsigned long long)number);
        return 0;
    }
    memcpy(f->name, key, key_bytes);
    f->name[key_bytes] = '\0';
    return 0;
}

static int reserve_values(struct hdf5_rows *f, size_t n_values, struct elmo_error *err)
{
    if (n_values <= f->n_values)
        return 0;
    free(f->values);
    f->n_values = 0;
    f->values = calloc(n_values, sizeof *f->values);
    if (!f->values)
        return elmo_fail_nomem(err);
    f->n_values = n_values;
    return 0;
}

/* Whether output k of the same key has these very values; false too where it has none. */
static int compare(struct hdf5_rows *f, size_t k, size_t n_tokens, const float *values,
                   bool *ret_same, struct elmo_error *err)
{
    size_t n_values = layout_output_floats(f->layout, k, n_tokens);
    *ret_same = false;
    int r = reserve_values(f, n_values, err);
    if (r)
        return r;
    AUTO(hdf5_close) hid_t dataset = H5Dopen2(place_of(f, k), f->name, H5P_DEFAULT);
    AUTO(hdf5_close) hid_t found = dataset < 0 ? H5I_INVALID_HID : H5Dget_space(dataset);
    AUTO(hdf5_close) hid_t expected = space_of(f, k, n_tokens);
    if (found < 0 || H5Sextent_equal(found, expected) <= 0)
        return 0;
    if (n_values &&
        H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, f->values) < 0)
        return fail(f, err);
    *ret_same = !n_values || !memcmp(f->values, values, n_values * sizeof *values);
    return 0;
}

static int fail_key(const char *why, uint64_t number, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_FORMAT,
                     "the sentence of line %llu cannot be a key: %s (do without "
                     "--use-sentence-keys)",
                     (unsigned long long)number + 1, why);
}

/* *ret_is_there: this sentence was there before. ELMO_E_FORMAT where another has its key. */
static int look_up(struct hdf5_rows *f, uint64_t number, size_t n_tokens, const float *values,
                   bool *ret_is_there, struct elmo_error *err)
{
    /* A path whose groups are not there fails, and so does one through a dataset. */
    *ret_is_there = H5Lexists(place_of(f, 0), f->name, H5P_DEFAULT) > 0;
    for (size_t k = 0; *ret_is_there && k < f->layout->n_outputs; k++) {
        bool same;
        int r = compare(f, k, n_tokens, values, &same, err);
        if (r)
            return r;
        if (!same)
            return fail_key("another line's takes its place", number, err);
        values += layout_output_floats(f->layout, k, n_tokens);
    }
    return 0;
}

/* libhdf5 takes these for something else, or for a mistake. */
static const char *why_no_key(const char *key, size_t key_bytes)
{
    if (memchr(key, '\0', key_bytes))
        return "it has a zero byte";
    size_t n_slashes = 0;
    for (size_t k = 0; k < key_bytes; k++)
        n_slashes += key[k] == '/';
    if (!key_bytes || n_slashes == key_bytes)
        return "it is nothing but '/'";
    return key_bytes == 1 && key[0] == '.' ? "it is '.', which is HDF5's word for the file" : NULL;
}

int hdf5_rows_add(struct hdf5_rows *f, uint64_t number, const char *key, size_t key_bytes,
                  size_t n_tokens, const float *values, bool *ret_is_there, struct elmo_error *err)
{
    const char *why = key ? why_no_key(key, key_bytes) : NULL;
    if (why)
        return fail_key(why, number, err);
    int r = set_name(f, number, key, key_bytes, err);
    *ret_is_there = false;
    if (!r && key)
        r = look_up(f, number, n_tokens, values, ret_is_there, err);
    if (r || *ret_is_there)
        return r;
    struct elmo_error inner = {0};
    r = add_row(f, number, key ? key_bytes : 0, n_tokens, values, &inner);
    if (r && key && H5Lexists(place_of(f, 0), f->name, H5P_DEFAULT) <= 0)
        return fail_key(inner.message, number, err);
    return r ? elmo_fail(err, r, "%s", inner.message) : 0;
}

/* ---- Checkpoints ---- */

static int sync_data(const struct hdf5_rows *f, struct elmo_error *err)
{
    int fd = open(f->paths.data, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && !fdatasync(fd);
    int saved = errno;
    if (fd >= 0)
        close(fd);
    return ok ? 0
              : elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", f->paths.data,
                          strerror(saved));
}

/* Closed datasets wait in no buffer of libhdf5. */
int hdf5_rows_sync(struct hdf5_rows *f, uint64_t *ret_rows_bytes, struct elmo_error *err)
{
    int r = sync_data(f, err);
    if (!r)
        r = append_file_sync(&f->rows, err);
    *ret_rows_bytes = f->rows.n_bytes;
    return r;
}

int hdf5_rows_close(struct hdf5_rows *f, const char *strings_name, const char *strings,
                    uint64_t n_strings, struct elmo_error *err)
{
    haddr_t address = HADDR_UNDEF;
    int r = n_strings ? hdf5_strings_reserve(f->file, strings_name, n_strings, &address, err) : 0;
    if (r)
        return r;
    close_handles(f);
    hid_t file = f->file;
    f->file = H5I_INVALID_HID;
    if (H5Fclose(file) < 0)
        return fail(f, err);
    if (n_strings)
        return hdf5_strings_fill(f->paths.data, address, n_strings, strings, err);
    return sync_data(f, err);
}

/* ---- After a kill ---- */

struct rebuild {
    FILE *rows, *data; /* of before */
    uint64_t data_bytes;
    struct hdf5_rows *to;
    const char *path; /* of what is damaged, should it be */
};

static int fail_damaged(const struct rebuild *b, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is damaged: remove its folder and begin anew",
                     b->path);
}

/* The values of a row, from where they lie. */
static int read_values(const struct rebuild *b, const uint64_t *row, struct elmo_error *err)
{
    const struct layout *layout = b->to->layout;
    size_t n_tokens = (size_t)row[ROW_TOKENS];
    int r = reserve_values(b->to, layout_sentence_floats(layout, n_tokens), err);
    float *to = b->to->values;
    for (size_t k = 0; !r && k < layout->n_outputs; k++) {
        size_t n = layout_output_floats(layout, k, n_tokens);
        uint64_t offset = row[ROW_OFFSETS + k];
        if (n &&
            (offset > b->data_bytes || n * sizeof *to > b->data_bytes - offset ||
             fseeko(b->data, (off_t)offset, SEEK_SET) || fread(to, sizeof *to, n, b->data) != n))
            return fail_damaged(b, err);
        to += n;
    }
    return r;
}

static int copy_row(const struct rebuild *b, uint64_t *left, struct elmo_error *err)
{
    uint64_t row[ROW_OFFSETS + LAYOUT_MAX_OUTPUTS];
    size_t n_bytes = (ROW_OFFSETS + b->to->layout->n_outputs) * sizeof *row;
    if (n_bytes > *left || fread(row, 1, n_bytes, b->rows) != n_bytes)
        return fail_damaged(b, err);
    *left -= n_bytes;
    uint64_t key_bytes = row[ROW_KEY_BYTES];
    /* A token takes a byte of its line at least, and a line is 1 MiB at most. */
    if (key_bytes > *left || row[ROW_TOKENS] > (uint64_t)1 << 20)
        return fail_damaged(b, err);
    int r = reserve_name(b->to, (size_t)key_bytes + LONGEST_NAME, err);
    if (!r && key_bytes && fread(b->to->name, 1, (size_t)key_bytes, b->rows) != key_bytes)
        r = fail_damaged(b, err);
    if (r)
        return r;
    *left -= key_bytes;
    b->to->name[key_bytes] = '\0';
    if (!key_bytes)
        r = set_name(b->to, row[ROW_NUMBER], NULL, 0, err);
    if (!r)
        r = read_values(b, row, err);
    return r ? r
             : add_row(b->to, row[ROW_NUMBER], (size_t)key_bytes, (size_t)row[ROW_TOKENS],
                       b->to->values, err);
}

static int copy_rows(struct rebuild *b, uint64_t rows_bytes, struct elmo_error *err)
{
    if (!b->rows || !b->data || fseeko(b->data, 0, SEEK_END))
        return fail_damaged(b, err);
    b->data_bytes = (uint64_t)ftello(b->data);
    int r = 0;
    while (!r && rows_bytes)
        r = copy_row(b, &rows_bytes, err);
    return r;
}

int hdf5_rows_rebuild(struct hdf5_rows **ret_file, const struct layout *layout,
                      const struct hdf5_rows_paths *paths, const struct hdf5_rows_paths *before,
                      uint64_t rows_bytes, struct elmo_error *err)
{
    AUTO(hdf5_rows_free) struct hdf5_rows *f = NULL;
    int r = hdf5_rows_create(&f, layout, paths, err);
    if (r)
        return r;
    struct rebuild b = {.rows = fopen(before->rows, "rb"),
                        .data = fopen(before->data, "rb"),
                        .to = f,
                        .path = before->data};
    r = copy_rows(&b, rows_bytes, err);
    if (b.rows)
        fclose(b.rows);
    if (b.data)
        fclose(b.data);
    if (!r)
        *ret_file = STEAL(f);
    return r;
}

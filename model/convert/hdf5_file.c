#include "hdf5_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "file/safetensors.h"
#include "hdf5_handle.h"

struct hdf5_input {
    hid_t file;
    char *path; /* owned */
};

struct hdf5_output {
    hid_t file;       /* H5I_INVALID_HID once closed */
    char *path, *tmp; /* owned */
    bool committed;
};

static bool same_shape(const struct hdf5_shape *a, const struct hdf5_shape *b)
{
    return a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims);
}

static bool n_values_of(const struct hdf5_shape *shape, size_t *ret)
{
    *ret = 1;
    for (size_t k = 0; k < shape->n_dims; k++)
        if (!mul_ok(*ret, shape->dims[k], ret))
            return false;
    return true;
}

/* ---- Reading ---- */

int hdf5_input_open(struct hdf5_input **ret_input, const char *path, struct elmo_error *err)
{
    hdf5_silence();
    if (access(path, R_OK))
        return elmo_fail(err, ELMO_E_IO, "cannot read '%.200s': %s", path, strerror(errno));
    if (H5Fis_hdf5(path) <= 0)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is not an HDF5 file", path);
    AUTO(hdf5_input_free) struct hdf5_input *input = calloc(1, sizeof *input);
    if (!input)
        return elmo_fail_nomem(err);
    input->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    char reason[HDF5_REASON_BYTES];
    if (input->file < 0)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is a damaged HDF5 file: %s", path,
                         hdf5_reason(reason));
    input->path = strdup(path);
    if (!input->path)
        return elmo_fail_nomem(err);
    *ret_input = STEAL(input);
    return 0;
}

void hdf5_input_free(struct hdf5_input *input)
{
    if (!input)
        return;
    hdf5_close(input->file);
    free(input->path);
    free(input);
}

bool hdf5_input_has(const struct hdf5_input *input, const char *name)
{
    return H5Lexists(input->file, name, H5P_DEFAULT) > 0;
}

static int open_dataset(const struct hdf5_input *input, const char *name, hid_t *ret_dataset,
                        struct elmo_error *err)
{
    if (!hdf5_input_has(input, name))
        return elmo_fail(err, ELMO_E_FORMAT, "'%.120s' has no dataset '%s'", input->path, name);
    char reason[HDF5_REASON_BYTES];
    *ret_dataset = H5Dopen2(input->file, name, H5P_DEFAULT);
    if (*ret_dataset < 0)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.120s': '%s' cannot be opened as a dataset: %s",
                         input->path, name, hdf5_reason(reason));
    return 0;
}

static int dataset_shape(const struct hdf5_input *input, const char *name, hid_t dataset,
                         struct hdf5_shape *ret_shape, struct elmo_error *err)
{
    AUTO(hdf5_close) hid_t space = H5Dget_space(dataset);
    int n_dims = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (n_dims < 0 || H5Sget_simple_extent_type(space) == H5S_NULL)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.120s': dataset '%s' has no values", input->path,
                         name);
    if (n_dims > HDF5_MAX_DIMS)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "'%.120s': dataset '%s': expected at most %d dimensions, found %d",
                         input->path, name, HDF5_MAX_DIMS, n_dims);
    hsize_t dims[HDF5_MAX_DIMS] = {0};
    H5Sget_simple_extent_dims(space, dims, NULL);
    *ret_shape = (struct hdf5_shape){.n_dims = (size_t)n_dims};
    for (size_t k = 0; k < ret_shape->n_dims; k++)
        ret_shape->dims[k] = (size_t)dims[k];
    return 0;
}

int hdf5_input_shape(const struct hdf5_input *input, const char *name, struct hdf5_shape *ret_shape,
                     struct elmo_error *err)
{
    AUTO(hdf5_close) hid_t dataset = H5I_INVALID_HID;
    int r = open_dataset(input, name, &dataset, err);
    return r ? r : dataset_shape(input, name, dataset, ret_shape, err);
}

static int check_shape(const struct hdf5_input *input, const char *name, hid_t dataset,
                       const struct hdf5_shape *expected, struct elmo_error *err)
{
    static const struct hdf5_shape one = {1, {1}};
    struct hdf5_shape found;
    int r = dataset_shape(input, name, dataset, &found, err);
    if (r)
        return r;
    if (same_shape(&found, expected) || (!found.n_dims && same_shape(&one, expected)))
        return 0;
    char expected_text[96], found_text[96];
    return elmo_fail(
        err, ELMO_E_FORMAT, "'%.120s': dataset '%s': expected shape %s, found %s", input->path,
        name, st_shape_text(expected->dims, expected->n_dims, expected_text, sizeof expected_text),
        st_shape_text(found.dims, found.n_dims, found_text, sizeof found_text));
}

static int check_type(const struct hdf5_input *input, const char *name, hid_t dataset, FILE *notes,
                      struct elmo_error *err)
{
    AUTO(hdf5_close) hid_t type = H5Dget_type(dataset);
    if (type < 0 || H5Tget_class(type) != H5T_FLOAT)
        return elmo_fail(
            err, ELMO_E_FORMAT, "'%.120s': dataset '%s': expected floating-point numbers, found %s",
            input->path, name,
            type >= 0 && H5Tget_class(type) == H5T_INTEGER ? "integers" : "another type");
    if (notes && H5Tget_size(type) != sizeof(float))
        fprintf(notes, "note: %s: dataset '%s' is float%zu, read as float32\n", input->path, name,
                8 * H5Tget_size(type));
    return 0;
}

static int check_finite(const struct hdf5_input *input, const char *name, const float *values,
                        size_t n_values, struct elmo_error *err)
{
    for (size_t k = 0; k < n_values; k++)
        if (!isfinite(values[k]))
            return elmo_fail(err, ELMO_E_FORMAT,
                             "'%.120s': dataset '%s': value %zu of %zu is not a finite float32",
                             input->path, name, k, n_values);
    return 0;
}

int hdf5_input_read(const struct hdf5_input *input, const char *name,
                    const struct hdf5_shape *shape, float *values, FILE *notes,
                    struct elmo_error *err)
{
    AUTO(hdf5_close) hid_t dataset = H5I_INVALID_HID;
    int r = open_dataset(input, name, &dataset, err);
    if (!r)
        r = check_shape(input, name, dataset, shape, err);
    if (!r)
        r = check_type(input, name, dataset, notes, err);
    if (r)
        return r;
    char reason[HDF5_REASON_BYTES];
    size_t n_values = 0;
    if (!n_values_of(shape, &n_values) ||
        H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.120s': dataset '%s' cannot be read: %s",
                         input->path, name, hdf5_reason(reason));
    return check_finite(input, name, values, n_values, err);
}

struct visitor {
    void (*visit)(void *context, const char *name);
    void *context;
};

static herr_t visit_object(hid_t root, const char *name, const H5O_info_t *info, void *context)
{
    (void)root;
    const struct visitor *visitor = context;
    if (info->type == H5O_TYPE_DATASET)
        visitor->visit(visitor->context, name);
    return 0;
}

int hdf5_input_each(const struct hdf5_input *input, void (*visit)(void *context, const char *name),
                    void *context, struct elmo_error *err)
{
    struct visitor visitor = {visit, context};
    char reason[HDF5_REASON_BYTES];
    if (H5Ovisit2(input->file, H5_INDEX_NAME, H5_ITER_INC, visit_object, &visitor, H5O_INFO_BASIC) <
        0)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is a damaged HDF5 file: %s", input->path,
                         hdf5_reason(reason));
    return 0;
}

/* ---- Writing ---- */

int hdf5_output_new(struct hdf5_output **ret_output, const char *path, struct elmo_error *err)
{
    hdf5_silence();
    AUTO(hdf5_output_free) struct hdf5_output *output = calloc(1, sizeof *output);
    if (!output)
        return elmo_fail_nomem(err);
    output->file = H5I_INVALID_HID;
    size_t tmp_bytes = strlen(path) + sizeof ".tmp";
    output->path = strdup(path);
    output->tmp = malloc(tmp_bytes);
    if (!output->path || !output->tmp)
        return elmo_fail_nomem(err);
    snprintf(output->tmp, tmp_bytes, "%s.tmp", path);
    char reason[HDF5_REASON_BYTES];
    output->file = H5Fcreate(output->tmp, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (output->file < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", output->tmp,
                         hdf5_reason(reason));
    *ret_output = STEAL(output);
    return 0;
}

int hdf5_output_add(struct hdf5_output *output, const char *name, const struct hdf5_shape *shape,
                    const float *values, struct elmo_error *err)
{
    hsize_t dims[HDF5_MAX_DIMS] = {0};
    for (size_t k = 0; k < shape->n_dims; k++)
        dims[k] = shape->dims[k];
    AUTO(hdf5_close)
    hid_t space =
        shape->n_dims ? H5Screate_simple((int)shape->n_dims, dims, NULL) : H5Screate(H5S_SCALAR);
    AUTO(hdf5_close) hid_t making_groups = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(making_groups, 1);
    AUTO(hdf5_close)
    hid_t dataset = H5Dcreate2(output->file, name, H5T_IEEE_F32LE, space, making_groups,
                               H5P_DEFAULT, H5P_DEFAULT);
    char reason[HDF5_REASON_BYTES];
    if (dataset < 0 ||
        H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot write dataset '%s' of '%.200s': %s", name,
                         output->path, hdf5_reason(reason));
    return 0;
}

/* libhdf5 has no fsync of its own. */
static bool sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = !fsync(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

int hdf5_output_commit(struct hdf5_output *output, struct elmo_error *err)
{
    char reason[HDF5_REASON_BYTES];
    hid_t file = output->file;
    output->file = H5I_INVALID_HID;
    if (H5Fclose(file) < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", output->path,
                         hdf5_reason(reason));
    if (!sync_file(output->tmp) || rename(output->tmp, output->path))
        return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", output->path,
                         strerror(errno));
    output->committed = true;
    return 0;
}

void hdf5_output_free(struct hdf5_output *output)
{
    if (!output)
        return;
    hdf5_close(output->file);
    if (output->tmp && !output->committed)
        unlink(output->tmp);
    free(output->path);
    free(output->tmp);
    free(output);
}

#include "lm_softmax.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "file/model_file.h"
#include "text/vocabulary.h"
#include "util/mapped_file.h"
#include "util/sha256.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "floats are written as they lie in memory");

void lm_softmax_done(struct lm_softmax *s)
{
    word_table_done(&s->vocabulary);
    free(s->w);
    free(s->b);
    *s = (struct lm_softmax){0};
}

static void softmax_done_auto(struct lm_softmax *s)
{
    lm_softmax_done(s);
}

/* ---- Reading ---- */

void lm_softmax_file_done(struct lm_softmax_file *f)
{
    word_table_done(&f->vocabulary);
    safetensors_free(f->file);
    *f = (struct lm_softmax_file){0};
}

static void file_done_auto(struct lm_softmax_file *f)
{
    lm_softmax_file_done(f);
}

static bool is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static int read_metadata(struct lm_softmax_file *f, struct elmo_error *err)
{
    const char *version = safetensors_metadata(f->file, META_SOFTMAX_VERSION);
    const char *digest = safetensors_metadata(f->file, META_BILM_SHA256);
    if (!version)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ has no '" META_SOFTMAX_VERSION "': not a softmax file");
    if (strcmp(version, SOFTMAX_FORMAT_VERSION))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_SOFTMAX_VERSION "': expected " SOFTMAX_FORMAT_VERSION
                         ", found %.16s (made by a newer version?)",
                         version);
    if (!digest || !is_sha256(digest))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_BILM_SHA256 "': expected 64 hex digits");
    memcpy(f->bilm_sha256, digest, sizeof f->bilm_sha256);
    return vocabulary_parse(&f->vocabulary, safetensors_metadata(f->file, META_VOCABULARY), err);
}

/* A tensor of V rows. */
static int find_tensor(const struct st_tensor **ret_tensor, const struct lm_softmax_file *f,
                       const char *name, size_t n_dims, struct elmo_error *err)
{
    size_t V = f->vocabulary.n_items;
    char found[96];
    const struct st_tensor *t = safetensors_find(f->file, name);
    if (!t)
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s' is missing", name);
    if (t->dtype == ST_OTHER)
        return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s': expected F32, BF16 or F16, found %.16s",
                         name, t->dtype_name);
    if (t->n_dims != n_dims || t->dims[0] != V || !t->n_bytes)
        return elmo_fail(
            err, ELMO_E_FORMAT, "tensor '%s': expected shape [%zu%s] for %zu words, found %s", name,
            V, n_dims == 2 ? ", P" : "", V, st_shape_text(t->dims, t->n_dims, found, sizeof found));
    *ret_tensor = t;
    return 0;
}

static int check_names(const struct safetensors *file, struct elmo_error *err)
{
    for (size_t k = 0; k < safetensors_n_tensors(file); k++) {
        const char *name = safetensors_tensor(file, k)->name;
        if (strcmp(name, SOFTMAX_W) && strcmp(name, SOFTMAX_B))
            return elmo_fail(err, ELMO_E_FORMAT, "unexpected tensor '%.96s'", name);
    }
    return 0;
}

int lm_softmax_file_open(struct lm_softmax_file *ret_file, const void *bytes, size_t n_bytes,
                         struct elmo_error *err)
{
    AUTO(file_done) struct lm_softmax_file f = {0};
    int r = safetensors_parse(&f.file, bytes, n_bytes, err);
    if (!r)
        r = read_metadata(&f, err);
    if (!r)
        r = check_names(f.file, err);
    if (!r)
        r = find_tensor(&f.w, &f, SOFTMAX_W, 2, err);
    if (!r)
        r = find_tensor(&f.b, &f, SOFTMAX_B, 1, err);
    if (r)
        return r;
    f.dim = f.w->dims[1];
    *ret_file = f;
    f = (struct lm_softmax_file){0};
    return 0;
}

/* n values of the tensor from the first on. */
static int read_values(float *values, const struct st_tensor *t, size_t first, size_t n,
                       struct elmo_error *err)
{
    st_to_f32(values, t->data + first * st_dtype_bytes(t->dtype), t->dtype, n);
    for (size_t k = 0; k < n; k++)
        if (!isfinite(values[k]))
            return elmo_fail(err, ELMO_E_FORMAT, "tensor '%s' holds values that are not finite",
                             t->name);
    return 0;
}

int lm_softmax_file_rows(float *w, float *b, const struct lm_softmax_file *f, size_t first,
                         size_t n, struct elmo_error *err)
{
    int r = read_values(w, f->w, first * f->dim, n * f->dim, err);
    return r ? r : read_values(b, f->b, first, n, err);
}

int lm_softmax_open_memory(struct lm_softmax *ret_softmax, const void *bytes, size_t n_bytes,
                           struct elmo_error *err)
{
    AUTO(file_done) struct lm_softmax_file f = {0};
    AUTO(softmax_done) struct lm_softmax s = {0};
    int r = lm_softmax_file_open(&f, bytes, n_bytes, err);
    if (r)
        return r;
    size_t V = f.vocabulary.n_items;
    s.w = calloc(V * f.dim, sizeof *s.w);
    s.b = calloc(V, sizeof *s.b);
    if (!s.w || !s.b)
        return elmo_fail_nomem(err);
    r = lm_softmax_file_rows(s.w, s.b, &f, 0, V, err);
    if (r)
        return r;
    s.dim = f.dim;
    s.vocabulary = f.vocabulary;
    f.vocabulary = (struct word_table){0};
    memcpy(s.bilm_sha256, f.bilm_sha256, sizeof s.bilm_sha256);
    *ret_softmax = s;
    s = (struct lm_softmax){0};
    return 0;
}

int lm_softmax_open(struct lm_softmax *ret_softmax, const char *path, struct elmo_error *err)
{
    struct mapped_file mapping = {0};
    int r = mapped_file_open(&mapping, path, err);
    if (!r)
        r = lm_softmax_open_memory(ret_softmax, mapping.bytes, mapping.n_bytes, err);
    mapped_file_close(&mapping);
    return r;
}

/* ---- Writing ---- */

int lm_softmax_write(const char *path, const struct lm_softmax_parts *parts, struct elmo_error *err)
{
    AUTO(mem_free) char *vocabulary = NULL;
    size_t V = parts->vocabulary->n_items, n = V * parts->dim;
    int r = vocabulary_text(&vocabulary, parts->vocabulary, err);
    if (r)
        return r;
    if (parts->w_dtype == ST_BF16)
        st_round_to_bf16(parts->w, n);
    const struct st_tensor tensors[] = {
        {.name = SOFTMAX_B,
         .dtype = ST_F32,
         .n_dims = 1,
         .dims = {V},
         .data = (const unsigned char *)parts->b,
         .n_bytes = V * sizeof *parts->b},
        {.name = SOFTMAX_W,
         .dtype = parts->w_dtype,
         .n_dims = 2,
         .dims = {V, parts->dim},
         .data = (const unsigned char *)parts->w,
         .n_bytes = n * st_dtype_bytes(parts->w_dtype)},
    };
    const struct st_metadata metadata[] = {
        {META_SOFTMAX_VERSION, SOFTMAX_FORMAT_VERSION},
        {META_NAME, parts->name},
        {META_BILM_SHA256, parts->bilm_sha256},
        {META_VOCABULARY, vocabulary},
    };
    return safetensors_write(path, tensors, ARRAY_LEN(tensors), metadata, ARRAY_LEN(metadata), err);
}

/* ---- Which biLM it belongs to ---- */

static int by_name(const void *left, const void *right)
{
    const struct st_tensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

int bilm_digest(char ret_hex[static 65], const struct safetensors *model, struct elmo_error *err)
{
    size_t n = 0, n_tensors = safetensors_n_tensors(model);
    AUTO(mem_free) const struct st_tensor **tensors = calloc(n_tensors + 1, sizeof(void *));
    struct sha256 sha;
    if (!tensors)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_tensors; k++)
        if (strncmp(safetensors_tensor(model, k)->name, HEAD_PREFIX, strlen(HEAD_PREFIX)))
            tensors[n++] = safetensors_tensor(model, k);
    qsort(tensors, n, sizeof *tensors, by_name);
    sha256_begin(&sha);
    for (size_t k = 0; k < n; k++) {
        const struct st_tensor *t = tensors[k];
        char shape[256];
        st_shape_text(t->dims, t->n_dims, shape, sizeof shape);
        sha256_add(&sha, t->name, strlen(t->name) + 1);
        sha256_add(&sha, t->dtype_name, strlen(t->dtype_name) + 1);
        sha256_add(&sha, shape, strlen(shape) + 1);
        sha256_add(&sha, t->data, t->n_bytes);
    }
    sha256_end(&sha, ret_hex);
    return 0;
}

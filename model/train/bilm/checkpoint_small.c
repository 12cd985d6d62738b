#include "checkpoint_small.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "error.h"
#include "file/model_file.h"
#include "file/safetensors.h"
#include "util/mapped_file.h"

#define ADAM       "adam/"
#define ROW_SECOND "adam/softmax/second" /* [V], float32 */

/* A small checkpoint in the making; small_done frees. */
struct small {
    struct mapped_file mapping;
    struct safetensors *source;
    struct st_tensor *tensors; /* [safetensors_n_tensors(source)] */
    float **rounded;           /* likewise; owned bytes of the weights */
    float *row_seconds;        /* [V], owned */
    size_t n;
    bool has_moments;
};

static void small_done(struct small *s)
{
    for (size_t k = 0; s->rounded && k < s->n; k++)
        free(s->rounded[k]);
    free(s->rounded);
    free(s->row_seconds);
    free(s->tensors);
    safetensors_free(s->source);
    mapped_file_close(&s->mapping);
}

static int open_source(struct small *s, const char *path, struct elmo_error *err)
{
    int r = mapped_file_open(&s->mapping, path, err);
    if (!r)
        r = safetensors_parse(&s->source, s->mapping.bytes, s->mapping.n_bytes, err);
    if (r)
        return r;
    size_t n = safetensors_n_tensors(s->source);
    s->tensors = calloc(n + 2, sizeof *s->tensors);
    s->rounded = calloc(n + 2, sizeof *s->rounded);
    return s->tensors && s->rounded ? 0 : elmo_fail_nomem(err);
}

static bool begins(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

/* What stands for a weight: its average where the file has one. */
static const struct st_tensor *averaged(const struct small *s, const struct st_tensor *weight)
{
    char name[256];
    snprintf(name, sizeof name, CHECKPOINT_AVERAGE "%s", weight->name);
    const struct st_tensor *average = safetensors_find(s->source, name);
    return average && average->n_bytes == weight->n_bytes ? average : weight;
}

static int add_rounded(struct small *s, const struct st_tensor *weight, struct elmo_error *err)
{
    const struct st_tensor *from = averaged(s, weight);
    size_t n_values = from->n_bytes / st_dtype_bytes(from->dtype);
    float *values = malloc(n_values * sizeof *values);
    if (!values)
        return elmo_fail_nomem(err);
    st_to_f32(values, from->data, from->dtype, n_values);
    st_round_to_bf16(values, n_values);
    s->rounded[s->n] = values;
    struct st_tensor *t = &s->tensors[s->n++];
    *t = *weight;
    t->dtype = ST_BF16;
    t->data = (const unsigned char *)values;
    t->n_bytes = n_values * st_dtype_bytes(ST_BF16);
    return 0;
}

static bool is_of_softmax(const struct st_tensor *t)
{
    const char *name = strrchr(t->name, '/');
    return name && name - t->name >= 7 && !strncmp(name - 7, "softmax", 7);
}

static float bf16_at(const struct st_tensor *t, size_t index)
{
    float value;
    st_to_f32(&value, t->data + index * st_dtype_bytes(t->dtype), t->dtype, 1);
    return value;
}

/* The mean second moment of each row of the softmax, its bias included. A file that is small
 * already has them. */
static int add_row_seconds(struct small *s, struct elmo_error *err)
{
    const struct st_tensor *w = safetensors_find(s->source, ADAM "second/" SOFTMAX_W),
                           *b = safetensors_find(s->source, ADAM "second/" SOFTMAX_B),
                           *small = safetensors_find(s->source, ROW_SECOND);
    if (small) {
        s->tensors[s->n++] = *small;
        return 0;
    }
    if (!w || !b || w->n_dims != 2 || b->n_dims != 1 || w->dims[0] != b->dims[0])
        return elmo_fail(err, ELMO_E_FORMAT, "the checkpoint has no moments of the softmax");
    size_t V = w->dims[0], P = w->dims[1];
    s->row_seconds = calloc(V, sizeof *s->row_seconds);
    if (!s->row_seconds)
        return elmo_fail_nomem(err);
    for (size_t id = 0; id < V; id++) {
        double sum = (double)bf16_at(b, id);
        for (size_t k = 0; k < P; k++)
            sum += (double)bf16_at(w, id * P + k);
        s->row_seconds[id] = (float)(sum / (double)(P + 1));
    }
    s->tensors[s->n++] = (struct st_tensor){.name = ROW_SECOND,
                                            .dtype = ST_F32,
                                            .n_dims = 1,
                                            .dims = {V},
                                            .data = (const unsigned char *)s->row_seconds,
                                            .n_bytes = V * sizeof *s->row_seconds};
    return 0;
}

/* Tensors of float32 come first, so that all stay aligned. */
static int add_tensors(struct small *s, struct elmo_error *err)
{
    size_t n = safetensors_n_tensors(s->source);
    for (size_t k = 0; k < n; k++)
        s->has_moments |= begins(safetensors_tensor(s->source, k)->name, ADAM);
    int r = s->has_moments ? add_row_seconds(s, err) : 0;
    for (size_t k = 0; k < n && !r; k++) {
        const struct st_tensor *t = safetensors_tensor(s->source, k);
        if (begins(t->name, ADAM) && !is_of_softmax(t))
            s->tensors[s->n++] = *t;
        else if (!begins(t->name, ADAM) && !begins(t->name, CHECKPOINT_AVERAGE))
            r = add_rounded(s, t, err);
    }
    return r;
}

static int write_small(const struct small *s, const char *path, struct elmo_error *err)
{
    size_t n = safetensors_n_metadata(s->source);
    AUTO(mem_free) struct st_metadata *metadata = calloc(n + 1, sizeof *metadata);
    if (!metadata)
        return elmo_fail_nomem(err);
    safetensors_all_metadata(metadata, s->source);
    return safetensors_write(path, s->tensors, s->n, metadata, n, err);
}

int checkpoint_make_small(const char *path, const char *source, struct elmo_error *err)
{
    struct small s = {0};
    if (!strcmp(path, source))
        return elmo_fail(err, ELMO_E_INVALID,
                         "--checkpoint and --to-resume are two files: '%.200s'", path);
    int r = open_source(&s, source, err);
    if (!r)
        r = add_tensors(&s, err);
    if (!r && (!s.has_moments || !safetensors_metadata(s.source, META_STATE)))
        r = elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is no checkpoint of pretrain", source);
    if (!r)
        r = write_small(&s, path, err);
    small_done(&s);
    return r;
}

/* A folder of safetensors files 00000.safetensors, 00001.safetensors, ... of at most max_part_bytes
 * of tensors each, unless one line alone has more. A tensor is named by its line's number, with
 * outputs of the service's names by NAME/NUMBER; __metadata__ has the model and the first and last
 * line. A header comes before its tensors, so the lines of a file wait in memory until it is full.
 * Each file is written whole or not at all: checkpoints are between them. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "file/safetensors.h"
#include "sink.h"

#define USUAL_PART_BYTES ((uint64_t)128 << 20)
#define PART_TENSORS     65536u
#define NAME_BYTES       48u

struct sink {
    const struct sink_setup *setup;
    uint64_t max_bytes;
    uint64_t n_parts;                        /* files written */
    uint64_t first_line, last_line, n_lines; /* of the tensors that wait */
    float *values;                           /* owned, [capacity] of which n_values are used */
    size_t n_values, capacity;
    size_t n_tensors;
    struct st_tensor *tensors; /* owned, [PART_TENSORS]; data is found when they are written */
    char (*names)[NAME_BYTES]; /* owned, [PART_TENSORS] */
};

static void sink_free(struct sink *s)
{
    if (!s)
        return;
    free(s->values);
    free(s->tensors);
    free(s->names);
    free(s);
}
DEFINE_AUTO(sink_free, struct sink *);

static char *part_path(const struct sink *s, uint64_t part)
{
    char name[48];
    snprintf(name, sizeof name, WORK_FOLDER_RESULT "/%05llu.safetensors", (unsigned long long)part);
    return work_folder_path(s->setup->folder, name);
}

/* ---- Opening ---- */

/* Files behind the checkpoint come from a run that was killed before the next one. */
static int prepare_folder(struct sink *s, struct elmo_error *err)
{
    AUTO(mem_free) char *result = work_folder_path(s->setup->folder, WORK_FOLDER_RESULT);
    if (!result)
        return elmo_fail_nomem(err);
    mkdir(result, 0777); /* where it is not there, writing a file in it says why */
    for (uint64_t part = s->n_parts;; part++) {
        AUTO(mem_free) char *path = part_path(s, part);
        if (!path)
            return elmo_fail_nomem(err);
        if (unlink(path))
            return 0;
    }
}

static int st_open(struct sink **ret_sink, const struct sink_setup *setup, const json_t *state,
                   struct elmo_error *err)
{
    AUTO(sink_free) struct sink *s = calloc(1, sizeof *s);
    json_int_t n_parts = 0;
    if (!s)
        return elmo_fail_nomem(err);
    s->tensors = calloc(PART_TENSORS, sizeof *s->tensors);
    s->names = calloc(PART_TENSORS, sizeof *s->names);
    if (!s->tensors || !s->names)
        return elmo_fail_nomem(err);
    if (state && (json_unpack((json_t *)state, "{s:I}", "parts", &n_parts) || n_parts < 0))
        return elmo_fail(err, ELMO_E_FORMAT, "the checkpoint lacks a member");
    s->setup = setup;
    s->max_bytes = setup->max_part_bytes ? setup->max_part_bytes : USUAL_PART_BYTES;
    s->n_parts = (uint64_t)n_parts;
    int r = prepare_folder(s, err);
    if (!r)
        *ret_sink = STEAL(s);
    return r;
}

/* ---- Files ---- */

static int write_part(struct sink *s, struct elmo_error *err)
{
    const char *at = (const char *)s->values;
    for (size_t k = 0; k < s->n_tensors; k++) {
        s->tensors[k].name = s->names[k];
        s->tensors[k].data = (const unsigned char *)at;
        at += s->tensors[k].n_bytes;
    }
    char first[24], last[24];
    snprintf(first, sizeof first, "%llu", (unsigned long long)s->first_line);
    snprintf(last, sizeof last, "%llu", (unsigned long long)s->last_line);
    const struct st_metadata metadata[] = {
        {"model", s->setup->info->name},
        {"model_sha256", s->setup->info->sha256},
        {"first_line", first},
        {"last_line", last},
    };
    AUTO(mem_free) char *path = part_path(s, s->n_parts);
    int r = path ? safetensors_write(path, s->tensors, s->n_tensors, metadata,
                                     s->n_lines ? ARRAY_LEN(metadata) : 2, err)
                 : elmo_fail_nomem(err);
    if (r)
        return r;
    s->n_parts++;
    s->n_values = s->n_tensors = 0;
    s->n_lines = 0;
    return 0;
}

static bool st_is_full(const struct sink *s, const struct block *block)
{
    return s->n_lines &&
           ((s->n_values + block->n_values) * sizeof(float) > s->max_bytes ||
            s->n_tensors + block->n_lines * s->setup->layout->n_outputs > PART_TENSORS);
}

static int reserve(struct sink *s, size_t n_more, struct elmo_error *err)
{
    size_t n, n_bytes;
    if (!add_ok(s->n_values, n_more, &n) || !mul_ok(n, sizeof(float), &n_bytes))
        return elmo_fail_nomem(err);
    if (n <= s->capacity)
        return 0;
    size_t usual = (size_t)s->max_bytes / sizeof(float);
    if (n < usual)
        n = usual; /* once, and for all files */
    float *values = realloc(s->values, n * sizeof *values);
    if (!values)
        return elmo_fail_nomem(err);
    s->values = values;
    s->capacity = n;
    return 0;
}

static void add_line(struct sink *s, const struct line *line, const float *values)
{
    const struct layout *layout = s->setup->layout;
    for (size_t k = 0; k < layout->n_outputs; k++) {
        struct st_tensor *tensor = &s->tensors[s->n_tensors];
        size_t n = layout_output_floats(layout, k, line->n_tokens);
        *tensor = (struct st_tensor){.dtype = ST_F32, .n_bytes = n * sizeof(float)};
        tensor->n_dims = layout_shape(layout, k, line->n_tokens, tensor->dims);
        snprintf(s->names[s->n_tensors++], NAME_BYTES, "%s%s%llu",
                 layout->named ? layout->outputs[k].name : "", layout->named ? "/" : "",
                 (unsigned long long)line->number);
        memcpy(s->values + s->n_values, values, n * sizeof *values);
        s->n_values += n;
        values += n;
    }
    if (!s->n_lines++)
        s->first_line = line->number;
    s->last_line = line->number;
}

static int st_add(struct sink *s, const struct block *block, struct elmo_error *err)
{
    int r = reserve(s, block->n_values, err);
    for (size_t k = 0; !r && k < block->n_lines; k++) {
        /* Only where a block alone has too many tensors for a file. */
        if (s->n_tensors + s->setup->layout->n_outputs > PART_TENSORS)
            r = write_part(s, err);
        if (!r)
            add_line(s, &block->lines[k], block->values + block->lines[k].values_at);
    }
    return r;
}

static int st_checkpoint(struct sink *s, bool closing, json_t **ret_state, struct elmo_error *err)
{
    (void)closing;
    int r = s->n_lines ? write_part(s, err) : 0;
    if (r)
        return r;
    *ret_state = json_pack("{s:I}", "parts", (json_int_t)s->n_parts);
    return *ret_state ? 0 : elmo_fail_nomem(err);
}

static int st_finish(struct sink *s, struct elmo_error *err)
{
    int r = s->n_lines || !s->n_parts ? write_part(s, err) : 0;
    return r ? r : work_folder_publish(s->setup->folder, WORK_FOLDER_RESULT, err);
}

const struct sink_kind sink_safetensors = {
    .name = "safetensors",
    .open = st_open,
    .is_full = st_is_full,
    .add = st_add,
    .checkpoint = st_checkpoint,
    .finish = st_finish,
    .free = sink_free,
};

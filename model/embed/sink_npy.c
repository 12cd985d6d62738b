/* A folder of arrays as numpy.save writes them (format 1.0): NAME.npy for each output, the rows of
 * all lines one behind the other, [sum of tokens, ...] or, pooled, [lines, 2P]; offsets.npy [lines
 * + 1], where the rows of each line begin; lines.npy [lines], its number. The arrays grow; their
 * heads, which say how long they are, are written last, into room that is left for them. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "append_file.h"
#include "error.h"
#include "sink.h"

#define HEAD_BYTES 128 /* a multiple of 64, as numpy has it */

struct sink {
    const struct sink_setup *setup;
    struct append_file outputs[LAYOUT_MAX_OUTPUTS], offsets, lines;
    uint64_t n_tokens, n_lines;
};

static void sink_free(struct sink *s)
{
    if (!s)
        return;
    for (size_t k = 0; k < ARRAY_LEN(s->outputs); k++)
        append_file_done(&s->outputs[k]);
    append_file_done(&s->offsets);
    append_file_done(&s->lines);
    free(s);
}
DEFINE_AUTO(sink_free, struct sink *);

/* ---- Opening ---- */

static int open_array(struct append_file *ret_file, const struct sink *s, const char *name,
                      uint64_t n_rows, uint64_t row_bytes, struct elmo_error *err)
{
    static const char head[HEAD_BYTES];
    char relative[64];
    snprintf(relative, sizeof relative, WORK_FOLDER_RESULT "/%s.npy", name);
    AUTO(mem_free) char *path = work_folder_path(s->setup->folder, relative);
    if (!path)
        return elmo_fail_nomem(err);
    bool begins = !s->n_lines;
    int r = append_file_open(ret_file, path, begins ? 0 : HEAD_BYTES + n_rows * row_bytes, err);
    return r || !begins ? r : append_file_write(ret_file, head, sizeof head, err);
}

/* Bytes of what a token, or a pooled sentence, adds to output k. */
static uint64_t row_bytes(const struct sink *s, size_t k)
{
    return layout_output_floats(s->setup->layout, k, 1) * sizeof(float);
}

static bool is_pooled(const struct sink *s, size_t k)
{
    return s->setup->layout->outputs[k].kind == LAYOUT_POOLED;
}

static int open_arrays(struct sink *s, struct elmo_error *err)
{
    AUTO(mem_free) char *result = work_folder_path(s->setup->folder, WORK_FOLDER_RESULT);
    if (!result)
        return elmo_fail_nomem(err);
    mkdir(result, 0777); /* where it is not there, opening a file in it says why */
    int r = 0;
    for (size_t k = 0; !r && k < s->setup->layout->n_outputs; k++)
        r = open_array(&s->outputs[k], s, s->setup->layout->outputs[k].name,
                       is_pooled(s, k) ? s->n_lines : s->n_tokens, row_bytes(s, k), err);
    if (!r)
        r = open_array(&s->lines, s, "lines", s->n_lines, sizeof(uint64_t), err);
    if (!r)
        r = open_array(&s->offsets, s, "offsets", s->n_lines + 1, sizeof(uint64_t), err);
    if (!r && !s->n_lines)
        r = append_file_write(&s->offsets, &s->n_tokens, sizeof s->n_tokens, err);
    return r;
}

static int npy_open(struct sink **ret_sink, const struct sink_setup *setup, const json_t *state,
                    struct elmo_error *err)
{
    AUTO(sink_free) struct sink *s = calloc(1, sizeof *s);
    json_int_t n_tokens = 0, n_lines = 0;
    if (!s)
        return elmo_fail_nomem(err);
    if (state &&
        (json_unpack((json_t *)state, "{s:I, s:I}", "tokens", &n_tokens, "lines", &n_lines) ||
         n_tokens < 0 || n_lines < 0))
        return elmo_fail(err, ELMO_E_FORMAT, "the checkpoint lacks a member");
    s->setup = setup;
    s->n_tokens = (uint64_t)n_tokens;
    s->n_lines = (uint64_t)n_lines;
    int r = open_arrays(s, err);
    if (!r)
        *ret_sink = STEAL(s);
    return r;
}

/* ---- Lines ---- */

/* [1 + L, T, 2P] as [T, 1 + L, 2P]: an array grows along its first dimension alone. */
static int add_all_layers(struct sink *s, const float *values, size_t n_tokens,
                          struct elmo_error *err)
{
    const struct layout *layout = s->setup->layout;
    size_t width = layout->layer_dim;
    int r = 0;
    for (size_t t = 0; t < n_tokens; t++)
        for (size_t layer = 0; !r && layer <= layout->n_layers; layer++)
            r = append_file_write(&s->outputs[0], values + (layer * n_tokens + t) * width,
                                  width * sizeof *values, err);
    return r;
}

static int add_line(struct sink *s, const struct line *line, const float *values,
                    struct elmo_error *err)
{
    const struct layout *layout = s->setup->layout;
    int r = 0;
    for (size_t k = 0; !r && k < layout->n_outputs; k++) {
        size_t n = layout_output_floats(layout, k, line->n_tokens);
        r = layout->outputs[k].kind == LAYOUT_ALL
                ? add_all_layers(s, values, line->n_tokens, err)
                : append_file_write(&s->outputs[k], values, n * sizeof *values, err);
        values += n;
    }
    s->n_tokens += line->n_tokens;
    s->n_lines++;
    if (!r)
        r = append_file_write(&s->lines, &line->number, sizeof line->number, err);
    return r ? r : append_file_write(&s->offsets, &s->n_tokens, sizeof s->n_tokens, err);
}

static int npy_add(struct sink *s, const struct block *block, struct elmo_error *err)
{
    int r = 0;
    for (size_t k = 0; !r && k < block->n_lines; k++)
        r = add_line(s, &block->lines[k], block->values + block->lines[k].values_at, err);
    return r;
}

/* ---- Checkpoints ---- */

static int npy_checkpoint(struct sink *s, bool closing, json_t **ret_state, struct elmo_error *err)
{
    (void)closing;
    int r = append_file_sync(&s->offsets, err);
    if (!r)
        r = append_file_sync(&s->lines, err);
    for (size_t k = 0; !r && k < s->setup->layout->n_outputs; k++)
        r = append_file_sync(&s->outputs[k], err);
    if (r)
        return r;
    *ret_state =
        json_pack("{s:I, s:I}", "tokens", (json_int_t)s->n_tokens, "lines", (json_int_t)s->n_lines);
    return *ret_state ? 0 : elmo_fail_nomem(err);
}

/* ---- The end ---- */

static int write_head(struct append_file *file, const char *type, uint64_t n_rows,
                      const size_t *dims, size_t n_dims, struct elmo_error *err)
{
    char head[HEAD_BYTES + 1], shape[64];
    size_t n = (size_t)snprintf(shape, sizeof shape, "%llu,", (unsigned long long)n_rows);
    for (size_t d = 0; d < n_dims; d++)
        n += (size_t)snprintf(shape + n, sizeof shape - n, " %zu,", dims[d]);
    if (n_dims)
        shape[n - 1] = '\0'; /* a tuple of one alone ends in a comma */
    snprintf(head, sizeof head, "\x93NUMPY\1%c%c%c%-*s\n", 0, HEAD_BYTES - 10, 0, HEAD_BYTES - 11,
             "");
    char *dictionary = head + 10;
    int n_dictionary =
        snprintf(dictionary, HEAD_BYTES - 11,
                 "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, shape);
    dictionary[n_dictionary] = ' ';
    int r = append_file_patch(file, 0, head, HEAD_BYTES, err);
    return r ? r : append_file_sync(file, err);
}

static int end_output(struct sink *s, size_t k, struct elmo_error *err)
{
    const struct layout *layout = s->setup->layout;
    bool all = layout->outputs[k].kind == LAYOUT_ALL;
    size_t n_layers = 1 + layout->n_layers,
           width = layout_output_floats(layout, k, 1) / (all ? n_layers : 1);
    const size_t dims[] = {n_layers, width};
    return write_head(&s->outputs[k], "<f4", is_pooled(s, k) ? s->n_lines : s->n_tokens,
                      all ? dims : dims + 1, all ? 2 : 1, err);
}

static int npy_finish(struct sink *s, struct elmo_error *err)
{
    int r = write_head(&s->offsets, "<i8", s->n_lines + 1, NULL, 0, err);
    if (!r)
        r = write_head(&s->lines, "<i8", s->n_lines, NULL, 0, err);
    for (size_t k = 0; !r && k < s->setup->layout->n_outputs; k++)
        r = end_output(s, k, err);
    return r ? r : work_folder_publish(s->setup->folder, WORK_FOLDER_RESULT, err);
}

const struct sink_kind sink_npy = {
    .name = "npy",
    .open = npy_open,
    .add = npy_add,
    .checkpoint = npy_checkpoint,
    .finish = npy_finish,
    .free = sink_free,
};

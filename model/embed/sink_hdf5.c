/* The layout of AllenNLP's `elmo` command: a dataset a line, named by the line's number or its
 * sentence; with outputs of the service's names, in a group of that name. */
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "hdf5_rows.h"
#include "sentence_index.h"
#include "sink.h"

#define STRINGS_NAME "sentence_to_index"

struct sink {
    const struct sink_setup *setup;
    struct hdf5_rows *rows;
    bool has_index;
    struct sentence_index index;
    char *index_path;
    /* Owned. A file that is made again after a kill takes the other of two names. */
    char *data[2], *list[2];
    unsigned generation; /* the file in use has name generation % 2 */
    uint64_t n_skipped;
};

static struct hdf5_rows_paths paths_of(const struct sink *s, unsigned generation)
{
    return (struct hdf5_rows_paths){s->data[generation % 2], s->list[generation % 2]};
}

static void sink_free(struct sink *s)
{
    if (!s)
        return;
    hdf5_rows_free(s->rows);
    sentence_index_done(&s->index);
    free(s->index_path);
    for (size_t k = 0; k < 2; k++) {
        free(s->data[k]);
        free(s->list[k]);
    }
    free(s);
}
DEFINE_AUTO(sink_free, struct sink *);

static int name_files(struct sink *s, struct elmo_error *err)
{
    const struct work_folder *folder = s->setup->folder;
    s->data[0] = work_folder_path(folder, "data.hdf5");
    s->data[1] = work_folder_path(folder, "data-again.hdf5");
    s->list[0] = work_folder_path(folder, "rows");
    s->list[1] = work_folder_path(folder, "rows-again");
    s->index_path = work_folder_path(folder, "sentences.json");
    bool ok = s->data[0] && s->data[1] && s->list[0] && s->list[1] && s->index_path;
    return ok ? 0 : elmo_fail_nomem(err);
}

/* ---- Opening ---- */

struct saved {
    json_int_t generation, rows_bytes, n_skipped, index_bytes, index_begin, index_objects;
    int closed;
};

static int read_saved(struct saved *ret, const json_t *state, struct elmo_error *err)
{
    struct saved s = {0};
    if (state && json_unpack((json_t *)state, "{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "generation",
                             &s.generation, "rows_bytes", &s.rows_bytes, "skipped", &s.n_skipped,
                             "index_bytes", &s.index_bytes, "index_begin", &s.index_begin,
                             "index_objects", &s.index_objects, "closed", &s.closed))
        return elmo_fail(err, ELMO_E_FORMAT, "the checkpoint lacks a member");
    if (s.generation < 0 || s.generation > 1 || s.rows_bytes < 0 || s.n_skipped < 0 ||
        s.index_bytes < 0 || s.index_begin < 0 || s.index_objects < 0)
        return elmo_fail(err, ELMO_E_FORMAT, "the checkpoint has a negative number");
    *ret = s;
    return 0;
}

static int open_rows(struct sink *s, const struct saved *saved, bool goes_on,
                     struct elmo_error *err)
{
    unsigned before = (unsigned)saved->generation;
    const struct hdf5_rows_paths paths = paths_of(s, before), other = paths_of(s, before + 1);
    uint64_t rows_bytes = (uint64_t)saved->rows_bytes;
    s->generation = before;
    if (!goes_on)
        return hdf5_rows_create(&s->rows, s->setup->layout, &paths, err);
    if (saved->closed)
        return hdf5_rows_reopen(&s->rows, s->setup->layout, &paths, rows_bytes, err);
    s->generation = (before + 1) % 2;
    return hdf5_rows_rebuild(&s->rows, s->setup->layout, &other, &paths, rows_bytes, err);
}

static int hdf5_open(struct sink **ret_sink, const struct sink_setup *setup, const json_t *state,
                     struct elmo_error *err)
{
    AUTO(sink_free) struct sink *s = calloc(1, sizeof *s);
    struct saved saved = {0};
    if (!s)
        return elmo_fail_nomem(err);
    s->setup = setup;
    s->has_index = !setup->sentence_keys && !setup->forget_sentences;
    int r = name_files(s, err);
    if (!r)
        r = read_saved(&saved, state, err);
    if (r)
        return r;
    s->n_skipped = (uint64_t)saved.n_skipped;
    const struct sentence_index_mark mark = {
        (uint64_t)saved.index_bytes, (uint64_t)saved.index_begin, (uint64_t)saved.index_objects};
    if (s->has_index)
        r = sentence_index_open(&s->index, s->index_path, 0, &mark, err);
    if (!r)
        r = open_rows(s, &saved, state != NULL, err);
    if (!r)
        *ret_sink = STEAL(s);
    return r;
}

/* ---- Lines ---- */

static int add_line(struct sink *s, const struct line *line, const float *values,
                    struct elmo_error *err)
{
    const char *text;
    size_t n_bytes;
    bool is_there;
    line_sentence(line, &text, &n_bytes);
    int r = hdf5_rows_add(s->rows, line->number, s->setup->sentence_keys ? text : NULL, n_bytes,
                          line->n_tokens, values, &is_there, err);
    if (!r)
        s->n_skipped += is_there;
    return r || !s->has_index ? r : sentence_index_add(&s->index, text, n_bytes, line->number, err);
}

static int hdf5_add(struct sink *s, const struct block *block, struct elmo_error *err)
{
    int r = 0;
    for (size_t k = 0; !r && k < block->n_lines; k++)
        r = add_line(s, &block->lines[k], block->values + block->lines[k].values_at, err);
    return r;
}

static uint64_t hdf5_n_skipped(const struct sink *s)
{
    return s->n_skipped;
}

/* ---- Checkpoints ---- */

static int hdf5_checkpoint(struct sink *s, bool closing, json_t **ret_state, struct elmo_error *err)
{
    struct sentence_index_mark mark = {0};
    uint64_t rows_bytes = 0;
    int r = hdf5_rows_sync(s->rows, &rows_bytes, err);
    if (!r && closing)
        r = hdf5_rows_close(s->rows, NULL, NULL, 0, err);
    if (!r && s->has_index) {
        mark = sentence_index_mark(&s->index);
        r = append_file_sync(&s->index.file, err);
    }
    if (r)
        return r;
    *ret_state = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "generation",
                           (json_int_t)s->generation, "rows_bytes", (json_int_t)rows_bytes,
                           "skipped", (json_int_t)s->n_skipped, "index_bytes",
                           (json_int_t)mark.n_bytes, "index_begin", (json_int_t)mark.object_begin,
                           "index_objects", (json_int_t)mark.n_objects, "closed", closing);
    return *ret_state ? 0 : elmo_fail_nomem(err);
}

static void hdf5_saved(struct sink *s)
{
    const struct hdf5_rows_paths other = paths_of(s, s->generation + 1);
    unlink(other.data);
    unlink(other.rows);
}

static int hdf5_finish(struct sink *s, struct elmo_error *err)
{
    int r = s->has_index ? sentence_index_finish(&s->index, err) : 0;
    if (!r)
        r = hdf5_rows_close(s->rows, STRINGS_NAME, s->index_path,
                            s->has_index ? s->index.n_objects : 0, err);
    const char *data = paths_of(s, s->generation).data;
    return r ? r : work_folder_publish(s->setup->folder, strrchr(data, '/') + 1, err);
}

const struct sink_kind sink_hdf5 = {
    .name = "hdf5",
    .open = hdf5_open,
    .add = hdf5_add,
    .checkpoint = hdf5_checkpoint,
    .saved = hdf5_saved,
    .finish = hdf5_finish,
    .n_skipped = hdf5_n_skipped,
    .free = sink_free,
};

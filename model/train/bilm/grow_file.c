#include "grow_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "common/model_replace.h"
#include "error.h"
#include "file/model_file.h"
#include "grow.h"
#include "inference/lm_softmax.h"
#include "provenance.h"
#include "util/atomic_file.h"
#include "util/mapped_file.h"

#define REAL_DIGITS 15 /* every decimal number of so many digits is written as it was read */
#define SEED_DIGITS 16 /* of the digest, hexadecimal */

struct file { /* owned: file_done; {0} is none */
    struct mapped_file mapping;
    struct safetensors *tensors;
};

/* Everything of a job; growing_done frees. */
struct growing {
    const struct grow_job *job;
    struct file source, softmax;
    char digest[65]; /* of the source */
    struct growth growth;
    struct st_tensor *tensors; /* [n_tensors] of the new file */
    unsigned char **grown;     /* [n_tensors] owned bytes of those that grow */
    size_t n_tensors;
    char *options_json, *provenance;
};

/* ---- Files ---- */

static void file_done(struct file *f)
{
    safetensors_free(f->tensors);
    mapped_file_close(&f->mapping);
    *f = (struct file){0};
}

/* On failure the file still needs file_done. */
static int file_open(struct file *f, const char *path, struct elmo_error *err)
{
    int r = mapped_file_open(&f->mapping, path, err);
    return r ? r : safetensors_parse(&f->tensors, f->mapping.bytes, f->mapping.n_bytes, err);
}

static void growing_done(struct growing *g)
{
    for (size_t k = 0; g->grown && k < g->n_tensors; k++)
        free(g->grown[k]);
    free(g->grown);
    free(g->tensors);
    free(g->options_json);
    free(g->provenance);
    growth_done(&g->growth);
    file_done(&g->softmax);
    file_done(&g->source);
}

/* The file's metadata with other values for some keys, which it need not have; free() them. */
static int change_metadata(struct st_metadata **ret_entries, size_t *ret_n,
                           const struct safetensors *file, const struct st_metadata *changes,
                           size_t n_changes, struct elmo_error *err)
{
    size_t n = safetensors_n_metadata(file);
    struct st_metadata *entries = calloc(n + n_changes, sizeof *entries);
    if (!entries)
        return elmo_fail_nomem(err);
    safetensors_all_metadata(entries, file);
    for (size_t k = 0; k < n_changes; k++) {
        size_t at = 0;
        while (at < n && strcmp(entries[at].key, changes[k].key))
            at++;
        entries[at] = changes[k];
        n = at == n ? n + 1 : n;
    }
    *ret_entries = entries;
    *ret_n = n;
    return 0;
}

static bool is_checkpoint(const struct growing *g)
{
    return safetensors_metadata(g->source.tensors, META_STATE);
}

static int open_source(struct growing *g, struct elmo_error *err)
{
    int r = file_open(&g->source, g->job->model, err);
    if (r)
        return r;
    if (!safetensors_metadata(g->source.tensors, META_OPTIONS))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "'%.200s' has no options in it: neither a checkpoint nor a model file",
                         g->job->model);
    return bilm_digest(g->digest, g->source.tensors, err);
}

/* ---- What becomes of the metadata ---- */

/* options.json with other cells. */
static int change_options(char **ret_json, const char *json, size_t n_cells, struct elmo_error *err)
{
    json_auto_t *root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    if (json_object_set_new(json_object_get(root, "lstm"), "dim",
                            json_integer((json_int_t)n_cells)))
        return elmo_fail_nomem(err);
    *ret_json = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
    return *ret_json ? 0 : elmo_fail_nomem(err);
}

/* The array of what a file has been through, with one more growth; NULL: out of memory. */
static json_t *history(const char *provenance, const struct growing *g)
{
    json_auto_t *object = json_loads(provenance, 0, NULL);
    json_t *before = json_object_get(object, "grown");
    json_auto_t *grown = json_is_array(before) ? json_incref(before) : json_array();
    if (json_array_append_new(grown, json_pack("{s:I, s:I, s:s}", "from_cells",
                                               (json_int_t)g->growth.n_cells, "to_cells",
                                               (json_int_t)g->job->n_cells, "from_bilm_sha256",
                                               g->digest)))
        return NULL;
    return json_incref(grown);
}

static int describe(struct growing *g, struct elmo_error *err)
{
    const char *found = safetensors_metadata(g->source.tensors, META_PROVENANCE);
    const char *provenance = found ? found : "{}";
    return provenance_add(&g->provenance, provenance, "grown", history(provenance, g), err);
}

/* ---- Growing ---- */

static int plan(struct growing *g, struct elmo_error *err)
{
    const char *json = safetensors_metadata(g->source.tensors, META_OPTIONS);
    struct options from, to;
    struct elmo_error too_many = {0};
    char seed[SEED_DIGITS + 1] = {0};
    memcpy(seed, g->digest, SEED_DIGITS);
    int r = options_parse(&from, json, err);
    if (!r)
        r = growth_init(&g->growth, &from, g->job->n_cells, strtoull(seed, NULL, 16), err);
    if (!r)
        r = growth_check(&g->growth, g->source.tensors, err);
    if (!r)
        r = change_options(&g->options_json, json, g->job->n_cells, err);
    if (!r && options_parse(&to, g->options_json, &too_many))
        r = elmo_fail(err, ELMO_E_INVALID, "cannot grow to --cells %zu: %s", g->job->n_cells,
                      too_many.message);
    return r ? r : describe(g, err);
}

static int grow_tensors(struct growing *g, struct elmo_error *err)
{
    size_t n = safetensors_n_tensors(g->source.tensors);
    g->tensors = calloc(n + 1, sizeof *g->tensors);
    g->grown = calloc(n + 1, sizeof *g->grown);
    if (!g->tensors || !g->grown)
        return elmo_fail_nomem(err);
    g->n_tensors = n;
    int r = 0;
    for (size_t k = 0; k < n && !r; k++)
        r = growth_tensor(&g->tensors[k], &g->grown[k], &g->growth,
                          safetensors_tensor(g->source.tensors, k), err);
    return r;
}

static int write_grown(void *arg, const char *path, struct elmo_error *err)
{
    const struct growing *g = arg;
    const struct st_metadata changes[] = {{META_OPTIONS, g->options_json},
                                          {META_PROVENANCE, g->provenance}};
    AUTO(mem_free) struct st_metadata *metadata = NULL;
    size_t n = 0;
    int r = change_metadata(&metadata, &n, g->source.tensors, changes, ARRAY_LEN(changes), err);
    return r ? r : safetensors_write(path, g->tensors, g->n_tensors, metadata, n, err);
}

/* ---- The softmax ---- */

static int check_softmax(const struct growing *g, struct elmo_error *err)
{
    struct lm_softmax_file f = {0};
    const struct mapped_file *mapping = &g->softmax.mapping;
    int r = lm_softmax_file_open(&f, mapping->bytes, mapping->n_bytes, err);
    if (!r && strcmp(f.bilm_sha256, g->digest))
        r = elmo_fail(err, ELMO_E_INVALID,
                      "the softmax '%.120s' was trained with another biLM than that of '%.120s'",
                      g->job->softmax, g->job->model);
    lm_softmax_file_done(&f);
    return r;
}

/* What may be wrong is found before anything is written. */
static int open_softmax(struct growing *g, struct elmo_error *err)
{
    if (!g->job->softmax)
        return 0;
    if (is_checkpoint(g))
        return elmo_fail(err, ELMO_E_INVALID,
                         "--softmax goes with a model file: the checkpoint '%.200s' has its own",
                         g->job->model);
    int r = file_open(&g->softmax, g->job->softmax, err);
    if (!r)
        r = check_softmax(g, err);
    return r ? r : atomic_file_check(g->job->softmax_out, err);
}

static int write_softmax(const struct growing *g, struct elmo_error *err)
{
    const struct safetensors *softmax = g->softmax.tensors;
    const struct st_tensor tensors[] = {*safetensors_find(softmax, SOFTMAX_B),
                                        *safetensors_find(softmax, SOFTMAX_W)};
    AUTO(mem_free) struct st_metadata *metadata = NULL;
    struct file grown = {0};
    char digest[65];
    size_t n = 0;
    int r = file_open(&grown, g->job->out, err);
    if (!r)
        r = bilm_digest(digest, grown.tensors, err);
    file_done(&grown);
    if (r)
        return r;
    const struct st_metadata change = {META_BILM_SHA256, digest};
    r = change_metadata(&metadata, &n, softmax, &change, 1, err);
    return r ? r
             : safetensors_write(g->job->softmax_out, tensors, ARRAY_LEN(tensors), metadata, n,
                                 err);
}

/* ---- All of it ---- */

static int run(struct growing *g, struct elmo_error *err)
{
    int r = open_source(g, err);
    if (!r)
        r = open_softmax(g, err);
    if (!r)
        r = plan(g, err);
    if (!r)
        r = grow_tensors(g, err);
    if (!r)
        r = is_checkpoint(g) ? write_grown(g, g->job->out, err)
                             : model_replace(g->job->out, write_grown, g, err);
    return r || !g->job->softmax ? r : write_softmax(g, err);
}

int grow_file(const struct grow_job *job, struct elmo_error *err)
{
    struct growing g = {.job = job};
    int r = run(&g, err);
    growing_done(&g);
    return r;
}

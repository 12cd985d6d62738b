/* Opening a model: map the file, check the container, the metadata and every tensor, name what is
 * wrong. */
#include "model.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bilstm.h"
#include "error.h"
#include "file/model_file.h"
#include "head_explain.h"
#include "kernels/kernels.h"
#include "text/vocabulary.h"
#include "util/sha256.h"

#define MAX_NAME_BYTES 128
#define MAX_LABELS     1024

DEFINE_AUTO(elmo_model_free, struct elmo_model *);

static void hash_file(char ret_hex[65], const void *bytes, size_t n_bytes)
{
    struct sha256 sha;
    sha256_begin(&sha);
    sha256_add(&sha, bytes, n_bytes);
    sha256_end(&sha, ret_hex);
}

/* ---- Metadata ---- */

static int require(const struct elmo_model *m, const char *key, const char **ret,
                   struct elmo_error *err)
{
    *ret = safetensors_metadata(m->file, key);
    if (!*ret)
        return elmo_fail(err, ELMO_E_FORMAT, "__metadata__ has no '%s': not an elmod model file",
                         key);
    return 0;
}

static int read_name(struct elmo_model *m, struct elmo_error *err)
{
    int r = require(m, META_NAME, &m->info.name, err);
    if (r)
        return r;
    size_t n = strlen(m->info.name);
    for (size_t k = 0; k < n; k++)
        if ((unsigned char)m->info.name[k] < 0x20 || m->info.name[k] == 0x7f)
            n = 0;
    if (n < 1 || n > MAX_NAME_BYTES)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_NAME
                         "' must have 1 to %d bytes and no control characters",
                         MAX_NAME_BYTES);
    return 0;
}

static int read_provenance(struct elmo_model *m, struct elmo_error *err)
{
    const char *text = safetensors_metadata(m->file, META_PROVENANCE);
    m->info.provenance = text ? text : "{}";
    json_auto_t *json = json_loads(m->info.provenance, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_PROVENANCE "' is not a JSON object");
    return 0;
}

static int read_tokenizer(struct elmo_model *m, struct elmo_error *err)
{
    int r = require(m, META_TOKENIZER, &m->info.tokenizer, err);
    if (!r && !tokenizer_from_name(&m->tokenizer, m->info.tokenizer))
        r = elmo_fail(err, ELMO_E_FORMAT,
                      "__metadata__ '" META_TOKENIZER
                      "': expected \"whitespace\" or \"unicode\", found \"%.32s\"",
                      m->info.tokenizer);
    return r;
}

static int read_metadata(struct elmo_model *m, struct elmo_error *err)
{
    const char *version = NULL;
    int r = require(m, META_FORMAT_VERSION, &version, err);
    if (!r && strcmp(version, MODEL_FORMAT_VERSION))
        r = elmo_fail(err, ELMO_E_FORMAT,
                      "__metadata__ '" META_FORMAT_VERSION "': expected " MODEL_FORMAT_VERSION
                      ", found %.16s (made by a newer version?)",
                      version);
    if (!r)
        r = read_name(m, err);
    if (!r)
        r = read_tokenizer(m, err);
    if (!r)
        r = read_provenance(m, err);
    if (!r)
        r = require(m, META_OPTIONS, &m->info.options, err);
    return r ? r : options_parse(&m->options, m->info.options, err);
}

/* ---- The sentiment head's labels and pooling ---- */

static int read_pooling(struct elmo_model *m, struct elmo_error *err)
{
    static const char *const names[] = {
        [ELMO_POOL_MEAN] = "mean", [ELMO_POOL_MAX] = "max", [ELMO_POOL_MEAN_MAX] = "mean_max"};
    const char *found = safetensors_metadata(m->file, META_POOLING);
    size_t k = 0;
    while (found && k < ARRAY_LEN(names) && strcmp(found, names[k]))
        k++;
    if (k == ARRAY_LEN(names))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_POOLING
                         "': expected \"mean\", \"max\" or \"mean_max\", found \"%.32s\"",
                         found);
    m->head_pooling = (enum elmo_pooling)k;
    const struct head_shape *shape = &m->weights.head.shape;
    size_t pooled_dim = head_pooled_dim(&m->options, shape->all_layers) *
                        (m->head_pooling == ELMO_POOL_MEAN_MAX ? 2 : 1);
    if (shape->input_dim != pooled_dim)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '%s': expected %zu rows for pooling \"%s\", "
                         "found %zu",
                         HEAD_DENSE_1_KERNEL, pooled_dim, names[k], shape->input_dim);
    return 0;
}

static int read_labels(struct elmo_model *m, struct elmo_error *err)
{
    const char *text = NULL;
    size_t outputs = m->weights.head.shape.output_dim, n_labels = outputs == 1 ? 2 : outputs;
    int r = require(m, META_LABELS, &text, err);
    if (r)
        return r;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    m->labels_json = json;
    if (n_labels > MAX_LABELS || json_array_size(json) != n_labels)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_LABELS
                         "': expected a JSON array of %zu strings (at most %d)",
                         n_labels, MAX_LABELS);
    m->labels = calloc(n_labels, sizeof *m->labels);
    if (!m->labels)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_labels; k++) {
        m->labels[k] = json_string_value(json_array_get(json, k));
        for (size_t j = 0; m->labels[k] && j < k; j++)
            if (!strcmp(m->labels[j], m->labels[k]))
                m->labels[k] = NULL;
        if (!m->labels[k] || !*m->labels[k])
            return elmo_fail(err, ELMO_E_FORMAT,
                             "__metadata__ '" META_LABELS
                             "': entry %zu is not a string, empty, or there twice",
                             k);
    }
    m->info.labels = m->labels;
    m->info.n_labels = n_labels;
    return 0;
}

static int read_head(struct elmo_model *m, struct elmo_error *err)
{
    if (!m->weights.head.present)
        return 0;
    int r = read_pooling(m, err);
    return r ? r : read_labels(m, err);
}

/* ---- The lexicon ---- */

static int read_lexicon(struct elmo_model *m, struct elmo_error *err)
{
    if (!m->weights.lexicon)
        return 0;
    int r = vocabulary_parse(&m->lexicon, safetensors_metadata(m->file, META_VOCABULARY), err);
    if (!r && m->lexicon.n_items != m->weights.n_lexicon)
        r = elmo_fail(err, ELMO_E_FORMAT,
                      "tensor '%s' has %zu rows for the %zu words of __metadata__ "
                      "'" META_VOCABULARY "'",
                      LEXICON_VECTORS, m->weights.n_lexicon, m->lexicon.n_items);
    return r;
}

/* ---- Opening ---- */

/* Products of weights: of a position in the softmax, and in the LSTMs. */
static size_t score_cost(const struct elmo_model *m)
{
    const struct options *o = &m->options;
    double P = (double)o->proj_dim, C = (double)o->cell_dim;
    double lstm = 2 * (double)o->n_layers * (8 * P * C + C * P);
    return (size_t)ceil(2 * P * (double)m->info.n_words / lstm);
}

static void fill_info(struct elmo_model *m)
{
    const struct options *o = &m->options;
    m->info.sha256 = m->sha256;
    m->info.dtype = m->weights.dtype;
    m->info.n_layers = o->n_layers;
    m->info.token_dim = o->proj_dim;
    m->info.layer_dim = 2 * o->proj_dim;
    m->info.cell_dim = o->cell_dim;
    m->info.state_floats = 2 * o->n_layers * (o->proj_dim + o->cell_dim);
    m->info.step_bytes = bilstm_step_bytes(&m->weights);
    m->info.n_parameters = m->weights.n_parameters;
    m->info.explained_by = m->weights.head.present ? head_explained_by(m) : NULL;
    m->info.n_words = language_model_n_words(m->lm);
    m->info.score_cost = score_cost(m);
}

/* settings NULL: float32 by the best kernel. */
static int choose_compute(struct compute *ret, struct elmo_model *m,
                          const struct elmo_model_settings *settings, struct elmo_error *err)
{
    const char *name = settings && settings->kernel ? settings->kernel : "";
    enum elmo_dtype dtype = settings ? settings->dtype : ELMO_DTYPE_F32;
    const struct kernel *kernel = kernel_find(name);
    if (!kernel)
        return elmo_fail(err, ELMO_E_INVALID,
                         "no kernel '%.32s' on this processor: the best here is '%s'", name,
                         cpu_set_name(kernel_find("")->set));
    m->info.compute_dtype = elmo_dtype_name(dtype);
    m->info.kernel = cpu_set_name(kernel->set);
    *ret = (struct compute){kernel->tile, dtype};
    return 0;
}

static int load(struct elmo_model *m, const void *bytes, size_t n_bytes,
                const struct elmo_model_settings *settings, struct elmo_error *err)
{
    struct compute how;
    kernels_init();
    int r = choose_compute(&how, m, settings, err);
    if (!r)
        r = safetensors_parse(&m->file, bytes, n_bytes, err);
    if (!r)
        r = read_metadata(m, err);
    if (!r)
        r = weights_init(&m->weights, &m->options, m->file, &how, err);
    if (!r)
        r = read_head(m, err);
    if (!r)
        r = read_lexicon(m, err);
    if (!r && settings && settings->softmax && *settings->softmax)
        r = language_model_open(&m->lm, settings->softmax, m->file, m->options.proj_dim, &how, err);
    if (r)
        return r;
    hash_file(m->sha256, bytes, n_bytes);
    fill_info(m);
    return word_cache_new(&m->words, settings ? settings->word_cache_bytes : 0, m->options.proj_dim,
                          m->options.max_chars - 2, err);
}

int elmo_model_open_memory(struct elmo_model **ret_model, const void *bytes, size_t n_bytes,
                           const struct elmo_model_settings *settings, struct elmo_error *err)
{
    AUTO(elmo_model_free) struct elmo_model *m = calloc(1, sizeof *m);
    if (!m)
        return elmo_fail_nomem(err);
    int r = load(m, bytes, n_bytes, settings, err);
    if (!r)
        *ret_model = STEAL(m);
    return r;
}

int elmo_model_open(struct elmo_model **ret_model, const char *path,
                    const struct elmo_model_settings *settings, struct elmo_error *err)
{
    AUTO(elmo_model_free) struct elmo_model *m = calloc(1, sizeof *m);
    if (!m)
        return elmo_fail_nomem(err);
    int r = mapped_file_open(&m->mapping, path, err);
    if (!r)
        r = load(m, m->mapping.bytes, m->mapping.n_bytes, settings, err);
    if (r)
        return r;
    mapped_file_drop_pages(m->mapping.bytes, m->mapping.n_bytes); /* most of it is packed now */
    *ret_model = STEAL(m);
    return r;
}

void elmo_model_free(struct elmo_model *m)
{
    if (!m)
        return;
    weights_done(&m->weights);
    word_table_done(&m->lexicon);
    word_cache_free(m->words);
    language_model_free(m->lm);
    safetensors_free(m->file);
    free(m->labels);
    json_decref(m->labels_json);
    mapped_file_close(&m->mapping);
    free(m);
}

const struct elmo_model_info *elmo_model_info(const struct elmo_model *model)
{
    return &model->info;
}

struct elmo_cache_stats elmo_model_cache_stats(const struct elmo_model *model)
{
    return word_cache_stats(model->words);
}

bool elmo_model_knows(const struct elmo_model *model, const struct elmo_token *word)
{
    return model->lm && language_model_row(model->lm, word) != VOCAB_UNKNOWN;
}

size_t elmo_pooled_dim(const struct elmo_model *model, enum elmo_pooling pooling)
{
    return (pooling == ELMO_POOL_MEAN_MAX ? 4 : 2) * model->options.proj_dim;
}

int elmo_tokenize(const struct elmo_model *model, const char *text, size_t n_bytes,
                  struct elmo_token **ret_tokens, size_t *ret_n_tokens, struct elmo_error *err)
{
    return tokenize(model->tokenizer, text, n_bytes, ret_tokens, ret_n_tokens, err);
}

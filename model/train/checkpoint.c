#include "checkpoint.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "mapped_file.h"
#include "model_file.h"
#include "safetensors.h"

#ifdef TRAIN_DOUBLE
#error "checkpoints hold float32: this file is not part of the double build"
#endif

/* An array of a checkpoint with the layout of the net, or of its dense tensors only, and what its
 * tensors' names begin with. */
struct part {
    const char *prefix;
    enum st_dtype dtype; /* of the array and of the file: ST_F32 or ST_BF16 */
    void *flat;
    bool dense_only;
};

/* An array with an element for each word. */
struct row_part {
    const char *name;
    real *values; /* [n_vocab] */
};

#define MAX_PARTS     3
#define MAX_ROW_PARTS 2

static size_t parts_of(const struct checkpoint *c, struct part parts[static MAX_PARTS])
{
    const struct optimizer *o = c->optimizer;
    parts[0] = (struct part){"", ST_F32, c->values, false};
    if (!o)
        return 1;
    bool compact = o->moments == MOMENTS_COMPACT;
    parts[1] = compact ? (struct part){"adam/first/", ST_BF16, o->compact_first, true}
                       : (struct part){"adam/first/", ST_F32, o->first, false};
    parts[2] = compact ? (struct part){"adam/second/", ST_BF16, o->compact_second, true}
                       : (struct part){"adam/second/", ST_F32, o->second, false};
    return 3;
}

static size_t row_parts_of(const struct checkpoint *c, struct row_part parts[static MAX_ROW_PARTS])
{
    const struct optimizer *o = c->optimizer;
    if (!o || o->moments != MOMENTS_COMPACT)
        return 0;
    parts[0] = (struct row_part){"adam/softmax/second", o->row_second};
    parts[1] = (struct row_part){"adam/softmax/steps", o->row_steps};
    return 2;
}

/* Tensors of the net that a part has: all, or those before the softmax. */
static size_t n_tensors_of(const struct part *part, const struct net *net)
{
    return part->dense_only ? net->specs.n_items - 2 : net->specs.n_items;
}

/* ---- State ---- */

static char *state_text(const struct checkpoint *c)
{
    const struct train_state *s = c->state;
    const struct train_settings *how = &s->settings;
    json_auto_t *json = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:s, s:s, s:{s:I, s:I, s:I, s:s, s:f, s:f, s:f, "
        "s:I}}",
        "n_steps", (json_int_t)s->n_steps, "n_tokens", (json_int_t)s->n_tokens, "epoch",
        (json_int_t)s->epoch, "next_batch", (json_int_t)s->next_batch, "seed", (json_int_t)s->seed,
        "optimizer_steps", (json_int_t)(c->optimizer ? c->optimizer->n_steps : 0), "seconds",
        s->seconds, "corpus_sha256", s->corpus_sha256, "heldout_sha256", s->heldout_sha256,
        "init_sha256", s->init_sha256, "settings", "batch_tokens", (json_int_t)how->batch_tokens,
        "n_samples", (json_int_t)how->n_samples, "threads", (json_int_t)how->threads, "precision",
        precision_name(how->precision), "dropout", how->dropout, "learning_rate",
        how->learning_rate, "max_norm", how->max_norm, "tokens", (json_int_t)how->tokens);
    return json ? json_dumps(json, JSON_COMPACT) : NULL;
}

/* Files that older trainers wrote have none of these. */
static int read_optional(struct train_state *s, json_t *json)
{
    json_int_t batch_tokens = 0, n_samples = 0, threads = 0, tokens = 0;
    const char *init = "", *precision = precision_name(PRECISION_F32);
    struct train_settings how = {0};
    if (json_unpack(json, "{s?s, s?{s:I, s:I, s:I, s?s, s:F, s:F, s:F, s:I}}", "init_sha256", &init,
                    "settings", "batch_tokens", &batch_tokens, "n_samples", &n_samples, "threads",
                    &threads, "precision", &precision, "dropout", &how.dropout, "learning_rate",
                    &how.learning_rate, "max_norm", &how.max_norm, "tokens", &tokens) ||
        !precision_parse(&how.precision, precision))
        return -1;
    how.batch_tokens = (uint64_t)batch_tokens;
    how.n_samples = (uint64_t)n_samples;
    how.threads = (uint64_t)threads;
    how.tokens = (uint64_t)tokens;
    s->settings = how;
    snprintf(s->init_sha256, sizeof s->init_sha256, "%s", init);
    return 0;
}

static int read_state(const struct checkpoint *c, const char *text, struct elmo_error *err)
{
    json_int_t n_steps, n_tokens, epoch, next_batch, seed, optimizer_steps;
    const char *corpus, *heldout;
    struct train_state optional = {0};
    double seconds;
    json_auto_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!json ||
        json_unpack(json, "{s:I, s:I, s:I, s:I, s:I, s:I, s:F, s:s, s:s}", "n_steps", &n_steps,
                    "n_tokens", &n_tokens, "epoch", &epoch, "next_batch", &next_batch, "seed",
                    &seed, "optimizer_steps", &optimizer_steps, "seconds", &seconds,
                    "corpus_sha256", &corpus, "heldout_sha256", &heldout) ||
        n_steps < 0 || n_tokens < 0 || epoch < 0 || next_batch < 0 || optimizer_steps < 0 ||
        read_optional(&optional, json))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_STATE "' is missing or wrong: not a checkpoint");
    *c->state = (struct train_state){
        .n_steps = (uint64_t)n_steps,
        .n_tokens = (uint64_t)n_tokens,
        .epoch = (uint64_t)epoch,
        .next_batch = (uint64_t)next_batch,
        .seed = (uint64_t)seed,
        .seconds = seconds,
        .settings = optional.settings,
    };
    memcpy(c->state->init_sha256, optional.init_sha256, sizeof optional.init_sha256);
    snprintf(c->state->corpus_sha256, sizeof c->state->corpus_sha256, "%s", corpus);
    snprintf(c->state->heldout_sha256, sizeof c->state->heldout_sha256, "%s", heldout);
    if (c->optimizer)
        c->optimizer->n_steps = (uint64_t)optimizer_steps;
    return 0;
}

/* ---- Writing ---- */

/* The tensors of one file, with their names. */
struct tensor_list {
    struct st_tensor *tensors;
    char (*names)[TENSOR_NAME_MAX];
    size_t n;
};

static struct st_tensor *add_tensor(struct tensor_list *list, const char *prefix, const char *name,
                                    enum st_dtype dtype, const void *data, size_t n_values)
{
    struct st_tensor *t = &list->tensors[list->n];
    snprintf(list->names[list->n], TENSOR_NAME_MAX, "%s%s", prefix, name);
    *t = (struct st_tensor){
        .name = list->names[list->n++],
        .dtype = dtype,
        .n_dims = 1,
        .dims = {n_values},
        .data = data,
        .n_bytes = n_values * st_dtype_bytes(dtype),
    };
    return t;
}

static void add_part(struct tensor_list *list, const struct part *part, const struct net *net)
{
    size_t n_tensors = n_tensors_of(part, net);
    for (size_t k = 0; k < n_tensors; k++) {
        const struct tensor_spec *spec = &net->specs.items[k];
        const unsigned char *data = part->flat;
        struct st_tensor *t = add_tensor(list, part->prefix, spec->name, part->dtype,
                                         data + net->offsets[k] * st_dtype_bytes(part->dtype),
                                         net->offsets[k + 1] - net->offsets[k]);
        t->n_dims = spec->n_dims;
        memcpy(t->dims, spec->dims, spec->n_dims * sizeof *spec->dims);
    }
}

int checkpoint_write(const char *path, const struct checkpoint *c, struct elmo_error *err)
{
    struct part parts[MAX_PARTS];
    struct row_part rows[MAX_ROW_PARTS];
    size_t n_parts = parts_of(c, parts), n_rows = row_parts_of(c, rows),
           most = n_parts * c->net->specs.n_items + n_rows;
    AUTO(mem_free) struct st_tensor *tensors = calloc(most, sizeof *tensors);
    AUTO(mem_free) char(*names)[TENSOR_NAME_MAX] = calloc(most, sizeof *names);
    AUTO(mem_free) char *state = state_text(c);
    struct tensor_list list = {tensors, names, 0};
    if (!tensors || !names || !state)
        return elmo_fail_nomem(err);
    for (size_t p = 0; p < n_parts; p++)
        if (parts[p].dtype == ST_F32)
            add_part(&list, &parts[p], c->net);
    for (size_t k = 0; k < n_rows; k++)
        add_tensor(&list, "", rows[k].name, ST_F32, rows[k].values, c->net->n_vocab);
    for (size_t p = 0; p < n_parts; p++) /* float32 first: they stay aligned */
        if (parts[p].dtype != ST_F32)
            add_part(&list, &parts[p], c->net);
    const struct st_metadata metadata[] = {
        {META_OPTIONS, c->options_json},
        {META_TOKENIZER, c->tokenizer},
        {META_VOCABULARY, c->vocabulary},
        {META_STATE, state},
    };
    return safetensors_write(path, tensors, list.n, metadata, ARRAY_LEN(metadata), err);
}

/* ---- Reading ---- */

/* n values of a tensor, which must have the array's own type. */
static int read_values(void *values, const struct safetensors *file, const char *prefix,
                       const char *tensor, enum st_dtype dtype, size_t n, struct elmo_error *err)
{
    char name[2 * TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s%s", prefix, tensor);
    const struct st_tensor *t = safetensors_find(file, name);
    if (!t || t->dtype != dtype || t->n_bytes != n * st_dtype_bytes(dtype))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "checkpoint: tensor '%s' is missing or not of %zu %s values%s", name, n,
                         dtype == ST_F32 ? "float32" : "bfloat16",
                         *prefix ? "; where another version of elmo-train wrote it, export the "
                                   "weights and start from them with --init"
                                 : "");
    memcpy(values, t->data, t->n_bytes);
    return 0;
}

static int read_part(const struct safetensors *file, const struct part *part, const struct net *net,
                     struct elmo_error *err)
{
    size_t n_tensors = n_tensors_of(part, net);
    int r = 0;
    for (size_t k = 0; k < n_tensors && !r; k++) {
        unsigned char *values = part->flat;
        r = read_values(values + net->offsets[k] * st_dtype_bytes(part->dtype), file, part->prefix,
                        net->specs.items[k].name, part->dtype,
                        net->offsets[k + 1] - net->offsets[k], err);
    }
    return r;
}

static bool same_json(const char *a, const char *b)
{
    json_auto_t *x = json_loads(a, 0, NULL), *y = json_loads(b, 0, NULL);
    return x && y && json_equal(x, y);
}

/* The same sizes are not enough: words in another order, or another tokeniser, would go on with the
 * wrong rows, and say nothing. */
static int check_same(const struct checkpoint *c, const struct safetensors *file,
                      struct elmo_error *err)
{
    const char *options = safetensors_metadata(file, META_OPTIONS), *other = NULL;
    const char *tokenizer = safetensors_metadata(file, META_TOKENIZER);
    const char *vocabulary = safetensors_metadata(file, META_VOCABULARY);
    if (c->options_json && (!options || !same_json(options, c->options_json)))
        other = "architecture (--options)";
    else if (c->tokenizer && (!tokenizer || strcmp(tokenizer, c->tokenizer)))
        other = "tokeniser (--tokenizer)";
    else if (c->vocabulary && (!vocabulary || strcmp(vocabulary, c->vocabulary)))
        other = "vocabulary (--vocab)";
    if (other)
        return elmo_fail(err, ELMO_E_INVALID, "cannot resume: the checkpoint has another %s",
                         other);
    return 0;
}

static int read_bytes(const struct checkpoint *c, const void *bytes, size_t n_bytes,
                      struct elmo_error *err)
{
    struct part parts[MAX_PARTS];
    struct row_part rows[MAX_ROW_PARTS];
    size_t n_parts = parts_of(c, parts), n_rows = row_parts_of(c, rows);
    AUTO(safetensors_free) struct safetensors *file = NULL;
    int r = safetensors_parse(&file, bytes, n_bytes, err);
    if (!r)
        r = check_same(c, file, err);
    for (size_t p = 0; p < n_parts && !r; p++)
        r = read_part(file, &parts[p], c->net, err);
    for (size_t k = 0; k < n_rows && !r; k++)
        r = read_values(rows[k].values, file, "", rows[k].name, ST_F32, c->net->n_vocab, err);
    return r ? r : read_state(c, safetensors_metadata(file, META_STATE), err);
}

int checkpoint_read(const char *path, const struct checkpoint *c, struct elmo_error *err)
{
    struct mapped_file mapping = {0};
    int r = mapped_file_open(&mapping, path, err);
    if (!r)
        r = read_bytes(c, mapping.bytes, mapping.n_bytes, err);
    mapped_file_close(&mapping);
    return r;
}

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

/* The flat arrays of a checkpoint and what their tensors' names begin with. */
struct part {
    const char *prefix;
    real *flat;
};

static size_t parts_of(const struct checkpoint *c, struct part parts[static 3])
{
    parts[0] = (struct part){"", c->values};
    if (!c->optimizer)
        return 1;
    parts[1] = (struct part){"adam/first/", c->optimizer->first};
    parts[2] = (struct part){"adam/second/", c->optimizer->second};
    return 3;
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

int checkpoint_write(const char *path, const struct checkpoint *c, struct elmo_error *err)
{
    struct part parts[3];
    const struct tensor_specs *specs = &c->net->specs;
    size_t n_parts = parts_of(c, parts), n = 0;
    AUTO(mem_free) struct st_tensor *tensors = calloc(n_parts * specs->n_items, sizeof *tensors);
    AUTO(mem_free) char *names = calloc(n_parts * specs->n_items, TENSOR_NAME_MAX);
    AUTO(mem_free) char *state = state_text(c);
    if (!tensors || !names || !state)
        return elmo_fail_nomem(err);
    for (size_t p = 0; p < n_parts; p++)
        for (size_t k = 0; k < specs->n_items; k++, n++) {
            const struct tensor_spec *spec = &specs->items[k];
            char *name = names + n * TENSOR_NAME_MAX;
            snprintf(name, TENSOR_NAME_MAX, "%s%s", parts[p].prefix, spec->name);
            tensors[n] = (struct st_tensor){
                .name = name,
                .dtype = ST_F32,
                .n_dims = spec->n_dims,
                .data = (const unsigned char *)(parts[p].flat + c->net->offsets[k]),
                .n_bytes = (c->net->offsets[k + 1] - c->net->offsets[k]) * sizeof(real),
            };
            memcpy(tensors[n].dims, spec->dims, spec->n_dims * sizeof *spec->dims);
        }
    const struct st_metadata metadata[] = {
        {META_OPTIONS, c->options_json},
        {META_TOKENIZER, c->tokenizer},
        {META_VOCABULARY, c->vocabulary},
        {META_STATE, state},
    };
    return safetensors_write(path, tensors, n, metadata, ARRAY_LEN(metadata), err);
}

/* ---- Reading ---- */

static int read_tensor(const struct safetensors *file, const struct part *part,
                       const struct net *net, size_t index, struct elmo_error *err)
{
    char name[2 * TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s%s", part->prefix, net->specs.items[index].name);
    const struct st_tensor *t = safetensors_find(file, name);
    size_t n = net->offsets[index + 1] - net->offsets[index];
    if (!t || t->dtype != ST_F32 || t->n_bytes != n * sizeof(real))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "checkpoint: tensor '%s' is missing or not of %zu float32 values", name,
                         n);
    st_to_f32(part->flat + net->offsets[index], t->data, ST_F32, n);
    return 0;
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
    struct part parts[3];
    size_t n_parts = parts_of(c, parts);
    AUTO(safetensors_free) struct safetensors *file = NULL;
    int r = safetensors_parse(&file, bytes, n_bytes, err);
    if (!r)
        r = check_same(c, file, err);
    for (size_t p = 0; p < n_parts && !r; p++)
        for (size_t k = 0; k < c->net->specs.n_items && !r; k++)
            r = read_tensor(file, &parts[p], c->net, k, err);
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

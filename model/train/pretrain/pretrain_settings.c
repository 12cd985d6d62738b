/* The settings of a run: those that are given, else the checkpoint's, else those of options.json,
 * else defaults. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "file/model_file.h"
#include "pretrain_run.h"
#include "train/bilm/train_options.h"

enum kind { COUNT, NUMBER, GROWTH, PRECISION };

/* The settings that a checkpoint keeps for later sessions. */
#define AT(field) offsetof(struct train_settings, field)

static const struct kept {
    unsigned given;
    const char *option;
    enum kind kind;
    size_t offset; /* in struct train_settings */
} kept[] = {
    {GIVEN_BATCH_TOKENS, "--batch-tokens", GROWTH, AT(batch_tokens)},
    {GIVEN_SAMPLES, "--samples", COUNT, AT(n_samples)},
    {GIVEN_THREADS, "--threads", COUNT, AT(threads)},
    {GIVEN_PRECISION, "--precision", PRECISION, AT(precision)},
    {GIVEN_DROPOUT, "--dropout", NUMBER, AT(dropout)},
    {GIVEN_LEARNING_RATE, "--learning-rate", NUMBER, AT(learning_rate)},
    {GIVEN_MAX_NORM, "--max-norm", NUMBER, AT(max_norm)},
    {GIVEN_AVERAGE, "--average", NUMBER, AT(average)},
    {GIVEN_WORD_VECTORS_TOKENS, "--word-vectors-tokens", COUNT, AT(word_vectors_tokens)},
};

static size_t kind_bytes(enum kind kind)
{
    switch (kind) {
    case COUNT: return sizeof(uint64_t);
    case NUMBER: return sizeof(double);
    case GROWTH: return sizeof(struct batch_growth);
    case PRECISION: return sizeof(enum precision);
    }
    return 0;
}

static const char *value_text(char *buf, size_t buf_bytes, const void *at, enum kind kind)
{
    const struct batch_growth *growth = at;
    if (kind == COUNT)
        snprintf(buf, buf_bytes, "%" PRIu64, *(const uint64_t *)at);
    else if (kind == NUMBER)
        snprintf(buf, buf_bytes, "%g", *(const double *)at);
    else if (kind == PRECISION)
        snprintf(buf, buf_bytes, "%s", precision_name(*(const enum precision *)at));
    else if (growth->from == growth->to)
        snprintf(buf, buf_bytes, "%" PRIu64, growth->from);
    else
        snprintf(buf, buf_bytes, "%" PRIu64 ":%" PRIu64, growth->from, growth->to);
    return buf;
}

static struct train_settings settings_of(const struct pretrain_settings *s,
                                         const struct train_values *values)
{
    return (struct train_settings){
        .batch_tokens = s->batch_tokens,
        .n_samples = values->n_samples,
        .threads = s->threads,
        .precision = s->precision == PRECISION_UNSAID ? products_best_precision() : s->precision,
        .dropout = values->dropout,
        .learning_rate = s->learning_rate,
        .max_norm = values->max_norm,
        .average = s->average,
        .word_vectors_tokens = s->word_vectors ? s->word_vectors_tokens : 0,
        .tokens = s->tokens,
        .hours = s->hours,
    };
}

static void keep_settings(struct train_settings *now, const struct train_settings *before,
                          const struct pretrain_settings *s)
{
    unsigned given = s->given | (s->precision == PRECISION_UNSAID ? 0 : GIVEN_PRECISION);
    for (size_t k = 0; k < ARRAY_LEN(kept); k++)
        if (!(given & kept[k].given))
            memcpy((char *)now + kept[k].offset, (const char *)before + kept[k].offset,
                   kind_bytes(kept[k].kind));
}

/* ---- The weights of the corpus ---- */

static bool all_are_one(const double *weights, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (weights[k] != 1)
            return false;
    return true;
}

/* The JSON array of the checkpoint into weights [n]; without one they stay as they are. */
static int read_weights(double *weights, size_t n, const char *json, struct elmo_error *err)
{
    if (!json)
        return 0;
    json_auto_t *array = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_array(array))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_CORPUS_WEIGHTS "' of the checkpoint is no array");
    if (json_array_size(array) != n)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--corpus has %zu files, and the checkpoint has weights for %zu: give as "
                         "many files, or FILE:WEIGHT",
                         n, json_array_size(array));
    for (size_t k = 0; k < n; k++) {
        weights[k] = json_number_value(json_array_get(array, k));
        if (!corpus_is_weight(weights[k]))
            return elmo_fail(err, ELMO_E_FORMAT,
                             "__metadata__ '" META_CORPUS_WEIGHTS "' of the checkpoint: number %zu "
                             "is no weight",
                             k + 1);
    }
    return 0;
}

/* NULL: out of memory. */
static char *weights_text(const double *weights, size_t n)
{
    json_auto_t *array = json_array();
    for (size_t k = 0; k < n; k++)
        if (json_array_append_new(array, json_real(weights[k])))
            return NULL;
    return json_dumps(array, JSON_COMPACT);
}

/* Those that are given, else those of the checkpoint, else 1. */
static int take_weights(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    const char *before =
        s->resume ? safetensors_metadata(r->from.model, META_CORPUS_WEIGHTS) : NULL;
    bool given = s->given & GIVEN_CORPUS_WEIGHTS;
    double *weights = r->corpus_weights = calloc(s->n_corpus, sizeof *weights);
    if (!weights)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < s->n_corpus; k++)
        weights[k] = given ? s->corpus_weights[k] : 1;
    int e = given ? 0 : read_weights(weights, s->n_corpus, before, err);
    if (e)
        return e;
    if (!all_are_one(weights, s->n_corpus)) {
        r->corpus_weights_json = weights_text(weights, s->n_corpus);
        if (!r->corpus_weights_json)
            return elmo_fail_nomem(err);
    }
    const char *now = r->corpus_weights_json;
    r->weights_changed = s->resume && (now && before ? strcmp(now, before) : now != before);
    return 0;
}

/* ---- What has changed ---- */

static void begin_change(size_t *n_changes)
{
    fputs(*n_changes ? ", " : "note: settings that differ from the checkpoint's: ", stderr);
    ++*n_changes;
}

static const char *or_one(const char *weights)
{
    return weights ? weights : "1 each";
}

/* One line with "--dropout 0 (was 0.1)" for every setting that the command line has changed. */
static void note_changes(const struct run *r, const struct train_settings *before)
{
    size_t n_changes = 0;
    for (size_t k = 0; k < ARRAY_LEN(kept); k++) {
        char new_text[64], old_text[64];
        const char *new_at = (const char *)&r->state.settings + kept[k].offset,
                   *old_at = (const char *)before + kept[k].offset;
        if (!memcmp(new_at, old_at, kind_bytes(kept[k].kind)))
            continue;
        begin_change(&n_changes);
        fprintf(stderr, "%s %s (was %s)", kept[k].option,
                value_text(new_text, sizeof new_text, new_at, kept[k].kind),
                value_text(old_text, sizeof old_text, old_at, kept[k].kind));
    }
    if (r->weights_changed) {
        begin_change(&n_changes);
        fprintf(stderr, "weights of --corpus %s (were %s)", or_one(r->corpus_weights_json),
                or_one(safetensors_metadata(r->from.model, META_CORPUS_WEIGHTS)));
    }
    if (n_changes)
        fputc('\n', stderr);
}

/* ---- The whole ---- */

static int take_from_checkpoint(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    const char *tokenizer = safetensors_metadata(r->from.model, META_TOKENIZER);
    int e = train_state_parse(&r->state, safetensors_metadata(r->from.model, META_STATE), err);
    if (e)
        return e;
    if (!(s->given & GIVEN_TOKENIZER) &&
        (!tokenizer || !tokenizer_from_name(&r->tokenizer, tokenizer)))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_TOKENIZER "' of the checkpoint is no tokeniser");
    if (s->given & GIVEN_SEED && s->seed != r->state.seed)
        return elmo_fail(err, ELMO_E_INVALID,
                         "a resumed run keeps its --seed, %" PRIu64
                         ": the order of the data depends on it",
                         r->state.seed);
    return 0;
}

/* Batches have grown for good, unless other sizes are given. */
static void take_batch_size(struct run *r, const struct batch_growth *before)
{
    const struct batch_growth *now = &r->state.settings.batch_tokens;
    struct batches_position *position = &r->state.position;
    if (!before->from)
        position->stages[0].batch_tokens = now->from;
    if (before->from == now->from && before->to == now->to)
        r->least_batch_tokens = position->stages[position->n_stages - 1].batch_tokens;
}

/* As given, else as options.json has them, else by default. */
static int take_options(struct train_settings *ret, struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    const struct train_values defaults = {s->dropout, s->max_norm, s->n_samples};
    struct train_values values = {
        .dropout = s->given & GIVEN_DROPOUT ? s->dropout : (double)NAN,
        .max_norm = s->given & GIVEN_MAX_NORM ? s->max_norm : (double)NAN,
        .n_samples = s->given & GIVEN_SAMPLES ? s->n_samples : 0,
    };
    struct train_options options;
    char note[TRAIN_OPTIONS_NOTE_BYTES];
    int e = train_options_parse(&options, r->options_json, err);
    if (e)
        return e;
    train_options_apply(&values, &options, &defaults);
    train_options_note(note, &options);
    if (*note && !s->quiet)
        fprintf(stderr, "%s\n", note);
    *ret = settings_of(s, &values);
    return 0;
}

/* The options as the run's files have them, with what it uses. */
static int write_options(struct run *r, struct elmo_error *err)
{
    const struct train_settings *s = &r->state.settings;
    const struct train_values values = {s->dropout, s->max_norm, s->n_samples};
    AUTO(mem_free) char *before = STEAL(r->options_json);
    return train_options_write(&r->options_json, before, &values, err);
}

int run_take_settings(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    struct train_settings now;
    r->tokenizer = s->tokenizer;
    r->state = (struct train_state){.seed = s->seed, .decay.left = 1};
    int e = take_options(&now, r, err);
    if (!e && s->resume)
        e = take_from_checkpoint(r, err);
    if (e)
        return e;
    const struct train_settings before = r->state.settings;
    bool known = before.batch_tokens.from; /* or an old checkpoint that does not say */
    if (known)
        keep_settings(&now, &before, s);
    r->state.settings = now;
    if (s->resume)
        take_batch_size(r, &before.batch_tokens);
    e = take_weights(r, err);
    if (e)
        return e;
    if (known && !s->quiet)
        note_changes(r, &before);
    if (now.precision == PRECISION_BF16 && products_best_precision() != PRECISION_BF16 && !s->quiet)
        fprintf(stderr, "note: this processor is slow at bf16: --precision f32 would be faster\n");
    return write_options(r, err);
}

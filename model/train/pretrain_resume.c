/* The settings of a run, and what a resumed one takes from its checkpoint. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "model_file.h"
#include "pretrain_run.h"
#include "train_options.h"

/* ---- Settings ---- */

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

/* " --dropout 0 (was 0.1)" for every setting that the command line has changed. */
static void note_changes(const struct train_settings *now, const struct train_settings *before)
{
    size_t n_changes = 0;
    for (size_t k = 0; k < ARRAY_LEN(kept); k++) {
        char new_text[64], old_text[64];
        const char *new_at = (const char *)now + kept[k].offset,
                   *old_at = (const char *)before + kept[k].offset;
        if (!memcmp(new_at, old_at, kind_bytes(kept[k].kind)))
            continue;
        fprintf(stderr, "%s %s %s (was %s)",
                n_changes++ ? "," : "note: settings that differ from the checkpoint's:",
                kept[k].option, value_text(new_text, sizeof new_text, new_at, kept[k].kind),
                value_text(old_text, sizeof old_text, old_at, kept[k].kind));
    }
    if (n_changes)
        fputc('\n', stderr);
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
    if (before.batch_tokens.from)
        keep_settings(&now, &before, s);
    if (before.batch_tokens.from && !s->quiet)
        note_changes(&now, &before);
    r->state.settings = now;
    if (s->resume)
        take_batch_size(r, &before.batch_tokens);
    if (now.precision == PRECISION_BF16 && products_best_precision() != PRECISION_BF16 && !s->quiet)
        fprintf(stderr, "note: this processor is slow at bf16: --precision f32 would be faster\n");
    return write_options(r, err);
}

/* ---- Decays ---- */

/* A rate that has fallen may not rise again: weights that were trained to an end would leave it. */
static int fail_decayed(const struct run *r, struct elmo_error *err)
{
    const struct train_decay *d = &r->state.decay;
    char finish[128] = "--decay-tokens N finishes it in N tokens; ";
    if (d->line.n_tokens)
        snprintf(finish, sizeof finish, "--decay-tokens %" PRIu64 " goes on with it; ",
                 d->line.n_tokens);
    return elmo_fail(err, ELMO_E_INVALID,
                     "cannot resume: a decay has brought the rate down to %.3g of what it was. "
                     "%sto train on at the full rate, copy " RUN_BEFORE_DECAY
                     " into another folder as " RUN_CHECKPOINT " and resume there",
                     d->left, d->left > 0 ? finish : "");
}

/* --decay-tokens as in the checkpoint goes on with that decay, else one begins here. */
static int take_decay(struct run *r, struct elmo_error *err)
{
    struct train_decay *d = &r->state.decay;
    uint64_t n_tokens = r->settings->decay_tokens;
    if (n_tokens && d->left < 1 && d->line.n_tokens == n_tokens)
        return 0;
    if (n_tokens ? d->left <= 0 : run_decay_at_start(r) > d->left * (1 + 1e-9))
        return fail_decayed(r, err);
    d->line = (struct rate_line){r->state.n_tokens, n_tokens, d->left};
    return 0;
}

/* ---- Weights ---- */

int run_resume(struct run *r, struct elmo_error *err)
{
    char path[RUN_MAX_PATH];
    struct checkpoint c;
    const struct train_settings settings = r->state.settings;
    int e = run_checkpoint_of(r, &c, err);
    run_path(r, RUN_CHECKPOINT, path);
    if (!e)
        e = checkpoint_read(path, &c, err);
    r->state.settings = settings;
    if (e)
        return e;
    if (strcmp(r->state.corpus_sha256, r->corpus.sha256) ||
        strcmp(r->state.heldout_sha256, r->heldout.sha256))
        return elmo_fail(err, ELMO_E_INVALID,
                         "cannot resume: the corpus or the held-out text is not the one that '%s' "
                         "was trained on",
                         path);
    r->seconds_before = r->state.seconds;
    r->written_steps = r->state.n_steps;
    return take_decay(r, err);
}

#include "embed.h"

#include <math.h>
#include <signal.h>
#include <string.h>

#include "common/progress.h"
#include "common/stop_signal.h"
#include "error.h"
#include "inference/model.h"
#include "machine/cpus.h"
#include "machine/thread_plan.h"
#include "pipeline.h"
#include "util/team.h"

#define PLAIN_INTERVAL_S 10.0 /* between two lines of progress where there is no terminal */
#define LOOK_INTERVAL_S  0.2  /* for signals, while nothing comes */
#define BLOCK_BATCHES    4    /* batches that are sorted together */
#define BLOCK_FLOATS     ((size_t)16 << 20)

DEFINE_AUTO(json_decref, json_t *);

struct run {
    const struct embed_settings *settings;
    struct elmo_model *model;
    struct layout layout;
    struct reader *reader;
    struct work_folder *folder;
    const struct sink_kind *kind;
    struct sink_setup setup;
    struct sink *sink;
    struct pipeline *pipeline;
    json_t *identity; /* what must be the same for a run to go on */
    struct mark at;   /* behind what the sink has */
    uint64_t n_sentences, n_tokens;
    double begin_s, checkpoint_s;
    uint64_t n_tokens_before; /* of runs that this one goes on from */
    struct progress progress;
    FILE *notes;
};

struct embed_settings embed_defaults(void)
{
    return (struct embed_settings){
        .outputs = "all",
        .format = &sink_hdf5,
        .compute = {.word_cache_bytes = (size_t)64 << 20},
        .n_shards = 1,
        .batch_tokens = 1024,
        .max_tokens = 8192,
        .checkpoint_seconds = 30,
    };
}

/* ---- What a run is ---- */

static int identify(struct run *r, const char *tokenizer, struct elmo_error *err)
{
    const struct embed_settings *s = r->settings;
    const struct elmo_model_info *info = elmo_model_info(r->model);
    AUTO(mem_free) char *outputs = NULL;
    size_t n_bytes;
    FILE *text = open_memstream(&outputs, &n_bytes);
    if (!text)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < r->layout.n_outputs; k++)
        fprintf(text, "%s%s", k ? "," : "", r->layout.outputs[k].name);
    if (fclose(text))
        return elmo_fail_nomem(err);
    r->identity =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:b}", "format", s->format->name,
                  "model", info->sha256, "dtype", info->compute_dtype, "tokenizer", tokenizer,
                  "outputs", outputs, "shard", (json_int_t)s->shard, "shards",
                  (json_int_t)s->n_shards, "use-sentence-keys", s->sentence_keys,
                  "forget-sentences", s->forget_sentences, "keep-empty-lines", s->keep_empty);
    return r->identity ? 0 : elmo_fail_nomem(err);
}

static int check_identity(const struct run *r, const json_t *saved, struct elmo_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(r->identity, key, value) if (
        !json_equal(
            value,
            json_object_get(
                saved,
                key))) return elmo_fail(err, ELMO_E_FORMAT,
                                        "the run that did not end had another %s: it cannot go on with this",
                                        key);
    return 0;
}

/* ---- Checkpoints ---- */

static int save(struct run *r, bool closing, struct elmo_error *err)
{
    char prefix[SHA256_HEX_BYTES];
    struct sha256 copy = r->at.prefix;
    AUTO(json_decref) json_t *state = NULL;
    json_t *sink = NULL;
    int e = r->kind->checkpoint(r->sink, closing, &sink, err);
    if (e)
        return e;
    sha256_end(&copy, prefix);
    state = json_pack("{s:i, s:O, s:s, s:I, s:s, s:I, s:I, s:o}", "version", 1, "run", r->identity,
                      "kernel", elmo_model_info(r->model)->kernel, "lines",
                      (json_int_t)r->at.n_lines, "prefix", prefix, "sentences",
                      (json_int_t)r->n_sentences, "tokens", (json_int_t)r->n_tokens, "sink", sink);
    e = state ? work_folder_save(r->folder, state, err) : elmo_fail_nomem(err);
    if (!e && r->kind->saved)
        r->kind->saved(r->sink);
    r->checkpoint_s = progress_now();
    return e;
}

/* Where a checkpoint was, in the input and in the numbers. */
static int go_to(struct run *r, const json_t *state, struct elmo_error *err)
{
    const json_t *identity;
    const char *kernel, *prefix, *now = elmo_model_info(r->model)->kernel;
    json_int_t lines, sentences, tokens;
    int version;
    if (json_unpack((json_t *)state, "{s:i, s:o, s:s, s:I, s:s, s:I, s:I}", "version", &version,
                    "run", &identity, "kernel", &kernel, "lines", &lines, "prefix", &prefix,
                    "sentences", &sentences, "tokens", &tokens) ||
        version != 1 || lines < 0 || sentences < 0 || tokens < 0)
        return elmo_fail(err, ELMO_E_FORMAT, "the checkpoint lacks a member");
    int e = check_identity(r, identity, err);
    if (!e)
        e = reader_skip(r->reader, (uint64_t)lines, prefix, &r->at, err);
    if (e)
        return e;
    r->n_sentences = (uint64_t)sentences;
    r->n_tokens = r->n_tokens_before = (uint64_t)tokens;
    if (r->notes && strcmp(kernel, now))
        fprintf(r->notes,
                "note: the run began with %s and goes on with %s: the last digits may differ\n",
                kernel, now);
    return 0;
}

/* ---- Set-up ---- */

static int open_model(struct run *r, struct elmo_error *err)
{
    const struct embed_settings *s = r->settings;
    int e = s->model ? elmo_model_open(&r->model, s->model, &s->compute, err)
                     : elmo_model_open_default(&r->model, &s->compute, err);
    return e ? e : layout_init(&r->layout, s->outputs, elmo_model_info(r->model), err);
}

static int open_input(struct run *r, struct elmo_error *err)
{
    const struct embed_settings *s = r->settings;
    const struct reader_settings reader = {
        .path = s->in,
        .shard = s->shard,
        .n_shards = s->n_shards,
        .tokenizer = s->model_tokenizer ? r->model->tokenizer : TOKENIZER_WHITESPACE,
        .max_tokens = s->max_tokens,
        .keep_empty = s->keep_empty,
        .block_tokens = BLOCK_BATCHES * s->batch_tokens,
        .block_floats = BLOCK_FLOATS,
        .layout = &r->layout,
    };
    int e = identify(r, tokenizer_name(reader.tokenizer), err);
    if (!e)
        e = reader_open(&r->reader, &reader, err);
    if (!e)
        r->at = reader_begin(r->reader);
    return e;
}

static int open_output(struct run *r, struct elmo_error *err)
{
    const struct embed_settings *s = r->settings;
    AUTO(json_decref) json_t *state = NULL;
    int e = work_folder_open(&r->folder, s->out, s->resume, &state, err);
    if (!e && state)
        e = go_to(r, state, err);
    if (e)
        return e;
    r->setup = (struct sink_setup){
        .layout = &r->layout,
        .info = elmo_model_info(r->model),
        .folder = r->folder,
        .sentence_keys = s->sentence_keys,
        .forget_sentences = s->forget_sentences,
        .max_part_bytes = s->max_part_bytes,
    };
    e = r->kind->open(&r->sink, &r->setup, json_object_get(state, "sink"), err);
    /* At once: what is there is no longer what the last checkpoint says of it. */
    return e ? e : save(r, false, err);
}

static int start(struct run *r, struct elmo_error *err)
{
    const struct embed_settings *s = r->settings;
    const struct thread_plan plan =
        thread_plan(s->threads ? s->threads : cpus_available(""), 0,
                    elmo_model_info(r->model)->step_bytes, thread_plan_cache_bytes());
    const struct pipeline_settings pipeline = {
        .model = r->model,
        .layout = &r->layout,
        .reader = r->reader,
        .n_workers = plan.n_workers,
        .n_each = plan.n_each,
        .batch_tokens = s->batch_tokens,
    };
    return pipeline_start(&r->pipeline, &pipeline, err);
}

static void note_tokenizer(const struct run *r)
{
    if (r->notes && !r->settings->model_tokenizer && r->model->tokenizer != TOKENIZER_WHITESPACE)
        fprintf(r->notes,
                "note: lines are split at white space; the model was trained on %s tokens, as "
                "--tokenizer model makes them\n",
                tokenizer_name(r->model->tokenizer));
}

static void run_done(struct run *r)
{
    if (r->pipeline)
        pipeline_stop(r->pipeline);
    pipeline_free(r->pipeline);
    if (r->sink)
        r->kind->free(r->sink);
    work_folder_free(r->folder);
    reader_free(r->reader);
    json_decref(r->identity);
    elmo_model_free(r->model);
}

/* ---- The run ---- */

static void show(struct run *r)
{
    const struct progress_state state = {
        .phase = "embed",
        .epoch_share = NAN,
        .loss = NAN,
        .n_tokens = r->n_tokens,
        .done_share = r->at.done_share,
    };
    progress_update(&r->progress, progress_now(), &state);
}

static int write_block(struct run *r, const struct block *block, struct elmo_error *err)
{
    int e = r->kind->is_full && r->kind->is_full(r->sink, block) ? save(r, false, err) : 0;
    if (!e)
        e = r->kind->add(r->sink, block, err);
    if (e)
        return e;
    r->at = block->end;
    r->n_sentences += block->n_lines;
    r->n_tokens += block->n_tokens;
    bool due = progress_now() - r->checkpoint_s >= r->settings->checkpoint_seconds;
    return due && !r->kind->is_full ? save(r, false, err) : 0;
}

/* Until all is written or nothing more comes. What the sink failed at is not to be saved:
 * *ret_intact says whether it did. */
static int write_blocks(struct run *r, bool *ret_intact, struct elmo_error *err)
{
    const struct block *block;
    enum pipeline_turn turn;
    *ret_intact = true;
    while ((turn = pipeline_next(r->pipeline, LOOK_INTERVAL_S, &block)) != PIPELINE_END) {
        if (turn == PIPELINE_BLOCK) {
            int e = write_block(r, block, err);
            *ret_intact = !e;
            if (e)
                return e;
            pipeline_release(r->pipeline);
            show(r);
        }
        if (stop_signal_came())
            pipeline_stop(r->pipeline);
    }
    return pipeline_status(r->pipeline, err);
}

static void tell_end(const struct run *r)
{
    char duration[32];
    double seconds = progress_now() - r->begin_s;
    uint64_t n_skipped = r->kind->n_skipped ? r->kind->n_skipped(r->sink) : 0;
    if (!r->notes)
        return;
    if (n_skipped)
        fprintf(r->notes, "note: %llu sentences that came again are there once\n",
                (unsigned long long)n_skipped);
    fprintf(r->notes, "%llu sentences, %llu tokens in '%s'; %s, %.0f tokens/s\n",
            (unsigned long long)r->n_sentences, (unsigned long long)r->n_tokens, r->settings->out,
            progress_duration(duration, sizeof duration, seconds),
            (double)(r->n_tokens - r->n_tokens_before) / seconds);
}

/* The process ends as the signal would have ended it, at once: its reader may wait for a pipe. */
static int end_by_signal(struct run *r, int signal, struct elmo_error *err)
{
    if (r->notes)
        fprintf(r->notes, "stopped behind a checkpoint: --resume goes on\n");
    raise(signal);
    return elmo_fail(err, ELMO_E_IO, "stopped by signal %d", signal);
}

static int run_to_end(struct run *r, struct elmo_error *err)
{
    bool intact;
    stop_signal_catch();
    int e = write_blocks(r, &intact, err);
    bool stopped = stop_signal_came();
    progress_clear(&r->progress);
    if ((e || stopped) && intact && !r->kind->is_full) {
        int saving = save(r, true, e ? NULL : err);
        e = e ? e : saving;
    }
    if (!e && !stopped)
        e = r->kind->finish(r->sink, err);
    int signal = stop_signal_release();
    if (!e && stopped)
        return end_by_signal(r, signal, err);
    if (!e)
        tell_end(r);
    return e;
}

int embed_run(const struct embed_settings *settings, FILE *progress, FILE *notes,
              struct elmo_error *err)
{
    struct run r = {
        .settings = settings, .kind = settings->format, .begin_s = progress_now(), .notes = notes};
    if (settings->resume && work_folder_is_done(settings->out)) {
        if (notes)
            fprintf(notes, "'%s' is there: nothing to do\n", settings->out);
        return 0;
    }
    progress_init(&r.progress, progress, PLAIN_INTERVAL_S);
    int e = open_model(&r, err);
    if (!e)
        e = open_input(&r, err);
    if (!e)
        e = open_output(&r, err);
    if (!e) {
        note_tokenizer(&r);
        e = start(&r, err);
    }
    if (!e)
        e = run_to_end(&r, err);
    run_done(&r);
    return e;
}

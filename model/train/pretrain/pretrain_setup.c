/* Makes a run: its folder, texts, net and weights. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "file/model_file.h"
#include "kernels/kernels.h"
#include "pretrain_run.h"
#include "util/text_file.h"

struct pretrain_settings pretrain_defaults(void)
{
    return (struct pretrain_settings){
        .tokenizer = TOKENIZER_UNICODE,
        .batch_tokens = {512, 512},
        .n_samples = 2048,
        .threads = 2,
        .precision = PRECISION_UNSAID,
        .dropout = 0.1,
        .learning_rate = 1e-3,
        .max_norm = 1,
        .average = 0.9995,
        .word_vectors_tokens = 3000000,
        .seed = 1,
        .checkpoint_minutes = 5,
        .eval_tokens = 500000,
        .now_s = progress_now,
    };
}

static int check(const struct pretrain_settings *s, struct elmo_error *err)
{
    const struct batch_growth *b = &s->batch_tokens;
    if (s->hours <= 0 && !s->tokens && !s->decay_tokens)
        return elmo_fail(err, ELMO_E_INVALID,
                         "a run needs an end: --hours H, --tokens N or, with --resume, "
                         "--decay-tokens N");
    if (s->decay_tokens && (s->hours > 0 || s->tokens || s->no_decay))
        return elmo_fail(err, ELMO_E_INVALID,
                         "--decay-tokens is an end of its own: it goes without --hours, --tokens "
                         "and --no-decay");
    if (s->decay_tokens && !s->resume)
        return elmo_fail(err, ELMO_E_INVALID, "--decay-tokens goes with --resume");
    if (s->threads > TEAM_MAX)
        return elmo_fail(err, ELMO_E_INVALID, "--threads is at most %u", TEAM_MAX);
    if (s->dropout >= 1 || s->average >= 1 || s->max_norm <= 0)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--dropout and --average are below 1, --max-norm is above 0");
    if (b->from < 1 || b->from > b->to)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--batch-tokens FROM:TO: batches grow, so that FROM is at most TO");
    return 0;
}

void run_path(const struct run *r, const char *name, char ret_path[static RUN_MAX_PATH])
{
    snprintf(ret_path, RUN_MAX_PATH, "%s/%s", r->settings->out, name);
}

/* The folder, and that hours of work are not written over by mistake. */
static int make_out(const struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    char path[RUN_MAX_PATH];
    if (!run_writes(r))
        return 0;
    if (mkdir(s->out, 0777) && errno != EEXIST)
        return elmo_fail(err, ELMO_E_IO, "cannot make '%.200s': %s", s->out, strerror(errno));
    run_path(r, RUN_CHECKPOINT, path);
    if (!s->resume && !access(path, F_OK))
        return elmo_fail(err, ELMO_E_INVALID,
                         "'%.200s' holds a run: --resume goes on with it, another --out begins a "
                         "new one",
                         s->out);
    return 0;
}

static int open_start(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    char path[RUN_MAX_PATH];
    run_path(r, RUN_CHECKPOINT, path);
    if (!s->init && !s->resume)
        return 0;
    int e = warm_files_open(&r->from, s->init ? s->init : path, s->init_softmax, err);
    const char *provenance =
        e || s->init ? NULL : safetensors_metadata(r->from.model, META_PROVENANCE);
    if (!provenance)
        return e;
    r->provenance = strdup(provenance);
    return r->provenance ? 0 : elmo_fail_nomem(err);
}

static int read_options(struct run *r, struct elmo_error *err)
{
    const char *path = r->settings->options;
    return path ? text_file_read(&r->options_json, path, err)
                : warm_options(&r->options_json, &r->from, err);
}

/* ---- Texts and net ---- */

static void say_texts(const struct run *r)
{
    const struct corpus *c = &r->corpus;
    size_t n_heldout = 0;
    for (size_t k = 0; k < r->settings->n_heldout; k++)
        n_heldout += r->heldout[k].corpus.n_tokens;
    fprintf(stderr,
            "corpus: %zu lines, %zu tokens, %zu distinct words, %.2f %% unknown; held out: %zu "
            "tokens; skipped as not UTF-8: %zu lines, cut: %zu\n",
            c->n_lines, c->n_tokens, c->n_words,
            100 * (double)c->stats.n_unknown / (double)c->n_tokens, n_heldout,
            c->stats.n_skipped_lines, c->stats.n_cut_lines);
}

static int load_texts(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    const struct corpus_settings how = {.tokenizer = r->tokenizer, .vocab = &r->vocab};
    int e = s->vocab ? vocab_read(&r->vocab, s->vocab, err) : warm_vocab(&r->vocab, &r->from, err);
    if (!e)
        e = vocabulary_text(&r->vocabulary_json, &r->vocab.words, err);
    if (!e)
        e = corpus_load(&r->corpus, s->corpus, s->n_corpus, &how, err);
    if (!e)
        e = run_load_heldout(r, err);
    if (!e && !s->quiet)
        say_texts(r);
    return e;
}

static int make_engine(struct run *r, struct elmo_error *err)
{
    const struct train_settings *s = &r->state.settings;
    const struct engine_settings how = {
        .precision = s->precision,
        .dropout = s->dropout,
        .max_norm = s->max_norm,
        .average = s->average,
        .word_vectors = r->word_vectors,
        .ranks = r->settings->ranks,
    };
    int e = team_new(&r->team, s->threads, err);
    if (!e)
        e = engine_new(&r->engine, &r->net, r->team, &how, err);
    return e ? e : bilm_eval_new(&r->eval, &r->net, r->team, err);
}

static int make_net(struct run *r, struct elmo_error *err)
{
    struct options options;
    int e = options_parse(&options, r->options_json, err);
    if (!e)
        e = net_init_with_word_vectors(&r->net, &options, r->vocab.words.n_items,
                                       run_word_vectors_dim(r, &options), err);
    if (e)
        return e;
    size_t n_samples = r->state.settings.n_samples;
    if (n_samples < 1 || n_samples >= r->net.n_vocab)
        return elmo_fail(err, ELMO_E_INVALID,
                         "%zu samples for a vocabulary of %zu words: there must be fewer, and at "
                         "least 1 (--samples)",
                         n_samples, r->net.n_vocab);
    return make_engine(r, err);
}

/* ---- Weights ---- */

int run_checkpoint_of(struct run *r, struct checkpoint *ret_checkpoint, struct elmo_error *err)
{
    struct engine_state weights;
    int e = engine_download(r->engine, &weights, err);
    if (e)
        return e;
    *ret_checkpoint = (struct checkpoint){
        .net = &r->net,
        .values = weights.values,
        .optimizer = weights.optimizer,
        .average = weights.average,
        .state = &r->state,
        .options_json = r->options_json,
        .tokenizer = tokenizer_name(r->tokenizer),
        .vocabulary = r->vocabulary_json,
        .corpus_weights = r->corpus_weights_json,
        .provenance = r->provenance,
    };
    return 0;
}

/* The weights of --init and --init-softmax over the random ones. */
static int copy_start(struct run *r, real *values, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    size_t n_found = 0;
    int e = bilm_digest(r->state.init_sha256, r->from.model, err);
    if (!e)
        e = warm_copy_bilm(values, &r->net, &r->from, err);
    if (!e && r->from.has_softmax)
        e = warm_copy_softmax(values, &r->net, &r->vocab, &r->from, &n_found, err);
    if (e || s->quiet)
        return e;
    fprintf(
        stderr, "start: biLM of '%s'; softmax: %zu of %zu words from %s%s, %zu at random values\n",
        s->init, n_found, r->net.n_vocab, s->init_softmax ? s->init_softmax : "no file",
        r->from.softmax_is_foreign ? " (trained with another biLM)" : "", r->net.n_vocab - n_found);
    const char *tokenizer = safetensors_metadata(r->from.model, META_TOKENIZER);
    if (!tokenizer || strcmp(tokenizer, tokenizer_name(r->tokenizer)))
        fprintf(stderr, "note: '%s' was not trained with --tokenizer %s\n", s->init,
                tokenizer_name(r->tokenizer));
    return 0;
}

static int begin_weights(struct run *r, real *values, struct elmo_error *err)
{
    snprintf(r->state.corpus_sha256, sizeof r->state.corpus_sha256, "%s", r->corpus.sha256);
    run_heldout_sha256(r, r->state.heldout_sha256);
    net_randomize(&r->net, values, r->state.seed);
    return r->settings->init ? copy_start(r, values, err) : 0;
}

static int start_weights(struct run *r, struct elmo_error *err)
{
    struct engine_state weights;
    int e = engine_download(r->engine, &weights, err);
    if (!e)
        e = r->settings->resume ? run_resume(r, err) : begin_weights(r, weights.values, err);
    return e ? e : engine_upload(r->engine, &weights, err);
}

/* ---- The whole ---- */

/* The largest that there are: those of the checkpoint may be larger than those to come. */
static size_t most_batch_tokens(const struct run *r)
{
    const struct batches_position *position = &r->state.position;
    size_t most = r->state.settings.batch_tokens.to;
    for (size_t k = 0; k < position->n_stages; k++)
        if (position->stages[k].batch_tokens > most)
            most = position->stages[k].batch_tokens;
    return most;
}

static int start_batches(struct run *r, struct elmo_error *err)
{
    const struct batches_position *position = &r->state.position;
    size_t batch_tokens = r->state.settings.batch_tokens.from;
    int e = batches_init(&r->batches, &r->corpus, r->corpus_weights, r->state.seed,
                         most_batch_tokens(r), err);
    if (e)
        return e;
    if (!position->n_stages)
        return batches_epoch(&r->batches, 0, batch_tokens, err);
    if (r->weights_changed) /* a position is one of batches with the same weights */
        return batches_epoch(&r->batches, position->epoch + 1, run_batch_tokens(r), err);
    return batches_seek(&r->batches, position, err);
}

static int make_parts(struct run *r, struct elmo_error *err)
{
    char path[RUN_MAX_PATH];
    int e = make_out(r, err);
    if (!e)
        e = open_start(r, err);
    if (!e)
        e = read_options(r, err);
    if (!e)
        e = run_take_settings(r, err);
    if (!e)
        e = load_texts(r, err);
    if (!e)
        e = run_load_word_vectors(r, err);
    if (!e)
        e = make_net(r, err);
    if (!e)
        e = start_weights(r, err);
    warm_files_done(&r->from);
    if (!e)
        e = start_batches(r, err);
    if (!e)
        e = run_agree(r, err);
    run_path(r, "curve.csv", path);
    return e || !run_writes(r) ? e : curve_open(&r->curve, path, &r->others, err);
}

int run_init(struct run *r, const struct pretrain_settings *settings, struct elmo_error *err)
{
    *r = (struct run){.settings = settings,
                      .ranks = settings->ranks ? *settings->ranks : (struct ranks){.size = 1},
                      .written_steps = RUN_NOT_WRITTEN,
                      .train_s = (double)NAN};
    int e = check(settings, err);
    if (e)
        return e;
    kernels_init();
    e = run_share_tick(r, err);
    r->start_s = run_now(r);
    if (!e)
        e = make_parts(r, err);
    if (!e)
        e = run_share_tick(r, err);
    r->begin_s = r->checkpoint_s = run_now(r);
    run_begin_progress(r);
    return e;
}

void run_done(struct run *r)
{
    curve_free(r->curve);
    batches_done(&r->batches);
    bilm_eval_free(r->eval);
    engine_free(r->engine);
    team_free(r->team);
    net_done(&r->net);
    word_vectors_free(r->word_vectors);
    run_heldout_done(r);
    corpus_done(&r->corpus);
    vocab_done(&r->vocab);
    free(r->options_json);
    free(r->provenance);
    free(r->corpus_weights);
    free(r->corpus_weights_json);
    free(r->vocabulary_json);
}

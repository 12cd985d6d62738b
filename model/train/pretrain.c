#include "pretrain.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batches.h"
#include "bilm_eval.h"
#include "checkpoint.h"
#include "corpus.h"
#include "curve.h"
#include "error.h"
#include "kernels/kernels.h"
#include "model_file.h"
#include "optimizer.h"
#include "progress.h"
#include "rng.h"
#include "stop_signal.h"
#include "text_file.h"
#include "warm_start.h"

#define WARM_UP_STEPS  300
#define DECAY_SHARE    0.3  /* of the run's tokens, at its end */
#define FINAL_RATE     0.05 /* of the learning rate, at the very end */
#define MAX_PATH_BYTES 4096

/* Everything of a run; made by run_init, taken apart by run_done. */
struct run {
    const struct pretrain_settings *settings;
    struct warm_files from; /* what the run starts from; open while it is set up */
    char *options_json, *vocabulary_json;
    struct vocab vocab;
    struct corpus corpus, heldout;
    struct batches batches, heldout_batches;
    enum precision precision;
    struct net net;
    struct team *team;
    struct bilm_loss *loss;
    struct bilm_eval *eval;
    struct optimizer optimizer;
    real *values, *gradients; /* [net_size()], [net.n_dense] */
    struct train_state state;
    struct curve *curve;
    struct progress progress;
    double begin_s, checkpoint_s; /* progress_now() of the start and of the last checkpoint */
    double seconds_before;        /* of earlier sessions */
    double loss_sum;              /* since the last point of the curve */
    uint64_t n_loss;
    uint64_t next_eval; /* n_tokens */
};

/* ---- Setting up ---- */

struct pretrain_settings pretrain_defaults(void)
{
    return (struct pretrain_settings){
        .tokenizer = TOKENIZER_UNICODE,
        .threads = 2,
        .precision = PRECISION_UNSAID,
        .batch_tokens = 2048,
        .n_samples = 2048,
        .dropout = 0.1,
        .learning_rate = 1e-3,
        .max_norm = 1,
        .checkpoint_minutes = 5,
        .eval_tokens = 500000,
        .seed = 1,
    };
}

static void out_path(const struct run *r, const char *name, char path[static MAX_PATH_BYTES])
{
    snprintf(path, MAX_PATH_BYTES, "%s/%s", r->settings->out, name);
}

static int load_texts(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    const struct corpus_settings how = {.tokenizer = s->tokenizer, .vocab = &r->vocab};
    int e = s->vocab ? vocab_read(&r->vocab, s->vocab, err) : warm_vocab(&r->vocab, &r->from, err);
    if (!e)
        e = vocabulary_text(&r->vocabulary_json, &r->vocab.words, err);
    if (!e)
        e = corpus_load(&r->corpus, s->corpus, s->n_corpus, &how, err);
    if (!e)
        e = corpus_load(&r->heldout, s->heldout, s->n_heldout, &how, err);
    if (!e && !s->quiet)
        fprintf(stderr,
                "corpus: %zu lines, %zu tokens, %zu distinct words, %.2f %% unknown; held out: %zu "
                "tokens; skipped as not UTF-8: %zu lines, cut: %zu\n",
                r->corpus.n_lines, r->corpus.n_tokens, r->corpus.n_words,
                100 * (double)r->corpus.stats.n_unknown / (double)r->corpus.n_tokens,
                r->heldout.n_tokens, r->corpus.stats.n_skipped_lines, r->corpus.stats.n_cut_lines);
    return e;
}

static int make_net(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    struct options options;
    int e = s->options ? text_file_read(&r->options_json, s->options, err)
                       : warm_options(&r->options_json, &r->from, err);
    if (!e)
        e = options_parse(&options, r->options_json, err);
    if (!e)
        e = net_init(&r->net, &options, r->vocab.words.n_items, err);
    if (!e)
        e = team_new(&r->team, s->threads, err);
    if (!e)
        e = bilm_loss_new(&r->loss, &r->net, r->team, err);
    if (!e)
        e = bilm_eval_new(&r->eval, &r->net, r->team, err);
    if (!e)
        e = optimizer_init(&r->optimizer, &r->net, r->team, err);
    if (e)
        return e;
    r->values = calloc(net_size(&r->net), sizeof(real));
    r->gradients = calloc(r->net.n_dense, sizeof(real));
    if (!r->values || !r->gradients)
        return elmo_fail_nomem(err);
    if (s->n_samples < 1 || s->n_samples >= r->net.n_vocab)
        return elmo_fail(err, ELMO_E_INVALID,
                         "%zu samples for a vocabulary of %zu words: there must be fewer, and at "
                         "least 1",
                         s->n_samples, r->net.n_vocab);
    return 0;
}

static struct checkpoint checkpoint_of(struct run *r)
{
    return (struct checkpoint){
        .net = &r->net,
        .values = r->values,
        .optimizer = &r->optimizer,
        .state = &r->state,
        .options_json = r->options_json,
        .tokenizer = tokenizer_name(r->settings->tokenizer),
        .vocabulary = r->vocabulary_json,
    };
}

static int resume(struct run *r, struct elmo_error *err)
{
    char path[MAX_PATH_BYTES];
    const struct checkpoint c = checkpoint_of(r);
    out_path(r, "checkpoint.safetensors", path);
    int e = checkpoint_read(path, &c, err);
    if (e)
        return e;
    if (strcmp(r->state.corpus_sha256, r->corpus.sha256) ||
        strcmp(r->state.heldout_sha256, r->heldout.sha256))
        return elmo_fail(err, ELMO_E_INVALID,
                         "cannot resume: the corpus or the held-out text is not the one that '%s' "
                         "was trained on",
                         path);
    r->seconds_before = r->state.seconds;
    return 0;
}

static struct train_settings settings_of(const struct run *r)
{
    const struct pretrain_settings *s = r->settings;
    return (struct train_settings){
        .batch_tokens = s->batch_tokens,
        .n_samples = s->n_samples,
        .threads = s->threads,
        .precision = r->precision,
        .dropout = s->dropout,
        .learning_rate = s->learning_rate,
        .max_norm = s->max_norm,
        .tokens = s->tokens,
    };
}

static bool same_settings(const struct train_settings *a, const struct train_settings *b)
{
    return a->batch_tokens == b->batch_tokens && a->n_samples == b->n_samples &&
           a->threads == b->threads && a->precision == b->precision && a->dropout == b->dropout &&
           a->learning_rate == b->learning_rate && a->max_norm == b->max_norm &&
           a->tokens == b->tokens;
}

static void choose_precision(struct run *r)
{
    const struct pretrain_settings *s = r->settings;
    enum precision best = products_best_precision(), before = r->state.settings.precision;
    r->precision = s->precision;
    if (s->precision == PRECISION_UNSAID)
        r->precision = s->resume ? before : best;
    if (r->precision == PRECISION_BF16 && best != PRECISION_BF16 && !s->quiet)
        fprintf(stderr, "note: this processor is slow at bf16: --precision f32 would be faster\n");
}

/* Other settings may be just what is wanted; a run that never stopped would not have them. */
static void take_settings(struct run *r)
{
    const struct train_settings before = r->state.settings;
    choose_precision(r);
    r->state.settings = settings_of(r);
    if (r->settings->resume && before.batch_tokens && !r->settings->quiet &&
        !same_settings(&before, &r->state.settings))
        fprintf(stderr, "note: goes on with other settings than the checkpoint was trained with\n");
}

/* The weights of --init and --init-softmax over the random ones. */
static int copy_start(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    size_t n_found = 0;
    int e = bilm_digest(r->state.init_sha256, r->from.model, err);
    if (!e)
        e = warm_copy_bilm(r->values, &r->net, &r->from, err);
    if (!e && r->from.has_softmax)
        e = warm_copy_softmax(r->values, &r->net, &r->vocab, &r->from, &n_found, err);
    if (e || s->quiet)
        return e;
    fprintf(
        stderr, "start: biLM of '%s'; softmax: %zu of %zu words from %s%s, %zu at random values\n",
        s->init, n_found, r->net.n_vocab, s->init_softmax ? s->init_softmax : "no file",
        r->from.softmax_is_foreign ? " (trained with another biLM)" : "", r->net.n_vocab - n_found);
    const char *tokenizer = safetensors_metadata(r->from.model, META_TOKENIZER);
    if (!tokenizer || strcmp(tokenizer, tokenizer_name(s->tokenizer)))
        fprintf(stderr, "note: '%s' was not trained with --tokenizer %s\n", s->init,
                tokenizer_name(s->tokenizer));
    return 0;
}

static int start_weights(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    if (s->resume)
        return resume(r, err);
    r->state.seed = s->seed;
    snprintf(r->state.corpus_sha256, sizeof r->state.corpus_sha256, "%s", r->corpus.sha256);
    snprintf(r->state.heldout_sha256, sizeof r->state.heldout_sha256, "%s", r->heldout.sha256);
    net_randomize(&r->net, r->values, s->seed);
    return s->init ? copy_start(r, err) : 0;
}

/* The folder, and that hours of work are not written over by mistake. */
static int make_out(const struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    char path[MAX_PATH_BYTES];
    if (mkdir(s->out, 0777) && errno != EEXIST)
        return elmo_fail(err, ELMO_E_IO, "cannot make '%.200s': %s", s->out, strerror(errno));
    out_path(r, "checkpoint.safetensors", path);
    if (!s->resume && !access(path, F_OK))
        return elmo_fail(
            err, ELMO_E_INVALID,
            "'%.200s' holds a run: --resume goes on with it, another --out begins anew", s->out);
    return 0;
}

static int open_start(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    char path[MAX_PATH_BYTES];
    out_path(r, "checkpoint.safetensors", path);
    if (!s->init && !s->resume)
        return 0;
    return warm_files_open(&r->from, s->init ? s->init : path, s->init_softmax, err);
}

static int start_batches(struct run *r, struct elmo_error *err)
{
    char path[MAX_PATH_BYTES];
    size_t batch_tokens = r->settings->batch_tokens;
    int e = batches_init(&r->batches, &r->corpus, NULL, r->state.seed, batch_tokens, err);
    if (!e)
        e = batches_init(&r->heldout_batches, &r->heldout, NULL, 0, batch_tokens, err);
    if (!e)
        e = batches_heldout(&r->heldout_batches, batch_tokens, err);
    if (!e)
        e = batches_epoch(&r->batches, r->state.epoch, batch_tokens, err);
    out_path(r, "curve.csv", path);
    if (!e)
        e = curve_open(&r->curve, path, NULL, err);
    return e;
}

static int run_init(struct run *r, const struct pretrain_settings *settings, struct elmo_error *err)
{
    *r = (struct run){.settings = settings};
    kernels_init();
    int e = make_out(r, err);
    if (!e)
        e = open_start(r, err);
    if (!e)
        e = load_texts(r, err);
    if (!e)
        e = make_net(r, err);
    if (!e)
        e = start_weights(r, err);
    if (!e)
        take_settings(r);
    warm_files_done(&r->from);
    if (!e)
        e = start_batches(r, err);
    r->next_eval = r->state.n_tokens + settings->eval_tokens;
    r->begin_s = r->checkpoint_s = progress_now();
    progress_init(&r->progress, settings->quiet ? NULL : stderr, 30);
    return e;
}

static void run_done(struct run *r)
{
    curve_free(r->curve);
    batches_done(&r->heldout_batches);
    batches_done(&r->batches);
    bilm_eval_free(r->eval);
    bilm_loss_free(r->loss);
    if (r->optimizer.net)
        optimizer_done(&r->optimizer);
    team_free(r->team);
    net_done(&r->net);
    corpus_done(&r->heldout);
    corpus_done(&r->corpus);
    vocab_done(&r->vocab);
    free(r->values);
    free(r->gradients);
    free(r->options_json);
    free(r->vocabulary_json);
}

/* ---- Running ---- */

/* 0..1 of the tokens of the whole run; NAN: it has no end. */
static double done_share(const struct run *r)
{
    return r->settings->tokens ? (double)r->state.n_tokens / (double)r->settings->tokens : NAN;
}

/* Up during the first steps, constant, and down over the last part of a run whose end is known. It
 * depends on steps and tokens alone, never on the clock, so that a resumed run is the same run. */
static double learning_rate(const struct run *r)
{
    double rate = r->settings->learning_rate, share = done_share(r);
    if (r->state.n_steps < WARM_UP_STEPS)
        rate *= (double)(r->state.n_steps + 1) / WARM_UP_STEPS;
    if (share > 1 - DECAY_SHARE)
        rate *= fmax(FINAL_RATE, (1 - share) / DECAY_SHARE);
    return rate;
}

static int fail_not_finite(const struct run *r, const char *what, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_NUMERIC,
                     "step %llu: %s is not finite; the last checkpoint is good: try a lower "
                     "--learning-rate",
                     (unsigned long long)r->state.n_steps, what);
}

static int train_step(struct run *r, struct elmo_error *err)
{
    struct bilm_batch batch;
    struct bilm_result result;
    const struct pretrain_settings *s = r->settings;
    struct rng seeds = {r->state.seed ^ r->state.n_steps << 20};
    const struct bilm_settings settings = {s->n_samples, s->dropout, rng_next(&seeds)};
    const struct optimizer_settings step = {learning_rate(r), s->max_norm};
    batches_fill(&r->batches, r->state.next_batch, &batch);
    products_use(r->precision);
    int e = bilm_loss_run(r->loss, &result, r->gradients, r->values, &batch, &settings, err);
    products_use(PRECISION_F32);
    if (e)
        return e;
    double loss = (result.loss[0] + result.loss[1]) / 2;
    double norm = optimizer_step(&r->optimizer, r->values, r->gradients, &result, &step);
    if (!isfinite(loss) || !isfinite(norm))
        return fail_not_finite(r, "the loss or its gradient", err);
    r->loss_sum += loss;
    r->n_loss++;
    r->state.n_steps++;
    r->state.n_tokens += batch.n_sentences * batch.n_steps;
    r->state.next_batch++;
    return 0;
}

static int next_epoch(struct run *r, struct elmo_error *err)
{
    r->state.epoch++;
    r->state.next_batch = 0;
    return batches_epoch(&r->batches, r->state.epoch, r->settings->batch_tokens, err);
}

static void show(struct run *r, const char *phase)
{
    const struct progress_state state = {
        .phase = phase,
        .step = r->state.n_steps,
        .epoch = r->state.epoch,
        .epoch_share = (double)r->state.next_batch / (double)r->batches.n_batches,
        .loss = r->n_loss ? r->loss_sum / (double)r->n_loss : NAN,
        .n_tokens = r->state.n_tokens,
        .done_share = done_share(r),
    };
    progress_update(&r->progress, progress_now(), &state);
}

static int write_checkpoint(struct run *r, struct elmo_error *err)
{
    char path[MAX_PATH_BYTES];
    const struct checkpoint c = checkpoint_of(r);
    r->state.seconds = r->seconds_before + progress_now() - r->begin_s;
    r->checkpoint_s = progress_now();
    out_path(r, "checkpoint.safetensors", path);
    return checkpoint_write(path, &c, err);
}

static int plot_curve(struct run *r, struct elmo_error *err)
{
    char csv[MAX_PATH_BYTES], svg[MAX_PATH_BYTES];
    struct curve_point *points;
    size_t n_points;
    out_path(r, "curve.csv", csv);
    out_path(r, "curve.svg", svg);
    int e = curve_read(&points, &n_points, NULL, csv, err);
    if (e)
        return e;
    e = curve_plot(svg, r->settings->out, points, n_points, NULL, err);
    free(points);
    return e;
}

/* Held-out perplexity, a point of the curve, a checkpoint. A signal does not wait for the first
 * two. */
static int evaluate(struct run *r, struct elmo_error *err)
{
    struct bilm_score score = {0};
    for (size_t k = 0; k < r->heldout_batches.n_batches; k++) {
        struct bilm_batch batch;
        if (stop_signal_came())
            return write_checkpoint(r, err);
        batches_fill(&r->heldout_batches, k, &batch);
        show(r, "held-out");
        int e = bilm_eval_add(r->eval, &score, r->values, &batch, err);
        if (e)
            return e;
    }
    const struct curve_point point = {
        .step = r->state.n_steps,
        .tokens = r->state.n_tokens,
        .epoch =
            (double)r->state.epoch + (double)r->state.next_batch / (double)r->batches.n_batches,
        .seconds = r->seconds_before + progress_now() - r->begin_s,
        .learning_rate = learning_rate(r),
        .loss = r->n_loss ? r->loss_sum / (double)r->n_loss : NAN,
        .perplexity_forward = bilm_perplexity(&score, 0),
        .perplexity_backward = bilm_perplexity(&score, 1),
        .perplexity = bilm_joint_perplexity(&score),
    };
    if (!isfinite(point.perplexity)) /* weights that must not become a checkpoint */
        return fail_not_finite(r, "the held-out perplexity", err);
    r->loss_sum = 0;
    r->n_loss = 0;
    r->next_eval = r->state.n_tokens + r->settings->eval_tokens;
    progress_clear(&r->progress);
    if (!r->settings->quiet)
        fprintf(stderr,
                "%llu tokens: held-out perplexity %.1f forward, %.1f backward, %.1f joint\n",
                (unsigned long long)r->state.n_tokens, point.perplexity_forward,
                point.perplexity_backward, point.perplexity);
    int e = curve_add(r->curve, &point, err);
    if (!e)
        e = plot_curve(r, err);
    return e ? e : write_checkpoint(r, err);
}

static bool at_end(const struct run *r)
{
    const struct pretrain_settings *s = r->settings;
    return stop_signal_came() || (s->tokens && r->state.n_tokens >= s->tokens) ||
           (s->hours > 0 && progress_now() - r->begin_s >= s->hours * 3600);
}

static int run_loop(struct run *r, struct elmo_error *err)
{
    int e = 0;
    while (!e && !at_end(r)) {
        if (r->state.next_batch >= r->batches.n_batches)
            e = next_epoch(r, err);
        if (!e)
            e = train_step(r, err);
        if (e)
            break;
        show(r, "train");
        if (r->state.n_tokens >= r->next_eval)
            e = evaluate(r, err);
        else if (progress_now() - r->checkpoint_s > r->settings->checkpoint_minutes * 60)
            e = write_checkpoint(r, err);
    }
    progress_clear(&r->progress);
    if (!e && !stop_signal_came() && r->n_loss)
        return evaluate(r, err);
    return e ? e : write_checkpoint(r, err);
}

int pretrain_run(const struct pretrain_settings *settings, struct elmo_error *err)
{
    struct run r;
    int e = run_init(&r, settings, err);
    if (!e) {
        stop_signal_catch();
        e = run_loop(&r, err);
        stop_signal_release();
    }
    run_done(&r);
    return e;
}

#include "sentiment.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "head_file.h"
#include "inference/model.h"
#include "kernels/kernels.h"
#include "pseudo_labels.h"
#include "sentiment_job.h"
#include "sentiment_print.h"
#include "util/atomic_file.h"

#define HIDDEN_DIM        256
#define NOTEBOOK_WORDS    150
#define NOTEBOOK_RIDGE    0.01
#define BEST_RIDGE        0.1
#define MAX_TABLE_WEIGHTS ((size_t)1 << 23) /* of n-grams: more labels have fewer rows each */
#define FEW_TEXTS         10000             /* have few n-grams in common: rarer ones are kept */
#define VERY_FEW_TEXTS    1000
#define WHITENING_TEXTS   25000     /* enough to know the correlations */
#define CHECKPOINT_SUFFIX ".tuning" /* behind the name of the new model */
#define TUNE_TEXTS        1000      /* whose features tell fine-tuning their scales */
#define TUNE_DEVIATION    0.3 /* of its features: they go up and down together, and steps add up */

/* The texts that are not learnt. */
static size_t n_scored(const struct sentiment_job *j)
{
    return j->texts.n_dev + j->texts.n_test;
}

static void fitted_done(struct sentiment_fitted *f)
{
    free(f->values);
    ngram_model_done(&f->ngrams);
    calibration_done(&f->calibration);
    *f = (struct sentiment_fitted){0};
}

static void job_done(struct sentiment_job *j)
{
    fitted_done(&j->kept);
    free(j->provenance);
    free(j->checkpoint);
    finetuned_done(&j->tuned);
    ngram_texts_done(&j->ngram_texts);
    free(j->deep_logits);
    free(j->ngram_logits);
    whitening_done(&j->whitening);
    text_features_done(&j->features);
    team_free(j->team);
    sentiment_texts_done(&j->texts);
    elmo_model_free(j->model);
}

struct sentiment_settings sentiment_defaults(enum sentiment_head head, bool finetune)
{
    const struct finetune_settings tuned = finetune_defaults();
    size_t epochs = head == SENTIMENT_NOTEBOOK ? 1 : 30;
    double learning_rate = head == SENTIMENT_NOTEBOOK ? 1e-3 : 3e-4;
    return (struct sentiment_settings){
        .head = head,
        .finetune = finetune,
        .words = head == SENTIMENT_NOTEBOOK ? NOTEBOOK_WORDS : 0,
        .epochs = finetune ? tuned.n_epochs : epochs,
        .ngram_order = head == SENTIMENT_NOTEBOOK ? 0 : ngram_defaults().max_order,
        .dev_share = 0.1,
        .learning_rate = finetune ? tuned.learning_rate : learning_rate,
        .adversary = tuned.adversary,
        .checkpoint_minutes = 5,
        .threads = 2,
        .precision = products_best_precision(),
        .seed = 1,
        .n_seeds = 1,
    };
}

struct finetune_settings sentiment_tuning(const struct sentiment_settings *s, uint64_t seed)
{
    struct finetune_settings how = finetune_defaults();
    how.seed = seed;
    how.n_epochs = s->epochs;
    how.word_learning_rate *= s->learning_rate / how.learning_rate;
    how.learning_rate = s->learning_rate;
    how.adversary = s->adversary;
    how.precision = s->precision;
    return how;
}

/* ---- Loading ---- */

/* That hours of work are not written over by mistake, nor missed after minutes. */
static int name_checkpoint(struct sentiment_job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    size_t n_bytes = strlen(s->out) + sizeof CHECKPOINT_SUFFIX;
    j->checkpoint = malloc(n_bytes);
    if (!j->checkpoint)
        return elmo_fail_nomem(err);
    snprintf(j->checkpoint, n_bytes, "%s" CHECKPOINT_SUFFIX, s->out);
    bool exists = !access(j->checkpoint, F_OK);
    if (exists && !s->resume)
        return elmo_fail(err, ELMO_E_INVALID,
                         "'%.200s' holds a run: --resume goes on with it, another --out begins "
                         "anew",
                         j->checkpoint);
    if (!exists && s->resume)
        return elmo_fail(err, ELMO_E_INVALID, "cannot resume: there is no '%.200s'", j->checkpoint);
    return 0;
}

static int load(struct sentiment_job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    kernels_init();
    progress_init(&j->progress, s->quiet ? NULL : stderr, 30);
    int r = atomic_file_check(s->out, err);
    if (!r && s->finetune)
        r = name_checkpoint(j, err);
    if (!r)
        r = elmo_model_open(&j->model, s->model, NULL, err);
    if (!r && s->finetune)
        r = head_file_check_tunable(s->model, err);
    if (!r)
        r = sentiment_texts_load(&j->texts, s, j->out, err);
    if (!r)
        r = team_new(&j->team, s->threads, err);
    if (r)
        return r;
    bool best = s->head == SENTIMENT_BEST;
    size_t most = s->finetune ? TUNE_TEXTS : WHITENING_TEXTS;
    j->n_scales = j->texts.n_train < most ? j->texts.n_train : most;
    j->n_outputs = j->texts.set.n_labels == 2 ? 1 : j->texts.set.n_labels;
    size_t n_logits = n_scored(j) * j->n_outputs;
    j->net = head_net_make(&j->model->options, best, best, HIDDEN_DIM, j->n_outputs);
    j->deep_logits = calloc(n_logits + 1, sizeof *j->deep_logits);
    j->ngram_logits = calloc(n_logits + 1, sizeof *j->ngram_logits);
    if (!j->deep_logits || !j->ngram_logits)
        return elmo_fail_nomem(err);
    if (j->out)
        sentiment_print_summary(j->out, j->model, &j->net);
    return 0;
}

/* ---- Features of the frozen biLM, whitened ---- */

/* The fewer texts a dimension, the less their correlations are believed. Fine-tuning changes the
 * features: whitened ones would magnify each step's change, so they are only scaled. */
static int learn_whitening(struct sentiment_job *j, const float *rows, size_t stride, double ridge,
                           struct elmo_error *err)
{
    size_t n = j->n_scales, dim = j->net.shape.input_dim;
    if (j->settings->finetune)
        return whitening_init_scales(&j->whitening, rows, n, stride, dim, TUNE_DEVIATION, err);
    ridge += (double)dim / (double)n;
    return whitening_init(&j->whitening, rows, n, stride, dim, ridge, err);
}

static void use_whitening(struct head_net *net, const struct whitening *w)
{
    net->centre = w->centre;
    net->scales = w->scales;
    net->whitener = w->matrix;
}

/* By the even mix's means, which the mix starts from; head_net whitens what its mix has become. */
static int whiten_mix(struct sentiment_job *j, struct elmo_error *err)
{
    const struct head_net *net = &j->net;
    size_t n = j->n_scales, D = net->shape.input_dim, P = net->proj_dim;
    AUTO(mem_free) float *means = calloc(n, D * sizeof *means);
    if (!means)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n; k++)
        for (size_t d = 0; d < D; d++) {
            const float *row = j->features.rows + k * j->features.dim;
            means[k * D + d] = row[d % P];
            for (size_t l = 0; l < net->n_layers; l++)
                means[k * D + d] += row[P + l * 2 * P + d];
            means[k * D + d] /= (float)(1 + net->n_layers);
        }
    int r = learn_whitening(j, means, D, NOTEBOOK_RIDGE, err);
    use_whitening(&j->net, &j->whitening);
    return r;
}

/* All layers need no mix, so the rows themselves are whitened, once. */
static int whiten_layers(struct sentiment_job *j, struct elmo_error *err)
{
    struct text_features *f = &j->features;
    int r = learn_whitening(j, f->rows, f->dim, BEST_RIDGE, err);
    return r ? r : whitening_apply(&j->whitening, f->rows, f->n_rows, f->dim, err);
}

/* The same rows for the texts and for the weights. */
static struct ngram_settings ngram_settings_of(const struct sentiment_job *j)
{
    struct ngram_settings how = ngram_defaults();
    how.max_order = j->settings->ngram_order;
    if (j->texts.n_train < FEW_TEXTS)
        how.min_count = j->texts.n_train < VERY_FEW_TEXTS ? 1 : 2;
    while (how.n_rows * j->n_outputs > MAX_TABLE_WEIGHTS)
        how.n_rows /= 2;
    return how;
}

static int prepare_texts(struct sentiment_job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    const struct ngram_settings ngrams = ngram_settings_of(j);
    size_t n = j->texts.n_train + n_scored(j);
    size_t n_features = s->finetune ? j->n_scales : n;
    int r = text_features_init(&j->features, j->model, j->texts.items, n_features, j->team,
                               &j->progress, err);
    progress_clear(&j->progress);
    if (!r)
        r = s->head == SENTIMENT_BEST ? whiten_layers(j, err) : whiten_mix(j, err);
    if (!r && s->ngram_order)
        r = ngram_texts_init(&j->ngram_texts, j->model, j->texts.items, n, j->texts.n_train,
                             &ngrams, err);
    return r;
}

/* ---- One seed ---- */

static int fit_ngrams(struct sentiment_job *j, struct sentiment_fitted *f, struct elmo_error *err)
{
    struct ngram_settings how = ngram_settings_of(j);
    how.seed = f->seed;
    int r = ngram_model_init(&f->ngrams, &j->ngram_texts, j->texts.items, j->texts.n_train,
                             j->n_outputs, &how, err);
    for (size_t k = 0; k < n_scored(j) && !r; k++) {
        double logits[LABELLED_MAX_LABELS];
        ngram_model_logits(logits, &f->ngrams, &j->ngram_texts, j->texts.n_train + k);
        for (size_t out = 0; out < j->n_outputs; out++)
            j->ngram_logits[k * j->n_outputs + out] = (real)logits[out];
    }
    return r;
}

static int fit_frozen(struct sentiment_job *j, struct sentiment_fitted *f, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    bool best = s->head == SENTIMENT_BEST;
    const struct head_fit_settings how = {
        .n_epochs = s->epochs,
        .batch_texts = 32,
        .patience = best ? 4 : 0,
        .learning_rate = s->learning_rate,
        .decay = best ? 0.1 : 0,
        .dropout = best ? 0.5 : 0,
        .seed = f->seed,
    };
    const struct head_fit_texts texts = {j->features.rows, j->features.dim, j->texts.items,
                                         j->texts.n_train, j->texts.n_dev};
    int r = head_fit(f->values, &j->net, &texts, &how, j->out, err);
    return r ? r
             : head_logits(j->deep_logits, &j->net, f->values, &texts, j->texts.n_train,
                           n_scored(j), err);
}

/* A model file of the tuned biLM alone: what is measured next is what will be served. The file has
 * no name once it is open, so that none is left behind. */
static int open_tuned(struct elmo_model **ret_model, const struct sentiment_job *j,
                      struct elmo_error *err)
{
    const char *out = j->settings->out;
    size_t n_bytes = strlen(out) + sizeof ".tuned";
    AUTO(mem_free) char *path = malloc(n_bytes);
    if (!path)
        return elmo_fail_nomem(err);
    snprintf(path, n_bytes, "%s.tuned", out);
    const struct head_file file = {
        .model = j->settings->model,
        .out = path,
        .provenance = elmo_model_info(j->model)->provenance,
        .tuned = &j->tuned,
    };
    int r = head_file_write(&file, err);
    if (r)
        return r;
    r = elmo_model_open(ret_model, path, NULL, err);
    unlink(path);
    return r;
}

/* The logits anew, from the file's features. `net` whitens: these rows are not. */
static int score_tuned(struct sentiment_job *j, const struct head_net *net, real *values,
                       struct elmo_error *err)
{
    struct elmo_model *tuned = NULL;
    struct text_features features = {0};
    const struct labelled_text *items = j->texts.items + j->texts.n_train;
    size_t n = n_scored(j);
    int r = open_tuned(&tuned, j, err);
    if (!r)
        r = text_features_init(&features, tuned, items, n, j->team, &j->progress, err);
    progress_clear(&j->progress);
    const struct head_fit_texts texts = {features.rows, features.dim, items, 0, n};
    if (!r)
        r = head_logits(j->deep_logits, net, values, &texts, 0, n, err);
    text_features_done(&features);
    elmo_model_free(tuned);
    return r;
}

/* Labels the unlabelled texts that the n-grams are sure of, which come first then: *ret_n. */
static int label_unlabelled(struct sentiment_job *j, size_t *ret_n,
                            const struct sentiment_fitted *f, struct elmo_error *err)
{
    struct labelled_set *set = &j->texts.unlabelled_set;
    const struct labelled_text *dev = j->texts.items + j->texts.n_train;
    const struct ngram_settings ngrams = ngram_settings_of(j);
    struct calibration calibration = {0};
    const struct pseudo_labeller labeller = {j->model, &f->ngrams, &ngrams, &calibration,
                                             PSEUDO_CONFIDENCE};
    int r = calibration_init(&calibration, j->ngram_logits, NULL, dev, j->texts.n_dev, j->n_outputs,
                             err);
    if (!r)
        r = pseudo_label(set->items, set->n_items, ret_n, &labeller, err);
    calibration_done(&calibration);
    if (!r && j->out)
        fprintf(j->out, "%zu of %zu texts without labels labelled by the n-grams\n", *ret_n,
                set->n_items);
    return r;
}

/* What fine-tuning learns, *ret_n_train, and the texts for development behind it. */
static int texts_to_tune(struct sentiment_job *j, struct labelled_text **ret_items,
                         size_t *ret_n_train, const struct sentiment_fitted *f,
                         struct elmo_error *err)
{
    const struct sentiment_texts *t = &j->texts;
    size_t n_more = 0;
    int r = j->settings->unlabelled ? label_unlabelled(j, &n_more, f, err) : 0;
    j->n_pseudo_labelled = n_more;
    struct labelled_text *items = calloc(t->n_train + n_more + t->n_dev + 1, sizeof *items);
    if (!r && !items)
        r = elmo_fail_nomem(err);
    if (r) {
        free(items);
        return r;
    }
    memcpy(items, t->items, t->n_train * sizeof *items);
    if (n_more)
        memcpy(items + t->n_train, t->unlabelled_set.items, n_more * sizeof *items);
    memcpy(items + t->n_train + n_more, t->items + t->n_train, t->n_dev * sizeof *items);
    *ret_items = items;
    *ret_n_train = t->n_train + n_more;
    return 0;
}

static int tune(struct sentiment_job *j, struct sentiment_fitted *f, struct elmo_error *err)
{
    size_t n_train;
    AUTO(mem_free) struct labelled_text *items = NULL;
    const struct finetune_settings how = sentiment_tuning(j->settings, f->seed);
    struct head_net net = j->net;
    int r = texts_to_tune(j, &items, &n_train, f, err);
    if (r)
        return r;
    use_whitening(&net, &j->whitening);
    const struct finetune job = {
        .model = j->model,
        .path = j->settings->model,
        .items = items,
        .n_train = n_train,
        .n_dev = j->texts.n_dev,
        .team = j->team,
        .head = &net,
        .progress = &j->progress,
        .out = j->out,
        .checkpoint = j->checkpoint,
        .checkpoint_seconds = 60 * j->settings->checkpoint_minutes,
        .resume = j->settings->resume,
    };
    r = finetune_run(&j->tuned, f->values, &job, &how, err);
    return r || !n_scored(j) ? r : score_tuned(j, &net, f->values, err);
}

/* Development texts and test texts of the logits. */
static void score(const struct sentiment_job *j, const real *logits, struct head_fit_score *ret_dev,
                  struct head_fit_score *ret_test)
{
    const struct labelled_text *dev = j->texts.items + j->texts.n_train;
    *ret_dev = head_score(logits, j->n_outputs, dev, j->texts.n_dev);
    *ret_test = head_score(logits + j->texts.n_dev * j->n_outputs, j->n_outputs,
                           dev + j->texts.n_dev, j->texts.n_test);
}

static void print_score(const struct sentiment_job *j, const char *what, const real *logits)
{
    struct head_fit_score dev, test;
    score(j, logits, &dev, &test);
    if (j->out && j->texts.n_dev)
        sentiment_print_score(j->out, what, &dev, j->texts.n_test ? &test : NULL);
}

static int calibrate(struct sentiment_job *j, struct sentiment_fitted *f, struct elmo_error *err)
{
    const real *second = j->settings->ngram_order ? j->ngram_logits : NULL;
    int r = calibration_init(&f->calibration, j->deep_logits, second,
                             j->texts.items + j->texts.n_train, j->texts.n_dev, j->n_outputs, err);
    if (r)
        return r;
    print_score(j, "biLM alone", j->deep_logits);
    if (second)
        print_score(j, "n-grams alone", j->ngram_logits);
    calibration_apply(&f->calibration, j->deep_logits, second, n_scored(j), j->n_outputs);
    print_score(j, second ? "both, calibrated" : "calibrated", j->deep_logits);
    score(j, j->deep_logits, &f->dev, &f->test);
    return 0;
}

static int fit(struct sentiment_job *j, struct sentiment_fitted *f, struct elmo_error *err)
{
    if (j->out && j->settings->n_seeds > 1)
        fprintf(j->out, "\nSeed %llu\n", (unsigned long long)f->seed);
    f->values = calloc(head_net_size(&j->net), sizeof *f->values);
    if (!f->values)
        return elmo_fail_nomem(err);
    head_net_randomize(&j->net, f->values, f->seed);
    int r = j->settings->ngram_order ? fit_ngrams(j, f, err) : 0;
    if (!r)
        r = j->settings->finetune ? tune(j, f, err) : fit_frozen(j, f, err);
    return r ? r : calibrate(j, f, err);
}

/* ---- All seeds: the one with the least development loss is kept ---- */

static int fit_seeds(struct sentiment_job *j, struct elmo_error *err)
{
    size_t n_seeds = j->settings->n_seeds;
    AUTO(mem_free) struct sentiment_seed *table = calloc(n_seeds, sizeof *table);
    if (!table)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_seeds; k++) {
        struct sentiment_fitted f = {.seed = j->settings->seed + k};
        int r = fit(j, &f, err);
        table[k] = (struct sentiment_seed){f.seed, f.dev.accuracy, f.test.accuracy};
        if (!r && (!j->kept.values || f.dev.loss < j->kept.dev.loss)) {
            struct sentiment_fitted worse = j->kept;
            j->kept = f;
            f = worse;
        }
        fitted_done(&f);
        if (r)
            return r;
    }
    if (j->out && n_seeds > 1)
        sentiment_print_seeds(j->out, table, n_seeds, j->texts.n_test);
    return 0;
}

int sentiment_run(const struct sentiment_settings *settings, struct elmo_error *err)
{
    struct sentiment_job j = {.settings = settings, .out = settings->quiet ? NULL : stdout};
    if (settings->n_seeds < 1 || settings->n_seeds > (settings->finetune ? 1 : SENTIMENT_MAX_SEEDS))
        return elmo_fail(err, ELMO_E_INVALID, "1 to %u seeds, and one with fine-tuning",
                         SENTIMENT_MAX_SEEDS);
    int r = load(&j, err);
    if (!r)
        r = prepare_texts(&j, err);
    if (!r)
        r = fit_seeds(&j, err);
    if (!r)
        r = sentiment_write(&j, err);
    if (!r && j.checkpoint)
        unlink(j.checkpoint);
    job_done(&j);
    return r;
}

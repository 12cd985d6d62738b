#include "sentiment.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "atomic_file.h"
#include "calibration.h"
#include "commit.h"
#include "error.h"
#include "finetune.h"
#include "head_file.h"
#include "head_fit.h"
#include "kernels/kernels.h"
#include "model.h"
#include "ngram_model.h"
#include "provenance.h"
#include "sentiment_print.h"
#include "text_features.h"
#include "whitening.h"

#define HIDDEN_DIM        256
#define NOTEBOOK_WORDS    150
#define NOTEBOOK_RIDGE    0.01
#define BEST_RIDGE        0.1
#define MAX_TABLE_WEIGHTS ((size_t)1 << 23) /* of n-grams: more labels have fewer rows each */
#define FEW_TEXTS         10000             /* have few n-grams in common: rarer ones are kept */
#define VERY_FEW_TEXTS    1000
#define WHITENING_TEXTS   25000 /* enough to know the correlations */
#define TUNE_TEXTS        1000  /* whose features tell fine-tuning their scales */
#define TUNE_RIDGE        10.0 /* standardises; whitened features would magnify each step's change */

/* What one seed has learnt. */
struct fitted {
    uint64_t seed;
    real *values;              /* [head_net_size()] */
    struct ngram_model ngrams; /* {0}: none */
    struct calibration calibration;
    struct head_fit_score dev, test;
};

/* Everything of a run; job_done takes it apart. The texts are in this order: those to learn, those
 * for development, those for the test. */
struct job {
    const struct sentiment_settings *settings;
    FILE *out; /* NULL: quiet */
    struct elmo_model *model;
    struct labelled_set set, test_set;
    struct labelled_text *items; /* [n_train + n_dev + n_test], owned; texts are the sets' */
    size_t n_train, n_dev, n_test, n_outputs;
    size_t n_scales; /* the first ones to learn, which tell how features are whitened */
    struct team *team;
    struct progress progress;
    struct text_features features;
    struct whitening whitening;
    struct head_net net;
    struct ngram_texts ngram_texts;
    real *deep_logits, *ngram_logits; /* [n_dev + n_test, n_outputs] of the seed at hand */
    struct fitted kept;
    struct finetuned tuned; /* {0}: the biLM stays as it is */
    char *provenance;
};

static void fitted_done(struct fitted *f)
{
    free(f->values);
    ngram_model_done(&f->ngrams);
    calibration_done(&f->calibration);
    *f = (struct fitted){0};
}

static void job_done(struct job *j)
{
    fitted_done(&j->kept);
    free(j->provenance);
    finetuned_done(&j->tuned);
    ngram_texts_done(&j->ngram_texts);
    free(j->deep_logits);
    free(j->ngram_logits);
    whitening_done(&j->whitening);
    text_features_done(&j->features);
    team_free(j->team);
    free(j->items);
    labelled_done(&j->set);
    labelled_done(&j->test_set);
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
        .threads = 2,
        .precision = products_best_precision(),
        .seed = 1,
        .n_seeds = 1,
    };
}

/* ---- Loading ---- */

/* At most `limit` of the set's texts (0: all), in the seed's order. */
static int load_set(struct labelled_set *set, const struct job *j, const char *path,
                    const char *split, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    const struct labelled_settings how = {.split = split, .max_words = s->words};
    int r = labelled_load(set, path, &how, err);
    if (r)
        return r;
    if (j->out)
        labelled_print(set, j->out);
    labelled_shuffle(set->items, set->n_items, s->seed);
    if (s->limit && s->limit < set->n_items)
        set->n_items = s->limit;
    return 0;
}

static int load_test(struct job *j, struct elmo_error *err)
{
    int r = load_set(&j->test_set, j, j->settings->test, "test", err);
    if (r)
        return r;
    if (!strcmp(j->set.sha256, j->test_set.sha256))
        return elmo_fail(err, ELMO_E_INVALID, "the texts of '%.200s' are those that are learnt",
                         j->settings->test);
    j->n_test = j->test_set.n_items;
    bool same = j->test_set.n_labels == j->set.n_labels;
    for (size_t k = 0; k < j->set.n_labels && same; k++)
        same = !strcmp(j->set.labels[k], j->test_set.labels[k]);
    return same ? 0
                : elmo_fail(err, ELMO_E_INVALID,
                            "the texts of '%.200s' have other labels than those of '%.200s'",
                            j->settings->test, j->settings->data);
}

static int load_texts(struct job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    int r = load_set(&j->set, j, s->data, "train", err);
    j->n_train = j->set.n_items;
    if (!r && s->dev_share > 0)
        r = labelled_split_by_group(&j->set, s->seed, s->dev_share, &j->n_train, err);
    if (!r && s->test)
        r = load_test(j, err);
    if (r)
        return r;
    j->n_dev = j->set.n_items - j->n_train;
    size_t most = s->finetune ? TUNE_TEXTS : WHITENING_TEXTS;
    j->n_scales = j->n_train < most ? j->n_train : most;
    j->n_outputs = j->set.n_labels == 2 ? 1 : j->set.n_labels;
    j->items = calloc(j->set.n_items + j->n_test, sizeof *j->items);
    if (!j->items)
        return elmo_fail_nomem(err);
    memcpy(j->items, j->set.items, j->set.n_items * sizeof *j->items);
    if (j->n_test)
        memcpy(j->items + j->set.n_items, j->test_set.items, j->n_test * sizeof *j->items);
    if (j->out)
        fprintf(j->out, "%zu to learn, %zu for development, %zu for the test\n", j->n_train,
                j->n_dev, j->n_test);
    return 0;
}

static int load(struct job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    kernels_init();
    progress_init(&j->progress, s->quiet ? NULL : stderr, 30);
    int r = atomic_file_check(s->out, err);
    if (!r)
        r = elmo_model_open(&j->model, s->model, err);
    if (!r)
        r = load_texts(j, err);
    if (!r)
        r = team_new(&j->team, s->threads, err);
    if (r)
        return r;
    bool best = s->head == SENTIMENT_BEST;
    size_t n_logits = (j->n_dev + j->n_test) * j->n_outputs;
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

/* The fewer texts a dimension, the less their correlations are believed. */
static double ridge(const struct job *j, double least, size_t n_texts)
{
    return j->settings->finetune ? TUNE_RIDGE
                                 : least + (double)j->net.shape.input_dim / (double)n_texts;
}

/* By the even mix's means, which the mix starts from; head_net whitens what its mix has become. */
static int whiten_mix(struct job *j, struct elmo_error *err)
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
    int r = whitening_init(&j->whitening, means, n, D, D, ridge(j, NOTEBOOK_RIDGE, n), err);
    j->net.centre = j->whitening.centre;
    j->net.whitener = j->whitening.matrix;
    return r;
}

/* All layers need no mix, so the rows themselves are whitened, once. */
static int whiten_layers(struct job *j, struct elmo_error *err)
{
    struct text_features *f = &j->features;
    size_t n = j->n_scales;
    int r = whitening_init(&j->whitening, f->rows, n, f->dim, j->net.shape.input_dim,
                           ridge(j, BEST_RIDGE, n), err);
    return r ? r : whitening_apply(&j->whitening, f->rows, f->n_rows, f->dim, err);
}

/* The same rows for the texts and for the weights. */
static struct ngram_settings ngram_settings_of(const struct job *j)
{
    struct ngram_settings how = ngram_defaults();
    how.max_order = j->settings->ngram_order;
    if (j->n_train < FEW_TEXTS)
        how.min_count = j->n_train < VERY_FEW_TEXTS ? 1 : 2;
    while (how.n_rows * j->n_outputs > MAX_TABLE_WEIGHTS)
        how.n_rows /= 2;
    return how;
}

static int prepare_texts(struct job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    const struct ngram_settings ngrams = ngram_settings_of(j);
    size_t n = j->n_train + j->n_dev + j->n_test, n_features = s->finetune ? j->n_scales : n;
    int r = text_features_init(&j->features, j->model, j->items, n_features, j->team, &j->progress,
                               err);
    progress_clear(&j->progress);
    if (!r)
        r = s->head == SENTIMENT_BEST ? whiten_layers(j, err) : whiten_mix(j, err);
    if (!r && s->ngram_order)
        r = ngram_texts_init(&j->ngram_texts, j->model, j->items, n, j->n_train, &ngrams, err);
    return r;
}

/* ---- One seed ---- */

static int fit_frozen(struct job *j, struct fitted *f, struct elmo_error *err)
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
    const struct head_fit_texts texts = {j->features.rows, j->features.dim, j->items, j->n_train,
                                         j->n_dev};
    int r = head_fit(f->values, &j->net, &texts, &how, j->out, err);
    return r ? r
             : head_logits(j->deep_logits, &j->net, f->values, &texts, j->n_train,
                           j->n_dev + j->n_test, err);
}

/* A model file of the tuned biLM alone: what is measured next is what will be served. The file has
 * no name once it is open, so that none is left behind. */
static int open_tuned(struct elmo_model **ret_model, const struct job *j, struct elmo_error *err)
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
    r = elmo_model_open(ret_model, path, err);
    unlink(path);
    return r;
}

/* The logits anew, from the file's features. `net` whitens: these rows are not. */
static int score_tuned(struct job *j, const struct head_net *net, real *values,
                       struct elmo_error *err)
{
    struct elmo_model *tuned = NULL;
    struct text_features features = {0};
    const struct labelled_text *items = j->items + j->n_train;
    size_t n = j->n_dev + j->n_test;
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

static int tune(struct job *j, struct fitted *f, struct elmo_error *err)
{
    struct finetune_settings how = finetune_defaults();
    struct head_net net = j->net;
    net.centre = j->whitening.centre;
    net.whitener = j->whitening.matrix;
    const struct finetune job = {
        .model = j->model,
        .path = j->settings->model,
        .items = j->items,
        .n_train = j->n_train,
        .n_dev = j->n_dev,
        .team = j->team,
        .head = &net,
        .progress = &j->progress,
        .out = j->out,
    };
    how.seed = f->seed;
    how.n_epochs = j->settings->epochs;
    how.learning_rate = how.word_learning_rate = j->settings->learning_rate;
    how.precision = j->settings->precision;
    int r = finetune_run(&j->tuned, f->values, &job, &how, err);
    return r || !(j->n_dev + j->n_test) ? r : score_tuned(j, &net, f->values, err);
}

static int fit_ngrams(struct job *j, struct fitted *f, struct elmo_error *err)
{
    struct ngram_settings how = ngram_settings_of(j);
    how.seed = f->seed;
    int r = ngram_model_init(&f->ngrams, &j->ngram_texts, j->items, j->n_train, j->n_outputs, &how,
                             err);
    for (size_t k = 0; k < j->n_dev + j->n_test && !r; k++) {
        double logits[LABELLED_MAX_LABELS];
        ngram_model_logits(logits, &f->ngrams, &j->ngram_texts, j->n_train + k);
        for (size_t out = 0; out < j->n_outputs; out++)
            j->ngram_logits[k * j->n_outputs + out] = (real)logits[out];
    }
    return r;
}

/* Development texts and test texts of the logits. */
static void score(const struct job *j, const real *logits, struct head_fit_score *ret_dev,
                  struct head_fit_score *ret_test)
{
    const struct labelled_text *dev = j->items + j->n_train;
    *ret_dev = head_score(logits, j->n_outputs, dev, j->n_dev);
    *ret_test =
        head_score(logits + j->n_dev * j->n_outputs, j->n_outputs, dev + j->n_dev, j->n_test);
}

static void print_score(const struct job *j, const char *what, const real *logits)
{
    struct head_fit_score dev, test;
    score(j, logits, &dev, &test);
    if (j->out && j->n_dev)
        sentiment_print_score(j->out, what, &dev, j->n_test ? &test : NULL);
}

static int calibrate(struct job *j, struct fitted *f, struct elmo_error *err)
{
    const real *second = j->settings->ngram_order ? j->ngram_logits : NULL;
    int r = calibration_init(&f->calibration, j->deep_logits, second, j->items + j->n_train,
                             j->n_dev, j->n_outputs, err);
    if (r)
        return r;
    print_score(j, "biLM alone", j->deep_logits);
    if (second)
        print_score(j, "n-grams alone", j->ngram_logits);
    calibration_apply(&f->calibration, j->deep_logits, second, j->n_dev + j->n_test, j->n_outputs);
    print_score(j, second ? "both, calibrated" : "calibrated", j->deep_logits);
    score(j, j->deep_logits, &f->dev, &f->test);
    return 0;
}

static int fit(struct job *j, struct fitted *f, struct elmo_error *err)
{
    if (j->out && j->settings->n_seeds > 1)
        fprintf(j->out, "\nSeed %llu\n", (unsigned long long)f->seed);
    f->values = calloc(head_net_size(&j->net), sizeof *f->values);
    if (!f->values)
        return elmo_fail_nomem(err);
    head_net_randomize(&j->net, f->values, f->seed);
    int r = j->settings->finetune ? tune(j, f, err) : fit_frozen(j, f, err);
    if (!r && j->settings->ngram_order)
        r = fit_ngrams(j, f, err);
    return r ? r : calibrate(j, f, err);
}

/* ---- All seeds: the one with the least development loss is kept ---- */

static int fit_seeds(struct job *j, struct elmo_error *err)
{
    size_t n_seeds = j->settings->n_seeds;
    AUTO(mem_free) struct sentiment_seed *table = calloc(n_seeds, sizeof *table);
    if (!table)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_seeds; k++) {
        struct fitted f = {.seed = j->settings->seed + k};
        int r = fit(j, &f, err);
        table[k] = (struct sentiment_seed){f.seed, f.dev.accuracy, f.test.accuracy};
        if (!r && (!j->kept.values || f.dev.loss < j->kept.dev.loss)) {
            struct fitted worse = j->kept;
            j->kept = f;
            f = worse;
        }
        fitted_done(&f);
        if (r)
            return r;
    }
    if (j->out && n_seeds > 1)
        sentiment_print_seeds(j->out, table, n_seeds, j->n_test);
    return 0;
}

/* ---- The file ---- */

/* The whitening goes into the first layer, the calibration into the last and the n-grams. */
static int fold(struct job *j, struct elmo_error *err)
{
    struct head_params p;
    struct fitted *f = &j->kept;
    const struct head_shape *s = &j->net.shape;
    const struct calibration *c = &f->calibration;
    head_net_params(&p, &j->net, f->values);
    for (size_t k = 0; k < s->hidden_dim * s->output_dim; k++)
        p.w2[k] *= (real)c->a;
    for (size_t k = 0; k < s->output_dim; k++)
        p.b2[k] = (real)(c->a * (double)p.b2[k] + c->c[k] +
                         (f->ngrams.bias ? c->b * (double)f->ngrams.bias[k] : 0));
    for (size_t k = 0; k < f->ngrams.n_rows * s->output_dim; k++)
        f->ngrams.weights[k] *= (float)c->b;
    return whitening_fold(&j->whitening, p.w1, p.b1, s->hidden_dim, err);
}

/* ---- Writing ---- */

/* What fine-tuning has besides; NULL: nothing, or out of memory. */
static json_t *finetune_json(const struct sentiment_settings *s)
{
    const struct finetune_settings how = finetune_defaults();
    return s->finetune
               ? json_pack("{s:s, s:f, s:f, s:f, s:I, s:I}", "precision",
                           precision_name(s->precision), "dropout", how.dropout, "word_dropout",
                           how.word_dropout, "head_dropout", how.head_dropout, "batch_tokens",
                           (json_int_t)how.batch_tokens, "min_count", (json_int_t)how.min_count)
               : NULL;
}

static json_t *settings_json(const struct job *j)
{
    const struct sentiment_settings *s = j->settings;
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:o*}", "words",
                     (json_int_t)s->words, "limit", (json_int_t)s->limit, "epochs",
                     (json_int_t)s->epochs, "ngram_order", (json_int_t)s->ngram_order,
                     "learning_rate", s->learning_rate, "dev_share", s->dev_share, "threads",
                     (json_int_t)s->threads, "seed", (json_int_t)j->kept.seed, "best_of_seeds",
                     (json_int_t)s->n_seeds, "finetune", finetune_json(s));
}

/* How this head came about; NULL: out of memory. */
static json_t *head_json(const struct job *j)
{
    json_t *head = json_pack(
        "{s:s, s:s, s:s, s:b, s:I, s:I, s:s, s:o}", "trained_with", "elmo-train sentiment",
        "commit", train_commit, "head", j->settings->head == SENTIMENT_BEST ? "best" : "notebook",
        "fine_tuned", j->tuned.values != NULL, "texts_train", (json_int_t)j->n_train, "texts_dev",
        (json_int_t)j->n_dev, "texts_sha256", j->set.sha256, "settings", settings_json(j));
    bool ok = head;
    if (ok && j->n_dev)
        ok = !json_object_set_new(head, "accuracy_dev", json_real(j->kept.dev.accuracy)) &&
             !json_object_set_new(head, "log_loss_dev", json_real(j->kept.dev.loss));
    if (ok && j->n_test)
        ok = !json_object_set_new(head, "accuracy_test", json_real(j->kept.test.accuracy)) &&
             !json_object_set_new(head, "texts_test", json_integer((json_int_t)j->n_test)) &&
             !json_object_set_new(head, "test_sha256", json_string(j->test_set.sha256));
    if (ok)
        return head;
    json_decref(head);
    return NULL;
}

static int write_file(struct job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    struct head_params p;
    head_net_params(&p, &j->net, j->kept.values);
    struct trained_head head = {
        .shape = j->net.shape,
        .pooling = s->head == SENTIMENT_BEST ? "mean_max" : "mean",
        .mix_weights = p.mix_weights,
        .mix_gamma = p.mix_gamma,
        .w1 = p.w1,
        .b1 = p.b1,
        .w2 = p.w2,
        .b2 = p.b2,
        .ngrams = j->kept.ngrams.weights,
        .ngram_order = s->ngram_order,
        .labels = j->set.labels,
        .n_labels = j->set.n_labels,
    };
    head.shape.n_ngram_rows = j->kept.ngrams.n_rows;
    const struct head_file file = {
        .model = s->model,
        .out = s->out,
        .name = s->name,
        .provenance = j->provenance,
        .tuned = j->tuned.values ? &j->tuned : NULL,
        .head = &head,
    };
    return head_file_write(&file, err);
}

int sentiment_run(const struct sentiment_settings *settings, struct elmo_error *err)
{
    struct job j = {.settings = settings, .out = settings->quiet ? NULL : stdout};
    if (settings->n_seeds < 1 || settings->n_seeds > (settings->finetune ? 1 : SENTIMENT_MAX_SEEDS))
        return elmo_fail(err, ELMO_E_INVALID, "1 to %u seeds, and one with fine-tuning",
                         SENTIMENT_MAX_SEEDS);
    int r = load(&j, err);
    if (!r)
        r = prepare_texts(&j, err);
    if (!r)
        r = fit_seeds(&j, err);
    if (!r)
        r = fold(&j, err);
    if (!r)
        r = provenance_add(&j.provenance, elmo_model_info(j.model)->provenance, "sentiment",
                           head_json(&j), err);
    if (!r)
        r = write_file(&j, err);
    job_done(&j);
    return r;
}

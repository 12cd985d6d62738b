#include "sentiment.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

#define HIDDEN_DIM      256
#define NOTEBOOK_WORDS  150
#define NOTEBOOK_RIDGE  0.01
#define BEST_RIDGE      0.1
#define WHITENING_TEXTS 25000 /* enough to know the correlations */

/* Everything of a run; job_done takes it apart. */
struct job {
    const struct sentiment_settings *settings;
    FILE *out; /* NULL: quiet */
    struct elmo_model *model;
    struct labelled_set set;
    size_t n_train, n_dev, n_outputs;
    struct team *team;
    struct progress progress;
    struct text_features features;
    struct whitening whitening;
    struct head_net net;
    real *values;                     /* [head_net_size()] */
    real *deep_logits, *ngram_logits; /* [n_dev, n_outputs] */
    struct ngram_texts ngram_texts;
    struct ngram_model ngrams;
    struct calibration calibration;
    struct net tuned_net;
    real *tuned; /* [net_size(tuned_net)] the biLM's new tensors; NULL: it stays as it is */
    char *provenance;
};

static void job_done(struct job *j)
{
    free(j->provenance);
    free(j->tuned);
    net_done(&j->tuned_net);
    calibration_done(&j->calibration);
    ngram_model_done(&j->ngrams);
    ngram_texts_done(&j->ngram_texts);
    free(j->deep_logits);
    free(j->ngram_logits);
    free(j->values);
    whitening_done(&j->whitening);
    text_features_done(&j->features);
    team_free(j->team);
    labelled_done(&j->set);
    elmo_model_free(j->model);
}

struct sentiment_settings sentiment_defaults(enum sentiment_head head)
{
    return (struct sentiment_settings){
        .head = head,
        .words = head == SENTIMENT_NOTEBOOK ? NOTEBOOK_WORDS : 0,
        .epochs = head == SENTIMENT_NOTEBOOK ? 1 : 30,
        .ngram_order = head == SENTIMENT_NOTEBOOK ? 0 : 2,
        .dev_share = 0.1,
        .learning_rate = head == SENTIMENT_NOTEBOOK ? 1e-3 : 3e-4,
        .threads = 2,
        .seed = 1,
    };
}

/* ---- Loading ---- */

static int load_texts(struct job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    const struct labelled_settings how = {.max_words = s->words};
    int r = labelled_load(&j->set, s->data, &how, err);
    if (r)
        return r;
    if (j->out)
        labelled_print(&j->set, j->out);
    labelled_shuffle(j->set.items, j->set.n_items, s->seed);
    if (s->limit && s->limit < j->set.n_items)
        j->set.n_items = s->limit;
    j->n_train = j->set.n_items;
    if (s->dev_share > 0)
        r = labelled_split_by_group(&j->set, s->seed, s->dev_share, &j->n_train, err);
    j->n_dev = j->set.n_items - j->n_train;
    j->n_outputs = j->set.n_labels == 2 ? 1 : j->set.n_labels;
    if (!r && j->out)
        fprintf(j->out, "%zu to learn, %zu for development\n", j->n_train, j->n_dev);
    return r;
}

static int load(struct job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    kernels_init();
    progress_init(&j->progress, s->quiet ? NULL : stderr, 30);
    int r = elmo_model_open(&j->model, s->model, err);
    if (!r)
        r = load_texts(j, err);
    if (!r)
        r = team_new(&j->team, s->threads, err);
    if (r)
        return r;
    bool best = s->head == SENTIMENT_BEST;
    j->net = head_net_make(&j->model->options, best, best, HIDDEN_DIM, j->n_outputs);
    j->values = calloc(head_net_size(&j->net), sizeof *j->values);
    j->deep_logits = calloc(j->n_dev * j->n_outputs + 1, sizeof *j->deep_logits);
    j->ngram_logits = calloc(j->n_dev * j->n_outputs + 1, sizeof *j->ngram_logits);
    if (!j->values || !j->deep_logits || !j->ngram_logits)
        return elmo_fail_nomem(err);
    head_net_randomize(&j->net, j->values, s->seed);
    if (j->out)
        sentiment_print_summary(j->out, j->model, &j->net);
    return 0;
}

/* ---- The biLM's part: frozen features, whitened, and two dense layers ---- */

static size_t whitening_texts(const struct job *j)
{
    return j->n_train < WHITENING_TEXTS ? j->n_train : WHITENING_TEXTS;
}

/* Rows [n, input_dim] of the even mix's means, which the mix starts from. */
static int whiten_mix(struct job *j, struct elmo_error *err)
{
    const struct head_net *net = &j->net;
    size_t n = whitening_texts(j), D = net->shape.input_dim, P = net->proj_dim;
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
    int r = whitening_init(&j->whitening, means, n, D, D, NOTEBOOK_RIDGE, err);
    j->net.centre = j->whitening.centre;
    j->net.whitener = j->whitening.matrix;
    return r;
}

/* All layers need no mix, so the rows themselves are whitened, once. */
static int whiten_layers(struct job *j, struct elmo_error *err)
{
    struct text_features *f = &j->features;
    int r = whitening_init(&j->whitening, f->rows, whitening_texts(j), f->dim,
                           j->net.shape.input_dim, BEST_RIDGE, err);
    return r ? r : whitening_apply(&j->whitening, f->rows, f->n_rows, f->dim, err);
}

static int fit_frozen(struct job *j, struct elmo_error *err)
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
        .seed = s->seed,
    };
    int r = text_features_init(&j->features, j->model, j->set.items, j->set.n_items, j->team,
                               &j->progress, err);
    progress_clear(&j->progress);
    if (!r)
        r = best ? whiten_layers(j, err) : whiten_mix(j, err);
    const struct head_fit_texts texts = {j->features.rows, j->features.dim, j->set.items,
                                         j->n_train, j->n_dev};
    if (!r)
        r = head_fit(j->values, &j->net, &texts, &how, j->out, err);
    return r ? r
             : head_logits(j->deep_logits, &j->net, j->values, &texts, j->n_train, j->n_dev, err);
}

/* ---- Fine-tuning ---- */

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
        .net = &j->tuned_net,
        .values = j->tuned,
    };
    int r = head_file_write(&file, err);
    if (r)
        return r;
    r = elmo_model_open(ret_model, path, err);
    unlink(path);
    return r;
}

/* The development texts' logits anew, from the file. */
static int score_tuned(struct job *j, struct elmo_error *err)
{
    struct elmo_model *tuned = NULL;
    struct text_features f = {0};
    struct head_net net = j->net;
    const struct labelled_text *dev = j->set.items + j->n_train;
    int r = open_tuned(&tuned, j, err);
    if (!r)
        r = text_features_init(&f, tuned, dev, j->n_dev, j->team, &j->progress, err);
    progress_clear(&j->progress);
    net.centre = j->whitening.centre;
    net.whitener = j->whitening.matrix;
    const struct head_fit_texts texts = {f.rows, f.dim, dev, 0, j->n_dev};
    if (!r)
        r = head_logits(j->deep_logits, &net, j->values, &texts, 0, j->n_dev, err);
    text_features_done(&f);
    elmo_model_free(tuned);
    return r;
}

static int tune(struct job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    struct finetune_settings how = finetune_defaults();
    struct head_net net = j->net;
    net.centre = j->whitening.centre;
    net.whitener = j->whitening.matrix;
    const struct finetune job = {
        .model = j->model,
        .path = s->model,
        .items = j->set.items,
        .n_train = j->n_train,
        .n_dev = j->n_dev,
        .team = j->team,
        .head = &net,
        .progress = &j->progress,
        .out = j->out,
    };
    how.seed = s->seed;
    if (s->finetune_epochs)
        how.n_epochs = s->finetune_epochs;
    int r = finetune_run(&j->tuned_net, &j->tuned, j->values, &job, &how, err);
    return r || !j->n_dev ? r : score_tuned(j, err);
}

/* ---- The n-grams' part, and both together ---- */

static int fit_ngrams(struct job *j, struct elmo_error *err)
{
    struct ngram_settings how = ngram_defaults();
    how.max_order = j->settings->ngram_order;
    how.seed = j->settings->seed;
    int r = ngram_texts_init(&j->ngram_texts, j->model, j->set.items, j->set.n_items, how.max_order,
                             how.n_rows, err);
    if (!r)
        r = ngram_model_init(&j->ngrams, &j->ngram_texts, j->set.items, j->n_train, j->n_outputs,
                             &how, err);
    for (size_t k = 0; k < j->n_dev && !r; k++) {
        double logits[LABELLED_MAX_LABELS];
        ngram_model_logits(logits, &j->ngrams, &j->ngram_texts, j->n_train + k);
        for (size_t out = 0; out < j->n_outputs; out++)
            j->ngram_logits[k * j->n_outputs + out] = (real)logits[out];
    }
    return r;
}

static void print_score(const struct job *j, const char *what, const real *logits)
{
    const struct head_fit_score score =
        head_score(logits, j->n_outputs, j->set.items + j->n_train, j->n_dev);
    if (j->out && j->n_dev)
        fprintf(j->out, "development: %-28s loss %.4f  accuracy %.4f\n", what, score.loss,
                score.accuracy);
}

static int calibrate(struct job *j, struct elmo_error *err)
{
    bool ngrams = j->settings->ngram_order;
    const struct labelled_text *dev = j->set.items + j->n_train;
    int r = calibration_init(&j->calibration, j->deep_logits, ngrams ? j->ngram_logits : NULL, dev,
                             j->n_dev, j->n_outputs, err);
    if (r)
        return r;
    print_score(j, "biLM alone", j->deep_logits);
    if (ngrams)
        print_score(j, "n-grams alone", j->ngram_logits);
    calibration_apply(&j->calibration, j->deep_logits, ngrams ? j->ngram_logits : NULL, j->n_dev,
                      j->n_outputs);
    print_score(j, ngrams ? "both, calibrated" : "calibrated", j->deep_logits);
    return 0;
}

/* The whitening goes into the first layer, the calibration into the last and the n-grams. */
static int fold(struct job *j, struct elmo_error *err)
{
    struct head_params p;
    const struct head_shape *s = &j->net.shape;
    const struct calibration *c = &j->calibration;
    head_net_params(&p, &j->net, j->values);
    for (size_t k = 0; k < s->hidden_dim * s->output_dim; k++)
        p.w2[k] *= (real)c->a;
    for (size_t k = 0; k < s->output_dim; k++)
        p.b2[k] = (real)(c->a * (double)p.b2[k] + c->c[k] +
                         (j->ngrams.bias ? c->b * (double)j->ngrams.bias[k] : 0));
    for (size_t k = 0; k < j->ngrams.n_rows * s->output_dim; k++)
        j->ngrams.weights[k] *= (float)c->b;
    return whitening_fold(&j->whitening, p.w1, p.b1, s->hidden_dim, err);
}

/* ---- Writing ---- */

static json_t *settings_json(const struct job *j)
{
    const struct sentiment_settings *s = j->settings;
    size_t n_tuned = s->finetune_epochs ? s->finetune_epochs : finetune_defaults().n_epochs;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I}", "words", (json_int_t)s->words,
                     "limit", (json_int_t)s->limit, "epochs", (json_int_t)s->epochs,
                     "finetune_epochs", (json_int_t)(j->tuned ? n_tuned : 0), "ngram_order",
                     (json_int_t)s->ngram_order, "learning_rate", s->learning_rate, "dev_share",
                     s->dev_share, "threads", (json_int_t)s->threads, "seed", (json_int_t)s->seed);
}

/* How this head came about; NULL: out of memory. */
static json_t *head_json(const struct job *j)
{
    const struct labelled_text *dev = j->set.items + j->n_train;
    json_t *head = json_pack(
        "{s:s, s:s, s:s, s:b, s:I, s:I, s:s, s:o}", "trained_with", "elmo-train sentiment",
        "commit", train_commit, "head", j->settings->head == SENTIMENT_BEST ? "best" : "notebook",
        "fine_tuned", j->tuned != NULL, "texts_train", (json_int_t)j->n_train, "texts_dev",
        (json_int_t)j->n_dev, "texts_sha256", j->set.sha256, "settings", settings_json(j));
    if (!head || !j->n_dev)
        return head;
    const struct head_fit_score score = head_score(j->deep_logits, j->n_outputs, dev, j->n_dev);
    if (!json_object_set_new(head, "accuracy_dev", json_real(score.accuracy)) &&
        !json_object_set_new(head, "log_loss_dev", json_real(score.loss)))
        return head;
    json_decref(head);
    return NULL;
}

static int write_file(struct job *j, struct elmo_error *err)
{
    const struct sentiment_settings *s = j->settings;
    struct head_params p;
    head_net_params(&p, &j->net, j->values);
    struct trained_head head = {
        .shape = j->net.shape,
        .pooling = s->head == SENTIMENT_BEST ? "mean_max" : "mean",
        .mix_weights = p.mix_weights,
        .mix_gamma = p.mix_gamma,
        .w1 = p.w1,
        .b1 = p.b1,
        .w2 = p.w2,
        .b2 = p.b2,
        .ngrams = j->ngrams.weights,
        .ngram_order = s->ngram_order,
        .labels = j->set.labels,
        .n_labels = j->set.n_labels,
    };
    head.shape.n_ngram_rows = j->ngrams.n_rows;
    const struct head_file file = {
        .model = s->model,
        .out = s->out,
        .name = s->name,
        .provenance = j->provenance,
        .net = j->tuned ? &j->tuned_net : NULL,
        .values = j->tuned,
        .head = &head,
    };
    return head_file_write(&file, err);
}

int sentiment_run(const struct sentiment_settings *settings, struct elmo_error *err)
{
    struct job j = {.settings = settings, .out = settings->quiet ? NULL : stdout};
    int r = load(&j, err);
    if (!r)
        r = fit_frozen(&j, err);
    if (!r && settings->finetune)
        r = tune(&j, err);
    if (!r && settings->ngram_order)
        r = fit_ngrams(&j, err);
    if (!r)
        r = calibrate(&j, err);
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

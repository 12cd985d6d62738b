#include "finetune.h"

#include <math.h>
#include <string.h>

#include "adam.h"
#include "error.h"
#include "head_fit.h"
#include "model.h"
#include "optimizer.h"
#include "tune_batches.h"
#include "warm_start.h"

#define MAX_NORM 1.0
#define RISE     0.1 /* share of the steps in which the learning rate rises */

struct finetune_settings finetune_defaults(void)
{
    return (struct finetune_settings){
        .n_epochs = 2,
        .batch_tokens = 4096,
        .learning_rate = 3e-4,
        .head_learning_rate = 1e-3,
        .head_dropout = 0.5,
        .seed = 1,
    };
}

struct tuning {
    const struct finetune *job;
    const struct finetune_settings *settings;
    struct net net;
    real *values, *gradients, *best;           /* [net_size()], owned */
    real *head_values;                         /* borrowed */
    real *head_gradients, *head_best, *logits; /* owned */
    struct tune_loss *loss;
    struct optimizer optimizer;
    struct adam adam;
    struct tune_batches train, dev;
    size_t n_steps, n_total;
    uint64_t n_tokens;
};

static int tuning_init(struct tuning *t, struct elmo_error *err)
{
    const struct finetune *job = t->job;
    size_t batch = t->settings->batch_tokens, n_head = head_net_size(job->head);
    int r = net_init(&t->net, &job->model->options, 1, err); /* the softmax plays no part */
    if (!r)
        r = tune_loss_new(&t->loss, &t->net, job->team, err);
    if (!r)
        r = optimizer_init(&t->optimizer, &t->net, job->team, err);
    if (!r)
        r = adam_init(&t->adam, n_head, err);
    if (!r)
        r = tune_batches_init(&t->train, job->model, job->items, job->n_train, batch, err);
    if (!r)
        r = tune_batches_init(&t->dev, job->model, job->items + job->n_train, job->n_dev, batch,
                              err);
    if (!r && !t->train.n_texts)
        r = elmo_fail(err, ELMO_E_INVALID, "none of the texts to learn has a token");
    if (r)
        return r;
    size_t n = net_size(&t->net);
    t->values = calloc(n, sizeof *t->values);
    t->gradients = calloc(n, sizeof *t->gradients);
    t->best = calloc(n, sizeof *t->best);
    t->head_gradients = calloc(n_head, sizeof *t->head_gradients);
    t->head_best = calloc(n_head, sizeof *t->head_best);
    t->logits = calloc(batch * job->head->shape.output_dim, sizeof *t->logits);
    if (!t->values || !t->gradients || !t->best || !t->head_gradients || !t->head_best ||
        !t->logits)
        return elmo_fail_nomem(err);
    return warm_start(t->values, &t->net, job->path, err);
}

static void tuning_done(struct tuning *t)
{
    tune_batches_done(&t->train);
    tune_batches_done(&t->dev);
    adam_done(&t->adam);
    if (t->optimizer.net)
        optimizer_done(&t->optimizer);
    tune_loss_free(t->loss);
    net_done(&t->net);
    free(t->values);
    free(t->gradients);
    free(t->best);
    free(t->head_gradients);
    free(t->head_best);
    free(t->logits);
}

/* A slanted triangle: up, then down to nothing. */
static double rate_share(const struct tuning *t)
{
    double share = (double)t->n_steps / (double)t->n_total;
    return share < RISE ? (share + 1e-3) / RISE : (1 - share) / (1 - RISE);
}

/* Adds a batch's loss and right answers to *sum, times its texts. */
static int run_batch(struct tuning *t, struct tune_batches *batches, size_t index, bool learn,
                     struct head_fit_score *sum, struct elmo_error *err)
{
    struct tune_filled filled;
    struct rng seeds = {t->settings->seed ^ (uint64_t)t->n_steps << 20};
    const struct tune_settings how = {learn ? t->settings->dropout : 0, t->settings->head_dropout,
                                      rng_next(&seeds)};
    const struct head_net *head = t->job->head;
    double loss;
    if (!tune_batches_fill(batches, index, &filled))
        return elmo_fail_nomem(err);
    const struct tune_batch batch = {&filled.texts, filled.labels};
    int r = tune_loss_run(t->loss, &loss, t->logits, learn ? t->gradients : NULL,
                          learn ? t->head_gradients : NULL, t->values, head, t->head_values, &batch,
                          &how, err);
    if (r)
        return r;
    for (size_t k = 0; k < filled.texts.n_sentences; k++) {
        const struct labelled_text item = {.label = filled.labels[k]};
        size_t K = head->shape.output_dim;
        sum->accuracy += head_score(t->logits + k * K, K, &item, 1).accuracy;
    }
    sum->loss += loss * (double)filled.texts.n_sentences;
    t->n_tokens += filled.texts.n_sentences * (filled.texts.n_steps - 1);
    return 0;
}

static int learn(struct tuning *t, struct elmo_error *err)
{
    const struct bilm_result no_softmax = {0};
    const struct finetune_settings *s = t->settings;
    const struct optimizer_settings step = {s->learning_rate * rate_share(t), MAX_NORM};
    double norm = optimizer_step(&t->optimizer, t->values, t->gradients, &no_softmax, &step);
    if (!isfinite(norm))
        return elmo_fail(err, ELMO_E_NUMERIC, "fine-tuning: the gradient is not finite at step %zu",
                         t->n_steps);
    adam_step(&t->adam, t->head_values, t->head_gradients, s->head_learning_rate * rate_share(t), 0,
              0);
    t->n_steps++;
    return 0;
}

static void show(struct tuning *t, size_t epoch, const struct head_fit_score *sum, size_t n_texts)
{
    const struct progress_state state = {
        .phase = "fine-tuning",
        .step = t->n_steps,
        .epoch = epoch,
        .epoch_share = (double)n_texts / (double)t->train.n_texts,
        .loss = sum->loss / (double)n_texts,
        .n_tokens = t->n_tokens,
        .done_share = (double)t->n_steps / (double)t->n_total,
    };
    progress_update(t->job->progress, progress_now(), &state);
}

static int run_epoch(struct tuning *t, size_t epoch, struct head_fit_score *ret_train,
                     struct elmo_error *err)
{
    size_t n_texts = 0;
    int r = 0;
    *ret_train = (struct head_fit_score){0};
    tune_batches_epoch(&t->train, t->settings->seed, epoch);
    if (!epoch)
        t->n_total = t->train.n_batches * t->settings->n_epochs;
    for (size_t k = 0; k < t->train.n_batches && !r; k++) {
        r = run_batch(t, &t->train, k, true, ret_train, err);
        if (!r)
            r = learn(t, err);
        n_texts += t->train.ranges[k].end - t->train.ranges[k].begin;
        if (!r)
            show(t, epoch, ret_train, n_texts);
    }
    ret_train->loss /= (double)n_texts;
    ret_train->accuracy /= (double)n_texts;
    return r;
}

static int score_dev(struct tuning *t, struct head_fit_score *ret_dev, struct elmo_error *err)
{
    int r = 0;
    *ret_dev = (struct head_fit_score){0};
    tune_batches_epoch(&t->dev, 0, 0);
    for (size_t k = 0; k < t->dev.n_batches && !r; k++)
        r = run_batch(t, &t->dev, k, false, ret_dev, err);
    ret_dev->loss /= (double)t->dev.n_texts;
    ret_dev->accuracy /= (double)t->dev.n_texts;
    return r;
}

static void print_epoch(const struct tuning *t, size_t epoch, const struct head_fit_score *train,
                        const struct head_fit_score *dev)
{
    FILE *out = t->job->out;
    fprintf(out, "Fine-tuning %zu/%zu - loss: %.4f - accuracy: %.4f", epoch + 1,
            t->settings->n_epochs, train->loss, train->accuracy);
    if (t->dev.n_texts)
        fprintf(out, " - val_loss: %.4f - val_accuracy: %.4f", dev->loss, dev->accuracy);
    fputc('\n', out);
}

static int run(struct tuning *t, struct elmo_error *err)
{
    double best_loss = INFINITY;
    size_t bytes = net_size(&t->net) * sizeof *t->values;
    size_t head_bytes = head_net_size(t->job->head) * sizeof *t->head_values;
    for (size_t epoch = 0; epoch < t->settings->n_epochs; epoch++) {
        struct head_fit_score train, dev = {INFINITY, 0};
        int r = run_epoch(t, epoch, &train, err);
        if (!r && t->dev.n_texts)
            r = score_dev(t, &dev, err);
        if (!r && t->dev.n_texts && !isfinite(dev.loss))
            r = elmo_fail(err, ELMO_E_NUMERIC,
                          "fine-tuning: the development texts' loss is not finite");
        if (r)
            return r;
        progress_clear(t->job->progress);
        if (t->job->out)
            print_epoch(t, epoch, &train, &dev);
        if (t->dev.n_texts && dev.loss >= best_loss)
            continue;
        best_loss = dev.loss;
        memcpy(t->best, t->values, bytes);
        memcpy(t->head_best, t->head_values, head_bytes);
    }
    memcpy(t->head_values, t->head_best, head_bytes);
    return 0;
}

int finetune_run(struct net *ret_net, real **ret_values, real *head_values,
                 const struct finetune *job, const struct finetune_settings *settings,
                 struct elmo_error *err)
{
    struct tuning t = {.job = job, .settings = settings, .head_values = head_values};
    struct net net = {0};
    int r = tuning_init(&t, err);
    if (!r)
        r = run(&t, err);
    if (!r)
        r = net_init(&net, &job->model->options, 1, err);
    if (!r) {
        *ret_net = net;
        *ret_values = STEAL(t.best);
    }
    tuning_done(&t);
    return r;
}

#include "head_fit.h"

#include <math.h>
#include <string.h>

#include "error.h"
#include "train/maths/adam.h"
#include "train/maths/cross_entropy.h"
#include "util/rng.h"

#define EVAL_TEXTS 256 /* rows at once */

struct fit {
    const struct head_net *net;
    const struct head_fit_texts *texts;
    const struct head_fit_settings *settings;
    real *values;                                   /* borrowed */
    real *gradients, *best, *features, *dev_logits; /* owned */
    uint32_t *labels, *order;                       /* owned: of a batch; of the training texts */
    struct adam adam;
    struct arena arena;
    struct rng rng;
};

static int fit_init(struct fit *f, struct elmo_error *err)
{
    size_t n = head_net_size(f->net), n_batch = f->settings->batch_texts;
    f->gradients = calloc(n, sizeof *f->gradients);
    f->best = calloc(n, sizeof *f->best);
    f->features = calloc(n_batch * f->net->n_features, sizeof *f->features);
    f->dev_logits = calloc((f->texts->n_dev + 1) * f->net->shape.output_dim, sizeof *f->dev_logits);
    f->labels = calloc(n_batch, sizeof *f->labels);
    f->order = calloc(f->texts->n_train + 1, sizeof *f->order);
    if (!f->gradients || !f->best || !f->features || !f->dev_logits || !f->labels || !f->order)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < f->texts->n_train; k++)
        f->order[k] = (uint32_t)k;
    return adam_init(&f->adam, n, err);
}

static void fit_done(struct fit *f)
{
    adam_done(&f->adam);
    arena_done(&f->arena);
    free(f->gradients);
    free(f->best);
    free(f->features);
    free(f->dev_logits);
    free(f->labels);
    free(f->order);
}

static struct head_batch gather(struct fit *f, size_t first)
{
    size_t F = f->net->n_features, left = f->texts->n_train - first;
    size_t n = left < f->settings->batch_texts ? left : f->settings->batch_texts;
    for (size_t k = 0; k < n; k++) {
        size_t text = f->order[first + k];
        for (size_t d = 0; d < F; d++)
            f->features[k * F + d] = (real)f->texts->rows[text * f->texts->stride + d];
        f->labels[k] = f->texts->items[text].label;
    }
    return (struct head_batch){f->features, f->labels, n};
}

/* One batch; adds its loss to *sum and its right answers to *n_right. */
static int step(struct fit *f, size_t first, struct head_fit_score *sum, struct elmo_error *err)
{
    const struct head_fit_settings *s = f->settings;
    const struct head_batch batch = gather(f, first);
    size_t K = f->net->shape.output_dim, n_decayed = head_net_size(f->net) - K;
    double loss;
    arena_reset(&f->arena);
    real *logits = ARENA_NEW(&f->arena, real, batch.n * K);
    memset(f->gradients, 0, head_net_size(f->net) * sizeof *f->gradients);
    if (!logits || !head_net_run(&loss, logits, f->gradients, NULL, f->net, f->values, &batch,
                                 s->dropout, &f->rng, &f->arena))
        return elmo_fail_nomem(err);
    if (!isfinite(loss))
        return elmo_fail(err, ELMO_E_NUMERIC,
                         "the head's loss is not finite: try a lower "
                         "--learning-rate");
    adam_step(&f->adam, f->values, f->gradients, s->learning_rate, s->decay, n_decayed);
    sum->loss += loss * (double)batch.n;
    for (size_t k = 0; k < batch.n; k++) {
        const struct labelled_text item = {.label = batch.labels[k]};
        sum->accuracy += head_score(logits + k * K, K, &item, 1).accuracy;
    }
    return 0;
}

static int run_epoch(struct fit *f, struct head_fit_score *ret_train, struct elmo_error *err)
{
    size_t n = f->texts->n_train;
    *ret_train = (struct head_fit_score){0};
    rng_shuffle(&f->rng, f->order, n, sizeof *f->order);
    for (size_t first = 0; first < n; first += f->settings->batch_texts) {
        int r = step(f, first, ret_train, err);
        if (r)
            return r;
    }
    ret_train->loss /= (double)n;
    ret_train->accuracy /= (double)n;
    return 0;
}

static int score_dev(struct fit *f, struct head_fit_score *ret_dev, struct elmo_error *err)
{
    size_t n_train = f->texts->n_train, n_dev = f->texts->n_dev;
    int r = head_logits(f->dev_logits, f->net, f->values, f->texts, n_train, n_dev, err);
    *ret_dev =
        head_score(f->dev_logits, f->net->shape.output_dim, f->texts->items + n_train, n_dev);
    return r;
}

static void print_epoch(FILE *out, size_t epoch, size_t n_epochs,
                        const struct head_fit_score *train, const struct head_fit_score *dev,
                        double seconds)
{
    if (!out)
        return;
    fprintf(out, "Epoch %zu/%zu - %.0fs - loss: %.4f - accuracy: %.4f", epoch + 1, n_epochs,
            seconds, train->loss, train->accuracy);
    if (isfinite(dev->loss))
        fprintf(out, " - val_loss: %.4f - val_accuracy: %.4f", dev->loss, dev->accuracy);
    fputc('\n', out);
}

static int run(struct fit *f, FILE *out, struct elmo_error *err)
{
    const struct head_fit_settings *s = f->settings;
    double best_loss = INFINITY;
    size_t waited = 0, bytes = head_net_size(f->net) * sizeof *f->values;
    for (size_t epoch = 0; epoch < s->n_epochs; epoch++) {
        struct head_fit_score train, dev = {NAN, NAN};
        double begin = progress_now();
        int r = run_epoch(f, &train, err);
        if (!r && f->texts->n_dev)
            r = score_dev(f, &dev, err);
        if (r)
            return r;
        print_epoch(out, epoch, s->n_epochs, &train, &dev, progress_now() - begin);
        if (!s->patience || !f->texts->n_dev)
            continue;
        waited++;
        if (dev.loss < best_loss) {
            best_loss = dev.loss;
            waited = 0;
            memcpy(f->best, f->values, bytes);
        }
        if (waited == s->patience)
            break;
    }
    if (isfinite(best_loss))
        memcpy(f->values, f->best, bytes);
    return 0;
}

int head_fit(real *values, const struct head_net *net, const struct head_fit_texts *texts,
             const struct head_fit_settings *settings, FILE *out, struct elmo_error *err)
{
    struct fit f = {.net = net,
                    .texts = texts,
                    .settings = settings,
                    .values = values,
                    .rng = {settings->seed}};
    int r = fit_init(&f, err);
    if (!r)
        r = run(&f, out, err);
    fit_done(&f);
    return r;
}

int head_logits(real *logits, const struct head_net *net, real *values,
                const struct head_fit_texts *texts, size_t first, size_t n, struct elmo_error *err)
{
    struct arena arena = {0};
    size_t F = net->n_features, K = net->shape.output_dim;
    static const uint32_t no_labels[EVAL_TEXTS];
    bool ok = true;
    for (size_t at = 0; at < n && ok; at += EVAL_TEXTS) {
        size_t rows = n - at < EVAL_TEXTS ? n - at : EVAL_TEXTS;
        double loss;
        arena_reset(&arena);
        real *features = ARENA_NEW(&arena, real, rows * F);
        for (size_t k = 0; k < rows * F && features; k++)
            features[k] = (real)texts->rows[(first + at + k / F) * texts->stride + k % F];
        const struct head_batch batch = {features, no_labels, rows};
        ok = features &&
             head_net_run(&loss, logits + at * K, NULL, NULL, net, values, &batch, 0, NULL, &arena);
    }
    arena_done(&arena);
    return ok ? 0 : elmo_fail_nomem(err);
}

struct head_fit_score head_score(const real *logits, size_t K, const struct labelled_text *items,
                                 size_t n)
{
    struct head_fit_score score = {0};
    double z[LABELLED_MAX_LABELS];
    for (size_t b = 0; b < n; b++) {
        uint32_t answer = K == 1 ? logits[b] > 0 : 0;
        for (uint32_t k = 0; k < K; k++) {
            z[k] = (double)logits[b * K + k];
            if (k && z[k] > (double)logits[b * K + answer])
                answer = k;
        }
        score.loss += cross_entropy(z, K, items[b].label);
        score.accuracy += answer == items[b].label;
    }
    score.loss /= (double)n;
    score.accuracy /= (double)n;
    return score;
}

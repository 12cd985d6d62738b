#include "finetune.h"

#include <math.h>
#include <signal.h>
#include <string.h>

#include "common/stop_signal.h"
#include "error.h"
#include "head_fit.h"
#include "inference/model.h"
#include "train/bilm/warm_start.h"
#include "train/maths/adam.h"
#include "train/maths/loops.h"
#include "train/maths/optimizer.h"
#include "tune_batches.h"
#include "tune_checkpoint.h"
#include "util/rng.h"
#include "util/sha256.h"

#define MAX_NORM 1.0
#define RISE     0.1 /* share of the steps in which the learning rate rises */

struct finetune_settings finetune_defaults(void)
{
    return (struct finetune_settings){
        .n_epochs = 4,
        .batch_tokens = 4096,
        .learning_rate = 1e-3,
        .word_learning_rate = 5e-3,
        .head_learning_rate = 5e-4,
        .dropout = 0.2,
        .word_dropout = 0.15,
        .head_dropout = 0.5,
        .adversary = 0,
        .min_count = 5,
        .precision = products_best_precision(),
        .seed = 1,
    };
}

/* All that is trained, of one epoch; owned. */
struct weights_copy {
    real *bilm, *head; /* [net_size()], [head_net_size()] */
    float *vectors;    /* [n, P] of the tuned words */
};

struct tuning {
    const struct finetune *job;
    const struct finetune_settings *settings;
    struct finetuned tuned;
    real *head_values; /* borrowed */
    real *logits;      /* owned */
    struct weights_copy best;
    struct tune_gradients gradients; /* owned; of the vectors in the arena */
    struct tune_loss *loss;
    struct optimizer optimizer;
    struct adam adam;
    struct tune_batches train, dev;
    struct arena arena; /* of the batch at hand */
    struct tune_state at;
    size_t n_total;      /* steps */
    double checkpoint_s; /* progress_now() of the last one */
};

static int load_texts(struct tuning *t, struct elmo_error *err)
{
    const struct finetune *job = t->job;
    size_t batch = t->settings->batch_tokens;
    int r = tune_batches_init(&t->train, job->model, job->items, job->n_train, batch, err);
    if (!r)
        r = tune_batches_init(&t->dev, job->model, job->items + job->n_train, job->n_dev, batch,
                              err);
    if (!r && !t->train.n_texts)
        r = elmo_fail(err, ELMO_E_INVALID, "none of the texts to learn has a token");
    if (!r)
        r = tuned_words_init(&t->tuned.words, job->model, t->train.texts, t->train.n_texts,
                             t->settings->min_count, err);
    return r;
}

static int tuning_init(struct tuning *t, struct elmo_error *err)
{
    const struct finetune *job = t->job;
    struct net *net = &t->tuned.net;
    size_t n_head = head_net_size(job->head);
    int r = load_texts(t, err);
    if (!r)
        r = net_init(net, &job->model->options, 1, err); /* the softmax plays no part */
    if (!r)
        r = tune_loss_new(&t->loss, net, job->team, err);
    if (!r)
        r = optimizer_init(&t->optimizer, net, job->team, MOMENTS_FULL, err);
    if (!r)
        r = adam_init(&t->adam, n_head, err);
    if (r)
        return r;
    size_t n = net_size(net), n_vectors = t->tuned.words.words.n_items * net->options.proj_dim;
    t->tuned.values = calloc(n, sizeof *t->tuned.values);
    t->gradients.bilm = calloc(n, sizeof(real));
    t->gradients.head = calloc(n_head, sizeof(real));
    t->best.bilm = calloc(n, sizeof(real));
    t->best.head = calloc(n_head, sizeof(real));
    t->best.vectors = calloc(n_vectors, sizeof(float));
    t->logits = calloc(t->settings->batch_tokens * job->head->shape.output_dim, sizeof(real));
    if (!t->tuned.values || !t->gradients.bilm || !t->gradients.head || !t->best.bilm ||
        !t->best.head || !t->best.vectors || !t->logits)
        return elmo_fail_nomem(err);
    return warm_start(t->tuned.values, net, job->path, err);
}

static void tuning_done(struct tuning *t)
{
    tune_batches_done(&t->train);
    tune_batches_done(&t->dev);
    adam_done(&t->adam);
    if (t->optimizer.net)
        optimizer_done(&t->optimizer);
    tune_loss_free(t->loss);
    finetuned_done(&t->tuned);
    free(t->gradients.bilm);
    free(t->gradients.head);
    free(t->best.bilm);
    free(t->best.head);
    free(t->best.vectors);
    free(t->logits);
    arena_done(&t->arena);
}

void finetuned_done(struct finetuned *tuned)
{
    net_done(&tuned->net);
    free(tuned->values);
    tuned_words_done(&tuned->words);
    *tuned = (struct finetuned){0};
}

/* A slanted triangle: up, then down to nothing. */
static double rate_share(const struct tuning *t)
{
    double share = (double)t->at.n_steps / (double)t->n_total;
    return share < RISE ? (share + 1e-3) / RISE : (1 - share) / (1 - RISE);
}

/* Clips a gradient to MAX_NORM, as optimizer_step does: after quiet times a great one would make
 * Adam leap. false: it is not finite. */
static bool clip(real *gradient, size_t n)
{
    double norm = sqrt(loops_best()->sum_of_squares(gradient, n));
    for (size_t k = 0; k < n && norm > MAX_NORM; k++)
        gradient[k] *= (real)(MAX_NORM / norm);
    return isfinite(norm);
}

static int learn(struct tuning *t, const uint32_t *rows, size_t n_words, struct elmo_error *err)
{
    const struct bilm_result no_softmax = {0};
    const struct finetune_settings *s = t->settings;
    double share = rate_share(t);
    size_t P = t->tuned.net.options.proj_dim;
    const struct optimizer_settings step = {s->learning_rate * share, MAX_NORM};
    double norm =
        optimizer_step(&t->optimizer, t->tuned.values, t->gradients.bilm, &no_softmax, &step);
    if (!isfinite(norm) || !clip(t->gradients.vectors, n_words * P) ||
        !clip(t->gradients.head, head_net_size(t->job->head)))
        return elmo_fail(err, ELMO_E_NUMERIC, "fine-tuning: the gradient is not finite at step %zu",
                         (size_t)t->at.n_steps);
    tuned_words_step(&t->tuned.words, rows, t->gradients.vectors, n_words,
                     s->word_learning_rate * share);
    adam_step(&t->adam, t->head_values, t->gradients.head, s->head_learning_rate * share, 0, 0);
    t->at.n_steps++;
    return 0;
}

/* Adds a batch's loss and right answers to *sum, times its texts. */
static int run_batch(struct tuning *t, struct tune_batches *batches, size_t index, bool learns,
                     struct head_fit_score *sum, struct elmo_error *err)
{
    struct tune_filled filled;
    struct rng seeds = {t->settings->seed ^ t->at.n_steps << 20};
    const struct tune_settings how = {learns ? t->settings->dropout : 0, t->settings->head_dropout,
                                      t->settings->adversary, rng_next(&seeds)};
    const struct head_net *head = t->job->head;
    double loss;
    if (!tune_batches_fill(batches, index, &filled))
        return elmo_fail_nomem(err);
    size_t n_words = filled.texts.n_words, P = t->tuned.net.options.proj_dim, n = n_words * P;
    arena_reset(&t->arena);
    real *vectors = ARENA_NEW(&t->arena, real, n);
    uint32_t *rows = ARENA_NEW(&t->arena, uint32_t, n_words);
    t->gradients.vectors = learns ? ARENA_NEW(&t->arena, real, n) : NULL;
    if (!vectors || !rows || (learns && !t->gradients.vectors) ||
        !tuned_words_gather(&t->tuned.words, vectors, rows, filled.texts.words, n_words))
        return elmo_fail_nomem(err);
    double word_dropout = learns ? t->settings->word_dropout : 0;
    tuned_words_drop(vectors, n_words, P, word_dropout, how.step_seed);
    const struct tune_batch batch = {&filled.texts, vectors, filled.labels};
    products_use(learns ? t->settings->precision : PRECISION_F32);
    int r = tune_loss_run(t->loss, &loss, t->logits, learns ? &t->gradients : NULL, t->tuned.values,
                          head, t->head_values, &batch, &how, err);
    products_use(PRECISION_F32);
    if (!r && learns) {
        tuned_words_drop(t->gradients.vectors, n_words, P, word_dropout, how.step_seed);
        r = learn(t, rows, n_words, err);
    }
    if (r)
        return r;
    for (size_t k = 0; k < filled.texts.n_sentences; k++) {
        const struct labelled_text item = {.label = filled.labels[k]};
        size_t K = head->shape.output_dim;
        sum->accuracy += head_score(t->logits + k * K, K, &item, 1).accuracy;
    }
    sum->loss += loss * (double)filled.texts.n_sentences;
    if (learns)
        t->at.n_tokens += filled.texts.n_sentences * (filled.texts.n_steps - 1);
    return 0;
}

static void show(const struct tuning *t)
{
    const struct tune_state *at = &t->at;
    const struct progress_state state = {
        .phase = "fine-tuning",
        .step = at->n_steps,
        .epoch = at->epoch,
        .epoch_share = (double)at->n_texts / (double)t->train.n_texts,
        .loss = at->sum.loss / (double)at->n_texts,
        .n_tokens = at->n_tokens,
        .done_share = (double)at->n_steps / (double)t->n_total,
    };
    progress_update(t->job->progress, progress_now(), &state);
}

/* ---- Checkpoints ---- */

#define MAX_ARRAYS 12

static size_t arrays_of(const struct tuning *t, struct tune_array arrays[static MAX_ARRAYS])
{
    const struct tuned_words *w = &t->tuned.words;
    size_t n = net_size(&t->tuned.net), n_head = head_net_size(t->job->head);
    size_t n_vectors = w->words.n_items * t->tuned.net.options.proj_dim;
    const struct tune_array all[MAX_ARRAYS] = {
        {"bilm", t->tuned.values, n},
        {"bilm/first", t->optimizer.first, n},
        {"bilm/second", t->optimizer.second, n},
        {"bilm/best", t->best.bilm, n},
        {"head", t->head_values, n_head},
        {"head/first", t->adam.first, n_head},
        {"head/second", t->adam.second, n_head},
        {"head/best", t->best.head, n_head},
        {"words", w->vectors, n_vectors},
        {"words/first", w->first, n_vectors},
        {"words/second", w->second, n_vectors},
        {"words/best", t->best.vectors, n_vectors},
    };
    memcpy(arrays, all, sizeof all);
    return MAX_ARRAYS;
}

static int write_checkpoint(struct tuning *t, struct elmo_error *err)
{
    struct tune_array arrays[MAX_ARRAYS];
    size_t n = arrays_of(t, arrays);
    t->checkpoint_s = progress_now();
    t->at.bilm_steps = t->optimizer.n_steps;
    t->at.head_steps = t->adam.n_steps;
    t->at.word_steps = t->tuned.words.n_steps;
    return tune_checkpoint_write(t->job->checkpoint, arrays, n, &t->at, err);
}

static int read_checkpoint(struct tuning *t, struct elmo_error *err)
{
    struct tune_array arrays[MAX_ARRAYS];
    size_t n = arrays_of(t, arrays);
    int r = tune_checkpoint_read(t->job->checkpoint, arrays, n, &t->at, err);
    t->optimizer.n_steps = t->at.bilm_steps;
    t->adam.n_steps = t->at.head_steps;
    t->tuned.words.n_steps = t->at.word_steps;
    return r;
}

/* All that decides what is learnt: where it starts, the texts, the settings. */
static void identify(struct tuning *t)
{
    struct sha256 sha256;
    struct tune_array arrays[MAX_ARRAYS];
    const struct finetune *job = t->job;
    const struct finetune_settings *s = t->settings;
    const size_t sizes[] = {s->n_epochs,  s->batch_tokens, s->min_count, s->seed,
                            s->precision, job->n_train,    job->n_dev,   team_size(job->team)};
    const double rates[] = {s->learning_rate, s->word_learning_rate, s->head_learning_rate,
                            s->dropout,       s->word_dropout,       s->head_dropout,
                            s->adversary};
    sha256_begin(&sha256);
    sha256_add(&sha256, sizes, sizeof sizes);
    sha256_add(&sha256, rates, sizeof rates);
    for (size_t k = 0, n = arrays_of(t, arrays); k < n; k++)
        if (!strchr(arrays[k].name, '/')) /* the others are zeros yet */
            sha256_add(&sha256, arrays[k].values, arrays[k].n * sizeof *arrays[k].values);
    size_t n_scales = job->head->shape.input_dim * sizeof *job->head->scales;
    sha256_add(&sha256, job->head->centre, job->head->centre ? n_scales : 0);
    sha256_add(&sha256, job->head->scales, job->head->scales ? n_scales : 0);
    for (size_t k = 0; k < job->n_train + job->n_dev; k++) {
        sha256_add(&sha256, &job->items[k].label, sizeof job->items[k].label);
        sha256_add(&sha256, job->items[k].text, job->items[k].n_bytes + 1);
    }
    sha256_end(&sha256, t->at.job_sha256);
}

/* ---- Epochs ---- */

/* From the batch to come on; stops behind one when it is told to. */
static int run_epoch(struct tuning *t, struct elmo_error *err)
{
    const struct finetune *job = t->job;
    int r = 0;
    tune_batches_epoch(&t->train, t->settings->seed, t->at.epoch);
    t->n_total = t->train.n_batches * t->settings->n_epochs;
    while (t->at.next_batch < t->train.n_batches && !r && !stop_signal_came()) {
        const struct tune_range *range = &t->train.ranges[t->at.next_batch];
        r = run_batch(t, &t->train, t->at.next_batch, true, &t->at.sum, err);
        if (r)
            break;
        t->at.n_texts += range->end - range->begin;
        t->at.next_batch++;
        show(t);
        if (progress_now() - t->checkpoint_s > job->checkpoint_seconds)
            r = write_checkpoint(t, err);
    }
    return r;
}

static int score_dev(struct tuning *t, struct head_fit_score *ret_dev, struct elmo_error *err)
{
    int r = 0;
    *ret_dev = (struct head_fit_score){0};
    tune_batches_epoch(&t->dev, 0, 0);
    for (size_t k = 0; k < t->dev.n_batches && !r && !stop_signal_came(); k++)
        r = run_batch(t, &t->dev, k, false, ret_dev, err);
    ret_dev->loss /= (double)t->dev.n_texts;
    ret_dev->accuracy /= (double)t->dev.n_texts;
    return r;
}

static void print_epoch(const struct tuning *t, const struct head_fit_score *dev)
{
    FILE *out = t->job->out;
    double n = (double)t->at.n_texts;
    fprintf(out, "Fine-tuning %zu/%zu - loss: %.4f - accuracy: %.4f", (size_t)t->at.epoch + 1,
            t->settings->n_epochs, t->at.sum.loss / n, t->at.sum.accuracy / n);
    if (t->dev.n_texts)
        fprintf(out, " - val_loss: %.4f - val_accuracy: %.4f", dev->loss, dev->accuracy);
    fputc('\n', out);
}

/* The weights as they are now, or back to what they were then. */
static void copy_weights(struct tuning *t, bool back)
{
    size_t P = t->tuned.net.options.proj_dim;
    struct {
        void *now, *best;
        size_t n_bytes;
    } parts[] = {
        {t->tuned.values, t->best.bilm, net_size(&t->tuned.net) * sizeof(real)},
        {t->head_values, t->best.head, head_net_size(t->job->head) * sizeof(real)},
        {t->tuned.words.vectors, t->best.vectors, t->tuned.words.words.n_items * P * sizeof(float)},
    };
    for (size_t k = 0; k < ARRAY_LEN(parts); k++)
        memcpy(back ? parts[k].now : parts[k].best, back ? parts[k].best : parts[k].now,
               parts[k].n_bytes);
}

/* Measures the epoch that is done, and keeps it if it is the best one. */
static int end_epoch(struct tuning *t, struct elmo_error *err)
{
    struct head_fit_score dev = {INFINITY, 0};
    int r = t->dev.n_texts ? score_dev(t, &dev, err) : 0;
    if (!r && stop_signal_came())
        return 0; /* measured anew behind the checkpoint */
    if (!r && t->dev.n_texts && !isfinite(dev.loss))
        r = elmo_fail(err, ELMO_E_NUMERIC,
                      "fine-tuning: the development texts' loss is not finite");
    if (r)
        return r;
    progress_clear(t->job->progress);
    if (t->job->out)
        print_epoch(t, &dev);
    if (!t->dev.n_texts || dev.loss < t->at.best_loss) {
        t->at.best_loss = dev.loss;
        copy_weights(t, false);
    }
    t->at.epoch++;
    t->at.next_batch = 0;
    t->at.n_texts = 0;
    t->at.sum = (struct head_fit_score){0};
    return 0;
}

static int run(struct tuning *t, struct elmo_error *err)
{
    t->checkpoint_s = progress_now();
    while (t->at.epoch < t->settings->n_epochs) {
        int r = run_epoch(t, err);
        if (!r && !stop_signal_came())
            r = end_epoch(t, err);
        if (r)
            return r;
        if (stop_signal_came())
            return write_checkpoint(t, err);
    }
    copy_weights(t, true);
    return 0;
}

/* Being told to stop ends the process as it would without a checkpoint, but behind one. */
static int run_to_signal(struct tuning *t, struct elmo_error *err)
{
    stop_signal_catch();
    int r = run(t, err);
    int signal = stop_signal_release();
    if (r || !signal)
        return r;
    progress_clear(t->job->progress);
    fprintf(stderr, "stopped behind a checkpoint: --resume goes on\n");
    raise(signal);
    return elmo_fail(err, ELMO_E_IO, "stopped by signal %d", signal);
}

int finetune_run(struct finetuned *ret_tuned, real *head_values, const struct finetune *job,
                 const struct finetune_settings *settings, struct elmo_error *err)
{
    struct tuning t = {.job = job,
                       .settings = settings,
                       .head_values = head_values,
                       .at = {.best_loss = INFINITY}};
    int r = tuning_init(&t, err);
    if (!r) {
        identify(&t);
        r = job->resume ? read_checkpoint(&t, err) : 0;
    }
    if (!r)
        r = run_to_signal(&t, err);
    if (!r) {
        tuned_words_finish(&t.tuned.words);
        *ret_tuned = t.tuned;
        t.tuned = (struct finetuned){0};
    }
    tuning_done(&t);
    return r;
}

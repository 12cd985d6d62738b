/* The model file of elmo-train sentiment, with how it came about. */
#include <jansson.h>

#include "head_file.h"
#include "sentiment_job.h"
#include "train/bilm/provenance.h"
#include "version.h"

/* The whitening goes into the first layer, the calibration into the last and the n-grams. */
static int fold(struct sentiment_job *j, struct elmo_error *err)
{
    struct head_params p;
    struct sentiment_fitted *f = &j->kept;
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
    const struct finetune_settings how = sentiment_tuning(s, s->seed);
    return s->finetune
               ? json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "precision",
                           precision_name(s->precision), "word_learning_rate",
                           how.word_learning_rate, "head_learning_rate", how.head_learning_rate,
                           "dropout", how.dropout, "word_dropout", how.word_dropout, "head_dropout",
                           how.head_dropout, "adversary", s->adversary, "batch_tokens",
                           (json_int_t)how.batch_tokens, "min_count", (json_int_t)how.min_count)
               : NULL;
}

/* The texts without labels; NULL: none, or out of memory. */
static json_t *unlabelled_json(const struct sentiment_job *j)
{
    return j->settings->unlabelled
               ? json_pack("{s:s, s:I, s:I, s:f}", "sha256", j->texts.unlabelled_set.sha256,
                           "texts", (json_int_t)j->texts.unlabelled_set.n_items, "labelled",
                           (json_int_t)j->n_pseudo_labelled, "confidence", PSEUDO_CONFIDENCE)
               : NULL;
}

static json_t *settings_json(const struct sentiment_job *j)
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
static json_t *head_json(const struct sentiment_job *j)
{
    json_t *head = json_pack(
        "{s:s, s:s, s:s, s:b, s:I, s:I, s:s, s:o*, s:o}", "trained_with", "elmo-train sentiment",
        "commit", elmod_commit, "head", j->settings->head == SENTIMENT_BEST ? "best" : "notebook",
        "fine_tuned", j->tuned.values != NULL, "texts_train", (json_int_t)j->texts.n_train,
        "texts_dev", (json_int_t)j->texts.n_dev, "texts_sha256", j->texts.set.sha256, "unlabelled",
        unlabelled_json(j), "settings", settings_json(j));
    bool ok = head;
    if (ok && j->texts.n_dev)
        ok = !json_object_set_new(head, "accuracy_dev", json_real(j->kept.dev.accuracy)) &&
             !json_object_set_new(head, "log_loss_dev", json_real(j->kept.dev.loss));
    if (ok && j->texts.n_test)
        ok = !json_object_set_new(head, "accuracy_test", json_real(j->kept.test.accuracy)) &&
             !json_object_set_new(head, "texts_test", json_integer((json_int_t)j->texts.n_test)) &&
             !json_object_set_new(head, "test_sha256", json_string(j->texts.test_set.sha256));
    if (ok)
        return head;
    json_decref(head);
    return NULL;
}

static int write_file(struct sentiment_job *j, struct elmo_error *err)
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
        .labels = j->texts.set.labels,
        .n_labels = j->texts.set.n_labels,
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

int sentiment_write(struct sentiment_job *j, struct elmo_error *err)
{
    int r = fold(j, err);
    if (!r)
        r = provenance_add(&j->provenance, elmo_model_info(j->model)->provenance, "sentiment",
                           head_json(j), err);
    return r ? r : write_file(j, err);
}

/* elmo-train sentiment. */
#include <math.h>
#include <string.h>

#include "commands.h"
#include "error.h"
#include "text/ngrams.h"
#include "train/sentiment/sentiment.h"

int command_sentiment(const struct arguments *a, struct elmo_error *err)
{
    const struct sentiment_arguments *given = &a->sentiment;
    bool notebook = given->head && !strcmp(given->head, "notebook");
    if (!a->model || !a->data || !a->out)
        return elmo_fail(err, ELMO_E_INVALID, "--model, --data and --out are needed");
    if (given->head && !notebook && strcmp(given->head, "best"))
        return elmo_fail(err, ELMO_E_INVALID, "--head is notebook or best");
    if (given->ngram_order && given->no_ngrams)
        return elmo_fail(err, ELMO_E_INVALID, "--ngram-order and --no-ngrams exclude each other");
    struct sentiment_settings s =
        sentiment_defaults(notebook ? SENTIMENT_NOTEBOOK : SENTIMENT_BEST, given->finetune);
    s.model = a->model;
    s.data = a->data;
    s.out = a->out;
    s.name = a->name;
    s.test = given->test;
    s.unlabelled = given->unlabelled;
    s.n_seeds = given->n_seeds ? given->n_seeds : 1;
    s.limit = a->limit;
    s.threads = a->pretrain.threads;
    if (a->pretrain.precision != PRECISION_UNSAID)
        s.precision = a->pretrain.precision;
    s.seed = a->pretrain.seed;
    s.quiet = a->pretrain.quiet;
    if (a->max_words)
        s.words = a->max_words;
    if (given->epochs)
        s.epochs = given->epochs;
    if (given->ngram_order || given->no_ngrams)
        s.ngram_order = given->no_ngrams ? 0 : given->ngram_order;
    if (given->learning_rate > 0)
        s.learning_rate = given->learning_rate;
    if (!isnan(given->dev_share))
        s.dev_share = given->dev_share;
    if (!isnan(given->adversary))
        s.adversary = given->adversary;
    s.resume = a->pretrain.resume;
    s.checkpoint_minutes = a->pretrain.checkpoint_minutes;
    if (s.resume && !s.finetune)
        return elmo_fail(err, ELMO_E_INVALID, "--resume goes with --finetune");
    if (s.unlabelled && !(s.finetune && s.ngram_order))
        return elmo_fail(err, ELMO_E_INVALID, "--unlabelled goes with --finetune and n-grams");
    if (s.dev_share > 0.9 || s.ngram_order > NGRAMS_MAX_ORDER)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--dev-share is at most 0.9, --ngram-order at most %d", NGRAMS_MAX_ORDER);
    return sentiment_run(&s, err);
}

#include "sentiment_texts.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

void sentiment_texts_done(struct sentiment_texts *t)
{
    free(t->items);
    labelled_done(&t->set);
    labelled_done(&t->test_set);
    labelled_done(&t->unlabelled_set);
    *t = (struct sentiment_texts){0};
}

/* At most `limit` of the set's texts (0: all), in the seed's order. */
static int load_set(struct labelled_set *set, const struct sentiment_settings *s, const char *path,
                    const struct labelled_settings *how, FILE *out, struct elmo_error *err)
{
    int r = labelled_load(set, path, how, err);
    if (r)
        return r;
    if (out)
        labelled_print(set, out);
    labelled_shuffle(set->items, set->n_items, s->seed);
    if (s->limit && s->limit < set->n_items)
        set->n_items = s->limit;
    return 0;
}

static int load_train(struct sentiment_texts *t, const struct sentiment_settings *s, FILE *out,
                      struct elmo_error *err)
{
    const struct labelled_settings how = {.split = "train", .max_words = s->words};
    int r = load_set(&t->set, s, s->data, &how, out, err);
    t->n_train = t->set.n_items;
    if (!r && s->dev_share > 0)
        r = labelled_split_by_group(&t->set, s->seed, s->dev_share, &t->n_train, err);
    t->n_dev = t->set.n_items - t->n_train;
    return r;
}

static int load_test(struct sentiment_texts *t, const struct sentiment_settings *s, FILE *out,
                     struct elmo_error *err)
{
    const struct labelled_settings how = {.split = "test", .max_words = s->words};
    int r = load_set(&t->test_set, s, s->test, &how, out, err);
    if (r)
        return r;
    if (!strcmp(t->set.sha256, t->test_set.sha256))
        return elmo_fail(err, ELMO_E_INVALID, "the texts of '%.200s' are those that are learnt",
                         s->test);
    t->n_test = t->test_set.n_items;
    bool same = t->test_set.n_labels == t->set.n_labels;
    for (size_t k = 0; k < t->set.n_labels && same; k++)
        same = !strcmp(t->set.labels[k], t->test_set.labels[k]);
    return same ? 0
                : elmo_fail(err, ELMO_E_INVALID,
                            "the texts of '%.200s' have other labels than those of '%.200s'",
                            s->test, s->data);
}

static int load(struct sentiment_texts *t, const struct sentiment_settings *s, FILE *out,
                struct elmo_error *err)
{
    const struct labelled_settings no_labels = {.max_words = s->words, .unlabelled = true};
    int r = load_train(t, s, out, err);
    if (!r && s->test)
        r = load_test(t, s, out, err);
    if (!r && s->unlabelled)
        r = load_set(&t->unlabelled_set, s, s->unlabelled, &no_labels, out, err);
    if (r)
        return r;
    t->items = calloc(t->set.n_items + t->n_test, sizeof *t->items);
    if (!t->items)
        return elmo_fail_nomem(err);
    memcpy(t->items, t->set.items, t->set.n_items * sizeof *t->items);
    if (t->n_test)
        memcpy(t->items + t->set.n_items, t->test_set.items, t->n_test * sizeof *t->items);
    return 0;
}

int sentiment_texts_load(struct sentiment_texts *ret_texts,
                         const struct sentiment_settings *settings, FILE *out,
                         struct elmo_error *err)
{
    struct sentiment_texts t = {0};
    int r = load(&t, settings, out, err);
    if (r) {
        sentiment_texts_done(&t);
        return r;
    }
    if (out)
        fprintf(out, "%zu to learn, %zu for development, %zu for the test\n", t.n_train, t.n_dev,
                t.n_test);
    *ret_texts = t;
    return 0;
}

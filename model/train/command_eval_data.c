/* elmo-train eval --data: what a model file's sentiment head says of labelled texts, run as elmod
 * runs it. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "error.h"
#include "train/data/labelled.h"
#include "train/sentiment/bulk_run.h"
#include "train/sentiment/classification.h"
#include "util/team.h"

struct evaluation {
    const struct elmo_model_info *info;
    struct labelled_set set;
    size_t n_items;       /* of set.items that are run */
    float *probabilities; /* [n_items, info->n_labels], owned */
    uint32_t *truth;      /* [n_items] label of the model, owned */
};

static void evaluation_done(struct evaluation *e)
{
    labelled_done(&e->set);
    free(e->probabilities);
    free(e->truth);
}

/* ---- What is asked, and of what ---- */

static int load_texts(struct evaluation *e, const struct arguments *a, struct elmo_error *err)
{
    const struct labelled_settings how = {.split = "test", .max_words = a->max_words};
    size_t n_values;
    int r = labelled_load(&e->set, a->data, &how, err);
    if (r)
        return r;
    if (!a->pretrain.quiet)
        labelled_print(&e->set, stderr);
    e->n_items = e->set.n_items;
    if (a->limit && a->limit < e->n_items) {
        labelled_shuffle(e->set.items, e->n_items, a->pretrain.seed);
        e->n_items = a->limit;
    }
    e->truth = calloc(e->n_items, sizeof *e->truth);
    if (mul_ok(e->n_items, e->info->n_labels, &n_values))
        e->probabilities = calloc(n_values, sizeof *e->probabilities);
    return e->truth && e->probabilities ? 0 : elmo_fail_nomem(err);
}

/* The model's index of a label of the data; n_labels: it has no such label. */
static size_t find_label(const struct elmo_model_info *info, const char *label)
{
    size_t k = 0;
    while (k < info->n_labels && strcmp(info->labels[k], label))
        k++;
    return k;
}

static int match_labels(struct evaluation *e, struct elmo_error *err)
{
    uint32_t label_of[LABELLED_MAX_LABELS];
    for (size_t k = 0; k < e->set.n_labels; k++) {
        size_t label = find_label(e->info, e->set.labels[k]);
        if (label == e->info->n_labels)
            return elmo_fail(err, ELMO_E_INVALID,
                             "label %zu of %zu in the data, sorted, is none of the model's %zu",
                             k + 1, e->set.n_labels, e->info->n_labels);
        label_of[k] = (uint32_t)label;
    }
    for (size_t k = 0; k < e->n_items; k++)
        e->truth[k] = label_of[e->set.items[k].label];
    return 0;
}

/* ---- The run ---- */

static bool want_probabilities(void *arg, size_t item, struct elmo_sentence *sentence)
{
    struct evaluation *e = arg;
    sentence->probabilities = e->probabilities + item * e->info->n_labels;
    return true;
}

static int run_texts(struct evaluation *e, const struct elmo_model *model,
                     const struct arguments *a, struct elmo_error *err)
{
    struct progress progress;
    struct team *team = NULL;
    size_t n_tokens = 0;
    int r = team_new(&team, a->pretrain.threads, err);
    if (r)
        return r;
    progress_init(&progress, a->pretrain.quiet ? NULL : stderr, 30);
    const struct bulk_run bulk = {.model = model,
                                  .items = e->set.items,
                                  .n_items = e->n_items,
                                  .team = team,
                                  .prepare = want_probabilities,
                                  .arg = e,
                                  .progress = &progress,
                                  .phase = "evaluate"};
    double begin_s = progress_now();
    r = bulk_run(&bulk, &n_tokens, err);
    double seconds = progress_now() - begin_s;
    progress_clear(&progress);
    team_free(team);
    if (!r)
        command_eval_print_model(bulk.model);
    if (!r)
        printf("tokens %zu\nseconds %.2f\ntokens_per_second %.0f\n", n_tokens, seconds,
               (double)n_tokens / seconds);
    return r;
}

static int evaluate(const struct elmo_model *model, const struct arguments *a,
                    struct elmo_error *err)
{
    struct evaluation e = {.info = elmo_model_info(model)};
    struct classification scores = {0};
    if (!e.info->n_labels)
        return elmo_fail(err, ELMO_E_INVALID, "'%.200s' has no sentiment head", a->model);
    int r = load_texts(&e, a, err);
    if (!r)
        r = match_labels(&e, err);
    if (!r)
        r = run_texts(&e, model, a, err);
    if (!r)
        r = classification_measure(&scores, e.probabilities, e.truth, e.n_items, e.info->n_labels,
                                   err);
    if (!r)
        classification_print(&scores, e.info->labels, stdout);
    classification_done(&scores);
    evaluation_done(&e);
    return r;
}

int command_eval_data(const struct arguments *a, struct elmo_error *err)
{
    struct elmo_model *model = NULL;
    struct elmo_model_settings settings;
    if (!a->model || a->n_corpus || a->checkpoint || a->softmax)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--data needs --model, and takes no --corpus, --checkpoint or --softmax");
    int r = command_eval_settings(&settings, a, err);
    if (!r)
        r = elmo_model_open(&model, a->model, &settings, err);
    if (!r)
        r = evaluate(model, a, err);
    elmo_model_free(model);
    return r;
}

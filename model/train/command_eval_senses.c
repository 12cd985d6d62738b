/* elmo-train eval --senses: how well each kind of vector tells the senses of words apart. */
#include <stdio.h>

#include "commands.h"
#include "error.h"
#include "train/senses/senses_measure.h"

DEFINE_AUTO(elmo_model_free, struct elmo_model *);

static void print_row(const char *name, size_t n_contexts, const double *accuracy, size_t n_kinds)
{
    printf("%-12s %8zu", name, n_contexts);
    for (size_t kind = 0; kind < n_kinds; kind++)
        printf(" %13.1f", 100 * accuracy[kind]);
    putchar('\n');
}

static void print_table(const struct senses *senses, const struct sense_table *t)
{
    char name[32];
    printf("# %% whose nearest other occurrence of the word has the same sense\n%-12s %8s", "word",
           "contexts");
    for (size_t kind = 0; kind < t->n_kinds; kind++)
        printf(" %13s", sense_kind_name(kind, t->n_kinds, name, sizeof name));
    putchar('\n');
    for (size_t k = 0; k < senses->n_words; k++) {
        const struct sense_word *word = &senses->words[k];
        print_row(word->word, word->end - word->begin, t->accuracy + k * t->n_kinds, t->n_kinds);
    }
    print_row("all", senses->n_contexts, t->accuracy + senses->n_words * t->n_kinds, t->n_kinds);
}

int command_eval_senses(const struct arguments *a, struct elmo_error *err)
{
    struct senses senses = {0};
    struct sense_table table = {0};
    struct elmo_model_settings settings;
    AUTO(elmo_model_free) struct elmo_model *model = NULL;
    if (!a->model)
        return elmo_fail(err, ELMO_E_INVALID, "--model is needed with --senses");
    int r = command_eval_settings(&settings, a, err);
    if (!r)
        r = senses_read(&senses, a->senses, err);
    if (!r)
        r = elmo_model_open(&model, a->model, &settings, err);
    if (!r)
        r = senses_measure(&table, &senses, model, err);
    if (!r)
        print_table(&senses, &table);
    free(table.accuracy);
    senses_done(&senses);
    return r;
}

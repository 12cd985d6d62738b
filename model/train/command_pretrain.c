/* elmo-train pretrain. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "error.h"
#include "train/data/weighted_files.h"
#include "train/engine/ranks.h"

/* Whether any FILE:WEIGHT is among the words. */
static bool has_weights(const struct weighted_files *files, const char *const *words)
{
    for (size_t k = 0; k < files->n_files; k++)
        if (strcmp(files->paths[k], words[k]))
            return true;
    return false;
}

/* One rank writes, prints, and counts as this program; a rank that fails ends all of them. */
static int run_ranks(struct pretrain_settings *s, struct elmo_error *err)
{
    struct ranks ranks;
    int r = ranks_start(&ranks, err);
    if (r)
        return r;
    s->ranks = ranks.size > 1 ? &ranks : NULL;
    s->quiet = s->quiet || ranks.index;
    r = pretrain_run(s, err);
    if (r && ranks.size > 1)
        fprintf(stderr, "elmo-train pretrain: rank %zu: %s\n", ranks.index, err->message);
    ranks_stop(&ranks, r == ELMO_E_INVALID ? 2 : r != 0);
    return r;
}

int command_pretrain(const struct arguments *a, struct elmo_error *err)
{
    struct pretrain_settings s = a->pretrain;
    if (!a->n_corpus || !a->n_heldout || !a->out)
        return elmo_fail(err, ELMO_E_INVALID, "--corpus, --heldout and --out are needed");
    if (s.resume && s.init)
        return elmo_fail(err, ELMO_E_INVALID, "--resume and --init exclude each other");
    if (s.init_softmax && !s.init)
        return elmo_fail(err, ELMO_E_INVALID, "--init-softmax goes with --init");
    if (!s.options && !s.init && !s.resume)
        return elmo_fail(err, ELMO_E_INVALID, "--options, --init or --resume is needed");
    if (!s.vocab && !s.init_softmax && !s.resume)
        return elmo_fail(err, ELMO_E_INVALID, "--vocab, --init-softmax or --resume is needed");
    struct weighted_files files;
    int r = weighted_files_parse(&files, a->corpus, a->n_corpus, err);
    if (r)
        return r;
    s.corpus = files.paths;
    s.n_corpus = files.n_files;
    s.corpus_weights = files.weights;
    s.given |= has_weights(&files, a->corpus) ? GIVEN_CORPUS_WEIGHTS : 0;
    s.heldout = a->heldout;
    s.n_heldout = a->n_heldout;
    s.out = a->out;
    r = run_ranks(&s, err);
    weighted_files_done(&files);
    return r;
}

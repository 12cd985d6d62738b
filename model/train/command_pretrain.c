/* elmo-train pretrain. */
#include "commands.h"
#include "error.h"

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
    s.corpus = a->corpus;
    s.n_corpus = a->n_corpus;
    s.heldout = a->heldout;
    s.n_heldout = a->n_heldout;
    s.out = a->out;
    return pretrain_run(&s, err);
}

#include <stdio.h>

#include "batches.h"
#include "bilm_eval.h"
#include "checkpoint_open.h"
#include "commands.h"
#include "error.h"
#include "kernels/kernels.h"

static int score_corpus(struct bilm_score *score, struct open_checkpoint *c,
                        const struct corpus *corpus, const struct arguments *a,
                        struct elmo_error *err)
{
    struct team *team = NULL;
    struct bilm_eval *eval = NULL;
    struct batches batches = {0};
    int r = team_new(&team, a->pretrain.threads, err);
    if (!r)
        r = bilm_eval_new(&eval, &c->net, team, err);
    if (!r)
        r = batches_init(&batches, corpus, 0, a->pretrain.batch_tokens, err);
    if (!r)
        r = batches_heldout(&batches, err);
    for (size_t k = 0; k < batches.n_batches && !r; k++) {
        struct bilm_batch batch;
        batches_fill(&batches, k, &batch);
        r = bilm_eval_add(eval, score, c->values, &batch, err);
    }
    batches_done(&batches);
    bilm_eval_free(eval);
    team_free(team);
    return r;
}

static int open_weights(struct open_checkpoint *c, const struct arguments *a,
                        struct elmo_error *err)
{
    if (a->checkpoint)
        return open_checkpoint_init(c, a->checkpoint, err);
    int r = open_checkpoint_shipped(c, a->model, a->softmax, err);
    if (!r && c->softmax_is_foreign && !a->pretrain.quiet)
        fprintf(stderr, "note: '%s' was trained with another biLM than that of '%s'\n", a->softmax,
                a->model);
    return r;
}

int command_eval(const struct arguments *a, struct elmo_error *err)
{
    struct open_checkpoint c = {0};
    struct corpus corpus = {0};
    struct bilm_score score = {0};
    if (a->senses)
        return command_eval_senses(a, err);
    if (a->data)
        return command_eval_data(a, err);
    if (!a->n_corpus || !a->checkpoint == !(a->model && a->softmax))
        return elmo_fail(
            err, ELMO_E_INVALID,
            "needed are --corpus and either --checkpoint or --model with --softmax; or "
            "--model with --data or --senses");
    kernels_init();
    int r = open_weights(&c, a, err);
    if (r)
        return r;
    const struct corpus_settings how = {.tokenizer = c.tokenizer, .vocab = &c.vocab};
    r = corpus_load(&corpus, a->corpus, a->n_corpus, &how, err);
    if (!r)
        r = score_corpus(&score, &c, &corpus, a, err);
    if (!r)
        printf("tokens %zu\nunknown_share %.5f\npredictions %zu\nperplexity_forward %.3f\n"
               "perplexity_backward %.3f\nperplexity_joint %.3f\n",
               corpus.n_tokens, (double)corpus.stats.n_unknown / (double)corpus.n_tokens,
               score.n_predictions, bilm_perplexity(&score, 0), bilm_perplexity(&score, 1),
               bilm_joint_perplexity(&score));
    corpus_done(&corpus);
    open_checkpoint_done(&c);
    return r;
}

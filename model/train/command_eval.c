/* elmo-train eval: the perplexity of a checkpoint, or of a model file with its softmax. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "error.h"
#include "kernels/kernels.h"
#include "train/bilm/bilm_served.h"
#include "train/bilm/checkpoint_open.h"
#include "train/data/batches.h"

DEFINE_AUTO(bilm_eval_free, struct bilm_eval *);
DEFINE_AUTO(bilm_served_free, struct bilm_served *);
DEFINE_AUTO(elmo_model_free, struct elmo_model *);

int command_eval_settings(struct elmo_model_settings *ret_settings, const struct arguments *a,
                          struct elmo_error *err)
{
    *ret_settings = (struct elmo_model_settings){.kernel = a->kernel};
    if (a->dtype && !elmo_dtype_parse(&ret_settings->dtype, a->dtype))
        return elmo_fail(err, ELMO_E_INVALID, "--dtype is f32, bf16 or int8, not '%.32s'",
                         a->dtype);
    return 0;
}

void command_eval_print_model(const struct elmo_model *model)
{
    const struct elmo_model_info *info = elmo_model_info(model);
    printf("dtype %s\nkernel %s\n", info->compute_dtype, info->kernel);
}

/* ---- Perplexity ---- */

/* A checkpoint runs as the trainer does, a model as elmod does. */
static int score_batches(struct bilm_score *score, const struct open_checkpoint *c,
                         const struct elmo_model *model, struct batches *batches, struct team *team,
                         struct elmo_error *err)
{
    AUTO(bilm_eval_free) struct bilm_eval *eval = NULL;
    AUTO(bilm_served_free) struct bilm_served *served = NULL;
    int r = model ? bilm_served_new(&served, model, &c->net, c->values, team, err)
                  : bilm_eval_new(&eval, &c->net, team, err);
    for (size_t k = 0; k < batches->n_batches && !r; k++) {
        struct bilm_batch batch;
        batches_fill(batches, k, &batch);
        r = model ? bilm_served_add(served, score, &batch, err)
                  : bilm_eval_add(eval, score, c->values, &batch, err);
    }
    return r;
}

static int score_corpus(struct bilm_score *score, const struct open_checkpoint *c,
                        const struct elmo_model *model, const struct corpus *corpus,
                        const struct arguments *a, struct elmo_error *err)
{
    struct team *team = NULL;
    struct batches batches = {0};
    size_t batch_tokens = a->pretrain.batch_tokens.from;
    int r = team_new(&team, a->pretrain.threads, err);
    if (!r)
        r = batches_init(&batches, corpus, NULL, 0, batch_tokens, err);
    if (!r)
        r = batches_heldout(&batches, batch_tokens, err);
    if (!r)
        r = score_batches(score, c, model, &batches, team, err);
    batches_done(&batches);
    team_free(team);
    return r;
}

/* *ret_model stays NULL where a checkpoint is measured. */
static int open_weights(struct open_checkpoint *c, struct elmo_model **ret_model,
                        const struct arguments *a, struct elmo_error *err)
{
    struct elmo_model_settings settings;
    int r = command_eval_settings(&settings, a, err);
    if (r)
        return r;
    if (a->checkpoint)
        return open_checkpoint_init(c, a->checkpoint, err);
    r = open_checkpoint_shipped(c, a->model, a->softmax, err);
    if (!r && c->softmax_is_foreign && !a->pretrain.quiet)
        fprintf(stderr, "note: '%s' was trained with another biLM than that of '%s'\n", a->softmax,
                a->model);
    return r ? r : elmo_model_open(ret_model, a->model, &settings, err);
}

static void print_perplexities(const struct bilm_score *score, const struct corpus *corpus)
{
    printf("tokens %zu\nunknown_share %.5f\npredictions %zu\nperplexity_forward %.3f\n"
           "perplexity_backward %.3f\nperplexity_joint %.3f\n",
           corpus->n_tokens, (double)corpus->stats.n_unknown / (double)corpus->n_tokens,
           score->n_predictions, bilm_perplexity(score, 0), bilm_perplexity(score, 1),
           bilm_joint_perplexity(score));
}

static int measure_perplexity(const struct arguments *a, struct elmo_error *err)
{
    AUTO(elmo_model_free) struct elmo_model *model = NULL;
    struct open_checkpoint c = {0};
    struct corpus corpus = {0};
    struct bilm_score score = {0};
    kernels_init();
    int r = open_weights(&c, &model, a, err);
    if (r) {
        open_checkpoint_done(&c);
        return r;
    }
    const struct corpus_settings how = {.tokenizer = c.tokenizer, .vocab = &c.vocab};
    r = corpus_load(&corpus, a->corpus, a->n_corpus, &how, err);
    if (!r)
        r = score_corpus(&score, &c, model, &corpus, a, err);
    if (!r && model)
        command_eval_print_model(model);
    if (!r)
        print_perplexities(&score, &corpus);
    corpus_done(&corpus);
    open_checkpoint_done(&c);
    return r;
}

int command_eval(const struct arguments *a, struct elmo_error *err)
{
    if ((a->dtype || a->kernel) && a->checkpoint)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--dtype and --kernel say how a --model is run: a checkpoint is measured "
                         "as it is trained");
    if (a->senses)
        return command_eval_senses(a, err);
    if (a->data)
        return command_eval_data(a, err);
    if (!a->n_corpus || !a->checkpoint == !(a->model && a->softmax))
        return elmo_fail(
            err, ELMO_E_INVALID,
            "needed are --corpus and either --checkpoint or --model with --softmax; or "
            "--model with --data or --senses");
    return measure_perplexity(a, err);
}

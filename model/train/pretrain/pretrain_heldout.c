/* The texts that a run is measured on. */
#include <string.h>

#include "common/stop_signal.h"
#include "pretrain_run.h"
#include "util/sha256.h"

static int load(struct heldout *h, const char *path, const struct corpus_settings *how,
                size_t batch_tokens, struct elmo_error *err)
{
    int e = corpus_load(&h->corpus, &path, 1, how, err);
    if (!e)
        e = batches_init(&h->batches, &h->corpus, NULL, 0, batch_tokens, err);
    return e ? e : batches_heldout(&h->batches, batch_tokens, err);
}

int run_load_heldout(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    const struct corpus_settings how = {.tokenizer = r->tokenizer, .vocab = &r->vocab};
    int e = curve_others_of_files(&r->others, s->heldout, s->n_heldout, err);
    for (size_t k = 0; !e && k < s->n_heldout; k++)
        e = load(&r->heldout[k], s->heldout[k], &how, r->state.settings.batch_tokens.from, err);
    return e;
}

void run_heldout_done(struct run *r)
{
    for (size_t k = 0; k < RUN_MAX_HELDOUT; k++) {
        batches_done(&r->heldout[k].batches);
        corpus_done(&r->heldout[k].corpus);
    }
}

void run_heldout_sha256(const struct run *r, char ret_sha256[static SHA256_HEX_BYTES])
{
    struct sha256 all;
    size_t n = r->settings->n_heldout;
    memcpy(ret_sha256, r->heldout[0].corpus.sha256, SHA256_HEX_BYTES);
    if (n == 1)
        return;
    sha256_begin(&all);
    for (size_t k = 0; k < n; k++)
        sha256_add(&all, r->heldout[k].corpus.sha256, SHA256_HEX_BYTES - 1);
    sha256_end(&all, ret_sha256);
}

/* A single rank breaks off when a signal comes; several score a share each. */
static bool breaks_off(const struct run *r)
{
    return r->ranks.size == 1 && stop_signal_came();
}

/* Adds to *score what the batches give. */
static int score_text(struct run *r, struct heldout *h, real *values, struct bilm_score *score,
                      struct elmo_error *err)
{
    int e = 0;
    for (size_t k = r->ranks.index; !e && k < h->batches.n_batches && !breaks_off(r);
         k += r->ranks.size) {
        struct bilm_batch batch;
        batches_fill(&h->batches, k, &batch);
        run_show(r, "held-out");
        e = bilm_eval_add(r->eval, score, values, &batch, err);
    }
    return e ? e : run_sum_scores(r, score, err);
}

int run_score_heldout(struct run *r, struct curve_point *ret_point, bool *ret_whole,
                      struct elmo_error *err)
{
    struct engine_state weights;
    int e = engine_download(r->engine, &weights, err);
    if (e)
        return e;
    real *values = weights.average ? weights.average->values : weights.values;
    for (size_t k = 0; !e && k < r->settings->n_heldout; k++) {
        struct bilm_score score = {0};
        e = score_text(r, &r->heldout[k], values, &score, err);
        if (k) {
            ret_point->others[k - 1] = bilm_joint_perplexity(&score);
            continue;
        }
        ret_point->perplexity_forward = bilm_perplexity(&score, 0);
        ret_point->perplexity_backward = bilm_perplexity(&score, 1);
        ret_point->perplexity = bilm_joint_perplexity(&score);
    }
    *ret_whole = !breaks_off(r);
    return e;
}

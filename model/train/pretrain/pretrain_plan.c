/* How far a run is, and the rate there. */
#include <math.h>

#include "pretrain_run.h"

/* What the evaluation and the checkpoint at the end take belongs to the hours. */
static double hours_share(const struct run *r)
{
    if (isnan(r->train_s))
        return 0;
    double end_s =
        r->start_s + r->settings->hours * 3600 - r->longest_evaluation_s - r->longest_checkpoint_s;
    double done_s = run_now(r) - r->train_s;
    return end_s > r->train_s ? done_s / (end_s - r->train_s) : 1;
}

static double tokens_share(const struct run *r)
{
    const struct pretrain_settings *s = r->settings;
    double share = 0;
    if (s->tokens)
        share = (double)r->state.n_tokens / (double)s->tokens;
    if (s->decay_tokens)
        share = fmax(share, rate_line_done(&r->state.decay.line, r->state.n_tokens));
    return share;
}

double run_done_share(const struct run *r)
{
    return fmin(1, fmax(tokens_share(r), r->settings->hours > 0 ? hours_share(r) : 0));
}

bool run_is_complete(const struct run *r)
{
    return tokens_share(r) >= 1;
}

static double decay_at(const struct run *r, double done_share)
{
    if (r->settings->decay_tokens)
        return rate_line_decay(&r->state.decay.line, r->state.n_tokens);
    return r->settings->no_decay ? 1 : rate_decay(done_share);
}

double run_decay(const struct run *r)
{
    return decay_at(r, run_done_share(r));
}

double run_decay_at_start(const struct run *r)
{
    return decay_at(r, fmin(1, tokens_share(r)));
}

double run_learning_rate(const struct run *r)
{
    return r->state.settings.learning_rate * rate_warm_up(r->state.n_steps, run_done_share(r)) *
           run_decay(r);
}

/* Not by the share of a decay of its own: it is not the run's. */
size_t run_batch_tokens(const struct run *r)
{
    double share = r->settings->decay_tokens ? 0 : run_done_share(r);
    uint64_t wanted = batch_growth_tokens(&r->state.settings.batch_tokens, share);
    return wanted > r->least_batch_tokens ? wanted : r->least_batch_tokens;
}

size_t run_n_samples(const struct run *r)
{
    const struct train_settings *s = &r->state.settings;
    return batch_growth_samples(&s->batch_tokens, batches_size(&r->batches), s->n_samples,
                                r->net.n_vocab);
}

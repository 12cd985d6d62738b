/* The loop of a pretraining run. */
#include <math.h>
#include <stdio.h>

#include "common/stop_signal.h"
#include "error.h"
#include "pretrain_run.h"
#include "util/rng.h"

/* The moment before the rate falls is kept, so that runs can go on from it at the full rate. */
static int look_at_decay(struct run *r, struct elmo_error *err)
{
    double decay = run_decay(r);
    int e = decay < 1 && r->state.decay.left >= 1 ? run_keep_before_decay(r, err) : 0;
    r->state.decay.left = decay;
    return e;
}

/* batch NULL: only other ranks have one. */
static int train_step(struct run *r, const struct bilm_batch *batch, struct elmo_error *err)
{
    struct engine_result result;
    struct rng seeds = {r->state.seed ^ r->state.n_steps << 20};
    const struct engine_step step = {run_learning_rate(r), run_n_samples(r), rng_next(&seeds),
                                     run_word_vectors_weight(r)};
    int e = engine_step(r->engine, &result, batch, &step, err);
    if (e)
        return e;
    if (!isfinite(result.loss) || !isfinite(result.norm))
        return run_fail_not_finite(r, "the loss or its gradient", err);
    r->loss_sum += result.loss;
    r->n_loss++;
    r->state.n_steps++;
    r->state.n_tokens += result.n_predictions;
    return 0;
}

/* Sees to it that there are batches, of the size that it is time for. */
static int prepare_batches(struct run *r, struct elmo_error *err)
{
    r->least_batch_tokens = run_batch_tokens(r);
    int e = 0;
    if (batches_left(&r->batches))
        e = batches_resize(&r->batches, r->least_batch_tokens, err);
    else
        e = batches_epoch(&r->batches, r->batches.position.epoch + 1, r->least_batch_tokens, err);
    if (!e && !batches_left(&r->batches))
        e = elmo_fail(err, ELMO_E_INVALID, "an epoch of the corpus has no batch");
    return e;
}

/* At whole multiples of eval_tokens: where a run was stopped between them makes no difference. */
static void plan_evaluation(struct run *r)
{
    uint64_t every = r->settings->eval_tokens;
    r->next_eval = every ? (r->state.n_tokens / every + 1) * every : 0;
}

/* One step, and what it is time for after it. */
static int advance(struct run *r, struct elmo_error *err)
{
    struct bilm_batch batch;
    int e = look_at_decay(r, err);
    if (!e)
        e = prepare_batches(r, err);
    if (!e)
        e = train_step(r, run_take_share(r, &batch) ? &batch : NULL, err);
    if (e)
        return e;
    run_show(r, "train");
    if (r->state.n_tokens >= r->next_eval) {
        plan_evaluation(r);
        return run_evaluate(r, err);
    }
    if (run_now(r) - r->checkpoint_s > r->settings->checkpoint_minutes * 60)
        return run_write_checkpoint(r, err);
    return 0;
}

/* Measures where the run stands, so that a curve shows what a resume does and the time that an
 * evaluation takes is known. */
static int begin(struct run *r, struct elmo_error *err)
{
    int e = run_evaluate(r, err);
    plan_evaluation(r);
    if (!e)
        e = run_share_tick(r, err);
    r->train_s = run_now(r);
    if (e || run_stops(r))
        return e;
    run_begin_progress(r);
    if (run_done_share(r) >= 1)
        return elmo_fail(err, ELMO_E_INVALID,
                         "--hours %g leave no time to train: loading took %.0f s, and an "
                         "evaluation takes %.0f s",
                         r->settings->hours, r->begin_s - r->start_s, r->longest_evaluation_s);
    return 0;
}

static int run_loop(struct run *r, struct elmo_error *err)
{
    int e = begin(r, err);
    while (!e && !run_stops(r) && run_done_share(r) < 1) {
        e = advance(r, err);
        if (!e)
            e = run_share_tick(r, err);
    }
    progress_clear(&r->progress);
    return !e && r->n_loss ? run_evaluate(r, err) : e;
}

int pretrain_run(const struct pretrain_settings *settings, struct elmo_error *err)
{
    struct run r;
    int e = run_init(&r, settings, err);
    if (!e && run_is_complete(&r)) {
        if (!settings->quiet)
            fprintf(stderr, "note: nothing to do: the run has all of its tokens\n");
    } else if (!e) {
        stop_signal_catch();
        e = run_loop(&r, err);
        stop_signal_release();
    }
    run_done(&r);
    return e;
}

/* What a run measures and writes: held-out perplexity, the curve, checkpoints, the progress line.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "error.h"
#include "pretrain_run.h"
#include "train/maths/loops.h"

#define PROGRESS_S 30 /* between lines of progress that are not rewritten */

int run_fail_not_finite(const struct run *r, const char *what, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_NUMERIC,
                     "step %llu: %s is not finite; the last checkpoint is good: try a lower "
                     "--learning-rate",
                     (unsigned long long)r->state.n_steps, what);
}

static double mean_loss(const struct run *r)
{
    return r->n_loss ? r->loss_sum / (double)r->n_loss : (double)NAN;
}

void run_begin_progress(struct run *r)
{
    progress_init(&r->progress, r->settings->quiet ? NULL : stderr, PROGRESS_S);
}

void run_show(struct run *r, const char *phase)
{
    const struct progress_state state = {
        .phase = phase,
        .step = r->state.n_steps,
        .epoch = r->batches.position.epoch,
        .epoch_share = batches_taken_share(&r->batches),
        .loss = mean_loss(r),
        .n_tokens = r->state.n_tokens,
        .done_share = run_done_share(r),
    };
    progress_update(&r->progress, run_now(r), &state);
}

/* ---- Checkpoints ---- */

/* Weights that a step has ruined must not become a checkpoint: only the next step's loss would show
 * it. Of weights whose squares overflow, there is no loss. */
static bool are_usable(const real *values, size_t n)
{
    return loops_best()->sum_of_squares(values, n) < (double)FLT_MAX;
}

static int write_to(struct run *r, const char *name, struct elmo_error *err)
{
    char path[RUN_MAX_PATH];
    struct checkpoint c;
    double begin_s = run_now(r), clock_s = r->settings->now_s();
    int e = run_checkpoint_of(r, &c, err);
    if (!e && !are_usable(c.values, net_size(&r->net)))
        e = run_fail_not_finite(r, "the sum of all weights", err);
    if (e)
        return e;
    if (r->state.decay.left < 1)
        r->state.decay.left = run_decay(r);
    r->state.position = r->batches.position;
    r->state.seconds = r->seconds_before + begin_s - r->begin_s;
    run_path(r, name, path);
    if (run_writes(r))
        e = checkpoint_write(path, &c, err);
    r->longest_checkpoint_s = fmax(r->longest_checkpoint_s, r->settings->now_s() - clock_s);
    return e;
}

int run_write_checkpoint(struct run *r, struct elmo_error *err)
{
    int e = write_to(r, RUN_CHECKPOINT, err);
    if (!e)
        r->written_steps = r->state.n_steps;
    r->checkpoint_s = run_now(r);
    return e;
}

int run_keep_before_decay(struct run *r, struct elmo_error *err)
{
    int e = write_to(r, RUN_BEFORE_DECAY, err);
    if (e)
        return e;
    progress_clear(&r->progress);
    if (!r->settings->quiet)
        fprintf(stderr,
                "%llu tokens: from here on the rate falls; '%s/" RUN_BEFORE_DECAY
                "' is the run before that\n",
                (unsigned long long)r->state.n_tokens, r->settings->out);
    return 0;
}

/* ---- Held-out perplexity ---- */

static int plot_curve(struct run *r, struct elmo_error *err)
{
    char csv[RUN_MAX_PATH], svg[RUN_MAX_PATH];
    struct curve_point *points;
    size_t n_points;
    run_path(r, "curve.csv", csv);
    run_path(r, "curve.svg", svg);
    int e = curve_read(&points, &n_points, NULL, csv, err);
    if (e)
        return e;
    e = curve_plot(svg, r->settings->out, points, n_points, &r->others, err);
    free(points);
    return e;
}

static void say_point(const struct run *r, const struct curve_point *p)
{
    fprintf(stderr, "%llu tokens: held-out perplexity %.1f forward, %.1f backward, %.1f joint",
            (unsigned long long)p->tokens, p->perplexity_forward, p->perplexity_backward,
            p->perplexity);
    for (size_t k = 0; k < r->others.n_names; k++)
        fprintf(stderr, "; %s %.1f", r->others.names[k], p->others[k]);
    fputc('\n', stderr);
}

static bool is_finite(const struct run *r, const struct curve_point *p)
{
    bool finite = isfinite(p->perplexity);
    for (size_t k = 0; k < r->others.n_names; k++)
        finite &= isfinite(p->others[k]);
    return finite;
}

/* The point has its perplexities. */
static int add_point(struct run *r, struct curve_point *p, struct elmo_error *err)
{
    p->step = r->state.n_steps;
    p->tokens = r->state.n_tokens;
    p->epoch = (double)r->batches.position.epoch + batches_taken_share(&r->batches);
    p->seconds = r->seconds_before + run_now(r) - r->begin_s;
    p->learning_rate = run_learning_rate(r);
    p->loss = mean_loss(r);
    if (!is_finite(r, p)) /* weights that must not become a checkpoint */
        return run_fail_not_finite(r, "the held-out perplexity", err);
    progress_clear(&r->progress);
    if (!r->settings->quiet)
        say_point(r, p);
    int e = run_writes(r) ? curve_add(r->curve, p, err) : 0;
    return e || !run_writes(r) ? e : plot_curve(r, err);
}

int run_evaluate(struct run *r, struct elmo_error *err)
{
    struct curve_point point = {0};
    bool whole = false;
    double clock_s = r->settings->now_s();
    int e = run_stops(r) ? 0 : run_score_heldout(r, &point, &whole, err);
    if (!e && whole) {
        e = add_point(r, &point, err);
        r->loss_sum = 0;
        r->n_loss = 0;
        r->longest_evaluation_s = fmax(r->longest_evaluation_s, r->settings->now_s() - clock_s);
    }
    if (!e && r->written_steps != r->state.n_steps)
        e = run_write_checkpoint(r, err);
    return e;
}

/* The plan of a pretraining run: the rate over all of it, its end by tokens, by hours and by a
 * decay of its own, what is kept before a decay, and what is measured. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pretrain_case.h"
#include "train/bilm/curve.h"

static void check_rate(const struct curve_point *p, double expected)
{
    if (!(fabs(p->learning_rate - expected) < 1e-5 * expected + 1e-12))
        fail_msg("step %llu: rate %g, expected %g", (unsigned long long)p->step, p->learning_rate,
                 expected);
}

/* ---- The rate ---- */

static void the_rate_goes_up_and_down_over_a_whole_run(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 2000);
    size_t n, n_up = 0, n_down = 0;
    s.learning_rate = 0.004;
    s.eval_tokens = 20;
    must_run(&s);
    struct curve_point *p = points_of(out_a, &n);
    assert_true(p[0].step == 0 && p[1].step < 4);
    for (size_t i = 0; i < n; i++) {
        double share = fmin(1, (double)p[i].tokens / 2000), expected = 0.004;
        if (share < 0.05) { /* it has fewer than 300 steps */
            expected *= fmax((double)(p[i].step + 1) / 300, share / 0.05);
            n_up++;
        }
        if (share > 0.7) {
            expected *= (1 - share) / 0.3;
            n_down++;
        }
        check_rate(&p[i], expected);
    }
    assert_true(n_up > 4 && n_down > 20 && n - n_up - n_down > 40);
    assert_true(p[n - 1].learning_rate == 0 && p[n - 1].tokens >= 2000);
    free(p);
}

static void without_a_decay_the_rate_stays(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 1000);
    size_t n;
    s.no_decay = true;
    s.eval_tokens = 50;
    must_run(&s);
    struct curve_point *p = points_of(out_a, &n);
    for (size_t i = 2; i < n; i++)
        check_rate(&p[i], s.learning_rate);
    assert_false(has_file(out_a, "before-decay.safetensors"));
    assert_true(state_of(out_a).decay.left == 1);
    free(p);
    remove_run(out_a);
}

/* ---- Hours ---- */

/* A held-out text of many batches, so that an evaluation takes longer than a few steps. */
static char *long_heldout(void)
{
    static const char line[] = "I liked the end of the film .\n";
    char *path = temp_path(&dir, "long.txt"), text[40 * sizeof line] = "";
    for (int k = 0; k < 40; k++)
        strcat(text, line);
    assert_true(write_whole_file(path, text, strlen(text)));
    return path;
}

static void hours_bring_the_rate_down_and_hold_the_evaluation(void **state)
{
    (void)state;
    AUTO(mem_free) char *path = long_heldout();
    const char *files[] = {path};
    struct pretrain_settings s = settings_for(out_a, 0);
    size_t n, n_flat = 0, n_down = 0;
    s.heldout = files;
    s.now_s = fake_now;
    s.hours = 0.02; /* 72 s; a step looks at the clock some ten times */
    s.eval_tokens = 100;
    fake_clock = (struct fake_clock){.now_s = 1000, .step_s = 0.01};
    must_run(&s);
    double took_s = fake_clock.now_s - 1000;
    assert_true(took_s > 71 && took_s < 72.2); /* a step more, but no evaluation */
    struct curve_point *p = points_of(out_a, &n);
    /* The last evaluation takes as long as the first, and is not trained in. */
    double begin_s = p[0].seconds, length_s = p[n - 1].seconds - 2 * begin_s;
    for (size_t i = 1; i + 1 < n; i++) {
        double share = (p[i].seconds - begin_s) / length_s;
        n_flat += share > 0.1 && share < 0.68;
        n_down += share > 0.72;
        if (share > 0.1 && share < 0.68)
            check_rate(&p[i], s.learning_rate);
        if (share > 0.72) {
            assert_true(p[i].learning_rate < p[i - 1].learning_rate);
            assert_true(fabs(p[i].learning_rate / s.learning_rate - (1 - share) / 0.3) < 0.03);
        }
    }
    assert_true(n_flat > 10 && n_down > 5);
    assert_true(p[n - 1].learning_rate == 0);
    free(p);
    remove_run(out_a);
}

static void hours_that_leave_no_time_are_an_error(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 0);
    s.now_s = fake_now;
    s.hours = 0.001;
    fake_clock = (struct fake_clock){.step_s = 1};
    must_fail(&s, "leave no time to train");
    remove_run(out_a);
}

/* ---- A decay of its own ---- */

static void a_decay_of_its_own_ends_a_run(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 4000);
    size_t n, n_down = 0;
    s.no_decay = true;
    must_run(&s);
    uint64_t begin = state_of(out_a).n_tokens;
    s = settings_for(out_a, 0);
    s.resume = true;
    s.decay_tokens = 600;
    s.eval_tokens = 20;
    must_run(&s);
    struct curve_point *p = points_of(out_a, &n);
    for (size_t i = 0; i < n; i++) {
        if (p[i].tokens <= begin)
            continue;
        check_rate(&p[i], s.learning_rate * fmax(0, 1 - (double)(p[i].tokens - begin) / 600));
        n_down++;
    }
    assert_true(n_down > 20);
    assert_true(p[n - 1].learning_rate == 0 && p[n - 1].tokens >= begin + 600);
    assert_true(p[n - 1].tokens < begin + 630);
    free(p);
    remove_run(out_a);
}

/* The state of a run of 4000 tokens at the full rate, in `out`. */
static void run_at_full_rate(const char *out)
{
    struct pretrain_settings s = settings_for(out, 4000);
    s.no_decay = true;
    must_run(&s);
}

static void a_decay_that_was_stopped_goes_on(void **state)
{
    (void)state;
    struct pretrain_settings whole = settings_for(out_a, 0), part = settings_for(out_b, 0);
    size_t n_stops = 0;
    run_at_full_rate(out_a);
    run_at_full_rate(out_b);
    uint64_t end = state_of(out_a).n_tokens + 1000;
    whole.resume = part.resume = true;
    whole.decay_tokens = part.decay_tokens = 1000;
    must_run(&whole);
    part.now_s = fake_now;
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 35};
    do {
        fake_clock.n_looks = 0;
        must_run(&part);
    } while (state_of(out_b).n_tokens < end && ++n_stops < 100);
    assert_in_range(n_stops, 4, 20);
    assert_same_checkpoint(out_a, out_b);
    must_run(&part); /* nothing to do */
    assert_same_checkpoint(out_a, out_b);
    remove_run(out_a);
    remove_run(out_b);
}

/* A line from where the rate is, over as many tokens as are given. */
static void a_stopped_decay_can_be_made_shorter(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 0);
    size_t n;
    run_at_full_rate(out_a);
    s.resume = true;
    s.decay_tokens = 1000;
    s.now_s = fake_now;
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 100};
    must_run(&s);
    const struct train_state stopped = state_of(out_a);
    assert_true(stopped.decay.left > 0.3 && stopped.decay.left < 0.9);
    fake_clock.stop_after = 0;
    s.decay_tokens = 200;
    s.eval_tokens = 20;
    must_run(&s);
    struct curve_point *p = points_of(out_a, &n);
    assert_true(p[n - 1].tokens >= stopped.n_tokens + 200);
    assert_true(p[n - 1].tokens < stopped.n_tokens + 230);
    for (size_t i = 0; i < n; i++)
        if (p[i].tokens > stopped.n_tokens)
            check_rate(&p[i], s.learning_rate * stopped.decay.left *
                                  fmax(0, 1 - (double)(p[i].tokens - stopped.n_tokens) / 200));
    free(p);
    remove_run(out_a);
}

static void a_rate_that_has_fallen_does_not_rise_again(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 2000), shorter;
    s.now_s = fake_now;
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 400};
    must_run(&s);
    const struct train_state stopped = state_of(out_a);
    assert_true(stopped.decay.left > 0.2 && stopped.decay.left < 0.8);
    fake_clock.stop_after = 0;
    s.resume = true;
    s.tokens = 3000;
    must_fail(&s, "before-decay.safetensors");
    s.tokens = 2000;
    s.no_decay = true;
    must_fail(&s, "--decay-tokens N");
    s.no_decay = false;
    s.tokens = 0;
    s.hours = 1000;
    must_fail(&s, "--decay-tokens N");
    shorter = s;
    shorter.hours = 0;
    shorter.tokens = stopped.n_tokens + 50;
    must_run(&shorter);
    assert_true(state_of(out_a).decay.left == 0);
    s.hours = 0;
    s.decay_tokens = 1000;
    must_fail(&s, "before-decay.safetensors"); /* nothing is left of it */
    remove_run(out_a);
}

static void the_run_before_a_decay_goes_on(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 2000);
    size_t n, n_resumed;
    s.eval_tokens = 100;
    must_run(&s);
    copy_run(out_a, "before-decay.safetensors", out_b);
    const struct train_state before = state_of(out_b), after = state_of(out_a);
    assert_true(before.n_tokens > 1400 && before.n_tokens < 1430);
    assert_true(before.decay.left == 1 && after.decay.left == 0);
    s.out = out_b;
    s.resume = true;
    must_run(&s); /* the same decay */
    assert_same_checkpoint(out_a, out_b);
    remove_run(out_b);
    copy_run(out_a, "before-decay.safetensors", out_b);
    s.tokens = 5000; /* at the full rate first */
    must_run(&s);
    struct curve_point *p = points_of(out_a, &n), *resumed = points_of(out_b, &n_resumed);
    double at_seam = 0;
    for (size_t i = 0; i < n; i++)
        at_seam = p[i].step == before.n_steps ? p[i].perplexity : at_seam;
    assert_int_equal(resumed[0].step, before.n_steps); /* the seam is on the curve */
    assert_true(resumed[0].perplexity == at_seam);
    check_rate(&resumed[0], s.learning_rate);
    check_rate(&resumed[10], s.learning_rate);
    assert_true(resumed[n_resumed - 1].learning_rate == 0);
    free(p);
    free(resumed);
    remove_run(out_a);
    remove_run(out_b);
}

/* ---- What is measured ---- */

static void each_held_out_text_has_its_own_perplexity(void **state)
{
    (void)state;
    const char *files[] = {heldout, corpus};
    struct pretrain_settings both = settings_for(out_a, 400), alone = settings_for(out_b, 400);
    size_t n, n_alone;
    both.heldout = files;
    both.n_heldout = 2;
    alone.heldout = files + 1;
    must_run(&both);
    must_run(&alone);
    struct curve_point *p = points_of(out_a, &n), *q = points_of(out_b, &n_alone);
    assert_true(n > 2 && n == n_alone);
    for (size_t i = 0; i < n; i++) {
        assert_true(p[i].others[0] == q[i].perplexity);
        assert_true(p[i].perplexity != q[i].perplexity);
    }
    free(p);
    free(q);
    both.resume = true;
    both.n_heldout = 1;
    must_fail(&both, "cannot resume");
    both.n_heldout = 2;
    both.heldout = (const char *[]){corpus, heldout}; /* another order is other columns */
    must_fail(&both, "cannot resume");
    both.resume = false;
    both.n_heldout = 1 + CURVE_MAX_OTHERS + 1;
    both.heldout = (const char *[]){corpus, corpus, corpus, corpus, corpus,
                                    corpus, corpus, corpus, corpus, corpus};
    remove_runs(NULL);
    must_fail(&both, "");
}

/* ---- What does not fit ---- */

static void ends_and_settings_that_do_not_fit_are_named(void **state)
{
    (void)state;
    static const struct {
        double hours;
        uint64_t tokens, decay_tokens;
        bool no_decay, resume;
        struct batch_growth batch_tokens;
        double average;
        const char *says;
    } cases[] = {
        {0, 0, 0, false, false, {16, 16}, 0, "a run needs an end"},
        {0, 0, 0, true, false, {16, 16}, 0, "a run needs an end"},
        {0, 0, 0, false, true, {16, 16}, 0, "a run needs an end"},
        {0, 0, 100, false, false, {16, 16}, 0, "goes with --resume"},
        {1, 0, 100, false, true, {16, 16}, 0, "--hours"},
        {0, 9, 100, false, true, {16, 16}, 0, "--tokens"},
        {0, 0, 100, true, true, {16, 16}, 0, "--no-decay"},
        {1, 0, 0, false, false, {16, 16}, 1, "--average"},
        {1, 0, 0, false, false, {32, 16}, 0.5, "FROM is at most TO"},
        {1, 0, 0, false, false, {0, 16}, 0.5, "--batch-tokens"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct pretrain_settings s = settings_for(out_a, cases[k].tokens);
        s.hours = cases[k].hours;
        s.decay_tokens = cases[k].decay_tokens;
        s.no_decay = cases[k].no_decay;
        s.resume = cases[k].resume;
        s.batch_tokens = cases[k].batch_tokens;
        s.average = cases[k].average;
        must_fail(&s, cases[k].says);
        assert_int_equal(access(out_a, F_OK), -1); /* nothing was made */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_rate_goes_up_and_down_over_a_whole_run, remove_runs),
        cmocka_unit_test_setup(without_a_decay_the_rate_stays, remove_runs),
        cmocka_unit_test_setup(hours_bring_the_rate_down_and_hold_the_evaluation, remove_runs),
        cmocka_unit_test_setup(hours_that_leave_no_time_are_an_error, remove_runs),
        cmocka_unit_test_setup(a_decay_of_its_own_ends_a_run, remove_runs),
        cmocka_unit_test_setup(a_decay_that_was_stopped_goes_on, remove_runs),
        cmocka_unit_test_setup(a_stopped_decay_can_be_made_shorter, remove_runs),
        cmocka_unit_test_setup(a_rate_that_has_fallen_does_not_rise_again, remove_runs),
        cmocka_unit_test_setup(the_run_before_a_decay_goes_on, remove_runs),
        cmocka_unit_test_setup(each_held_out_text_has_its_own_perplexity, remove_runs),
        cmocka_unit_test_setup(ends_and_settings_that_do_not_fit_are_named, remove_runs),
    };
    return cmocka_run_group_tests(tests, pretrain_set_up, pretrain_tear_down);
}

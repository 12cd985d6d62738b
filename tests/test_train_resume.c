/* What a resumed run takes from its checkpoint, and the average of the weights in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoint_open.h"
#include "curve.h"
#include "mapped_file.h"
#include "pretrain_case.h"
#include "safetensors.h"

/* ---- Settings ---- */

/* None of them is a default. */
static struct pretrain_settings odd_settings(const char *out)
{
    struct pretrain_settings s = settings_for(out, 600);
    s.no_decay = true;
    s.tokenizer = TOKENIZER_WHITESPACE;
    s.batch_tokens = (struct batch_growth){24, 24};
    s.n_samples = 7;
    s.threads = 1;
    s.precision = products_best_precision() == PRECISION_F32 ? PRECISION_BF16 : PRECISION_F32;
    s.dropout = 0.25;
    s.learning_rate = 0.003;
    s.max_norm = 0.5;
    s.average = 0.75;
    s.seed = 77;
    return s;
}

/* Only files and an end. */
static struct pretrain_settings bare_settings(const char *out, uint64_t tokens)
{
    struct pretrain_settings s = pretrain_defaults(), full = settings_for(out, tokens);
    s.corpus = full.corpus;
    s.heldout = full.heldout;
    s.n_corpus = s.n_heldout = 1;
    s.out = out;
    s.tokens = tokens;
    s.no_decay = true;
    s.resume = s.quiet = true;
    return s;
}

static void a_resumed_run_takes_all_from_its_checkpoint(void **state)
{
    (void)state;
    struct pretrain_settings s = odd_settings(out_a);
    must_run(&s);
    s.out = out_b;
    s.now_s = fake_now;
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 35};
    must_run(&s);
    assert_true(state_of(out_b).n_tokens < 500);
    s = bare_settings(out_b, 600);
    must_run(&s);
    assert_same_checkpoint(out_a, out_b);
    const struct train_state now = state_of(out_b);
    assert_int_equal(now.seed, 77);
    assert_int_equal(now.settings.threads, 1);
    assert_true(now.settings.average == 0.75 && now.settings.dropout == 0.25);
    remove_run(out_a);
    remove_run(out_b);
}

/* What a run says on stderr; free() it. */
static char *said_by(const struct pretrain_settings *s)
{
    AUTO(mem_free) char *path = temp_path(&dir, "said.txt");
    size_t n_bytes;
    fflush(stderr);
    int screen = dup(STDERR_FILENO);
    assert_non_null(freopen(path, "w", stderr));
    int r = pretrain_run(s, NULL);
    fflush(stderr);
    dup2(screen, STDERR_FILENO);
    close(screen);
    assert_int_equal(r, 0);
    char *bytes = (char *)read_whole_file(path, &n_bytes), *text = calloc(1, n_bytes + 1);
    memcpy(text, bytes, n_bytes);
    free(bytes);
    return text;
}

static void what_is_given_wins_and_is_named(void **state)
{
    (void)state;
    struct pretrain_settings s = odd_settings(out_a);
    must_run(&s);
    s = bare_settings(out_a, 700);
    s.quiet = false;
    char *text = said_by(&s);
    assert_null(strstr(text, "note: settings"));
    free(text);
    s.tokens = 800;
    s.given = GIVEN_DROPOUT | GIVEN_BATCH_TOKENS | GIVEN_LEARNING_RATE;
    s.dropout = 0;
    s.batch_tokens = (struct batch_growth){16, 64};
    s.learning_rate = 0.003; /* as it was */
    text = said_by(&s);
    const char *note = strstr(text, "note: settings that differ from the checkpoint's: "
                                    "--batch-tokens 16:64 (was 24), --dropout 0 (was 0.25)\n");
    assert_non_null(note);
    assert_null(strstr(note + 1, "note"));
    free(text);
    const struct train_settings now = state_of(out_a).settings;
    assert_true(now.dropout == 0 && now.batch_tokens.to == 64);
    assert_true(now.learning_rate == 0.003 && now.n_samples == 7 && now.average == 0.75);
    s.quiet = true;
    s.given = GIVEN_SEED;
    s.seed = 78;
    must_fail(&s, "--seed, 77");
    s.seed = 77;
    s.tokens = 900;
    must_run(&s);
    remove_run(out_a);
}

/* ---- Batches ---- */

static size_t size_of(const struct train_state *state)
{
    return state->position.stages[state->position.n_stages - 1].batch_tokens;
}

static void batches_grow_over_a_run(void **state)
{
    (void)state;
    static const struct batch_growth growth = {8, 32};
    struct pretrain_settings s = settings_for(out_a, 2000);
    struct train_state now;
    size_t n_seen[33] = {0};
    s.batch_tokens = growth;
    s.now_s = fake_now;
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 35};
    do {
        fake_clock.n_looks = 0;
        must_run(&s);
        s.resume = true;
        now = state_of(out_a);
        size_t least = batch_growth_tokens(&growth, ((double)now.n_tokens - 32) / 2000),
               most = batch_growth_tokens(&growth, (double)now.n_tokens / 2000);
        assert_in_range(size_of(&now), least, most);
        n_seen[size_of(&now)]++;
    } while (now.n_tokens < 2000);
    assert_true(n_seen[8] > 2 && n_seen[16] > 2 && n_seen[32] > 1);
}

/* They stay as large as they were where the share of the run falls, unless others are given. */
static void batches_of_a_resumed_run_do_not_shrink(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 600);
    struct train_state now;
    s.no_decay = true;
    s.batch_tokens = (struct batch_growth){8, 32};
    must_run(&s);
    s = bare_settings(out_a, 100000);
    s.now_s = fake_now;
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 35};
    must_run(&s);
    now = state_of(out_a);
    assert_int_equal(size_of(&now), 32);
    s.batch_tokens = (struct batch_growth){8, 32};
    s.given = GIVEN_BATCH_TOKENS; /* the same again: not given others */
    fake_clock.n_looks = 0;
    must_run(&s);
    now = state_of(out_a);
    assert_int_equal(size_of(&now), 32);
    s.batch_tokens = (struct batch_growth){12, 12};
    fake_clock.n_looks = 0;
    must_run(&s);
    now = state_of(out_a);
    assert_int_equal(size_of(&now), 12);
}

/* Batches four times as large as at first have twice the samples. */
static void samples_grow_with_the_batches(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 600);
    s.no_decay = true;
    s.batch_tokens = (struct batch_growth){8, 32};
    s.n_samples = 7;
    must_run(&s);
    copy_run(out_a, "checkpoint.safetensors", out_b);
    s = bare_settings(out_a, 1000);
    must_run(&s);
    s.out = out_b;
    s.given = GIVEN_BATCH_TOKENS | GIVEN_SAMPLES;
    s.batch_tokens = (struct batch_growth){32, 32};
    s.n_samples = 14;
    must_run(&s);
    assert_same_checkpoint(out_a, out_b);
}

/* ---- The average ---- */

static void assert_average(const char *out, bool expected)
{
    struct mapped_file mapping = {0};
    struct safetensors *file;
    struct open_checkpoint c;
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out), NULL), 0);
    assert_int_equal(mapped_file_open(&mapping, checkpoint_path(out), NULL), 0);
    assert_int_equal(safetensors_parse(&file, mapping.bytes, mapping.n_bytes, NULL), 0);
    for (size_t k = 0; k < c.net.specs.n_items; k++) {
        char name[256];
        const char *weights = c.net.specs.items[k].name;
        snprintf(name, sizeof name, "average/%s", weights);
        const struct st_tensor *average = safetensors_find(file, name),
                               *last = safetensors_find(file, weights);
        assert_int_equal(average != NULL, expected);
        const real *opened = c.values + c.net.offsets[k];
        assert_memory_equal(opened, (average ? average : last)->data, last->n_bytes);
        if (average)
            assert_memory_not_equal(average->data, last->data, last->n_bytes);
    }
    safetensors_free(file);
    mapped_file_close(&mapping);
    open_checkpoint_done(&c);
}

static double last_perplexity(const char *out)
{
    size_t n;
    struct curve_point *p = points_of(out, &n);
    double perplexity = p[n - 1].perplexity;
    free(p);
    return perplexity;
}

/* Also for what is exported: command_export reads it as open_checkpoint_init does. */
static void the_average_is_what_is_measured_and_opened(void **state)
{
    (void)state;
    struct pretrain_settings with = settings_for(out_a, 600), without = settings_for(out_b, 600);
    with.average = 0.9;
    without.average = 0;
    must_run(&with);
    must_run(&without);
    assert_average(out_a, true);
    assert_average(out_b, false);
    assert_true(last_perplexity(out_a) != last_perplexity(out_b));
    assert_int_equal(state_of(out_a).average_steps, state_of(out_a).n_steps);
    assert_int_equal(state_of(out_b).average_steps, 0);
    remove_run(out_a);
    remove_run(out_b);
}

static void an_average_can_begin_later(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 400);
    s.no_decay = true;
    s.average = 0;
    must_run(&s);
    uint64_t n_steps = state_of(out_a).n_steps;
    s.resume = true;
    s.tokens = 600;
    s.given = GIVEN_AVERAGE;
    s.average = 0.9;
    must_run(&s);
    assert_average(out_a, true);
    assert_int_equal(state_of(out_a).average_steps, state_of(out_a).n_steps - n_steps);
    s.tokens = 700;
    s.average = 0; /* and end */
    must_run(&s);
    assert_average(out_a, false);
    remove_run(out_a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_resumed_run_takes_all_from_its_checkpoint, remove_runs),
        cmocka_unit_test_setup(what_is_given_wins_and_is_named, remove_runs),
        cmocka_unit_test_setup(batches_grow_over_a_run, remove_runs),
        cmocka_unit_test_setup(batches_of_a_resumed_run_do_not_shrink, remove_runs),
        cmocka_unit_test_setup(samples_grow_with_the_batches, remove_runs),
        cmocka_unit_test_setup(the_average_is_what_is_measured_and_opened, remove_runs),
        cmocka_unit_test_setup(an_average_can_begin_later, remove_runs),
    };
    return cmocka_run_group_tests(tests, pretrain_set_up, pretrain_tear_down);
}

/* What a resumed run takes from its checkpoint: settings, weights of the corpus, the size of its
 * batches, and the average of the weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "file/safetensors.h"
#include "pretrain_case.h"
#include "train/bilm/checkpoint_open.h"
#include "train/bilm/curve.h"
#include "train/bilm/grow_file.h"
#include "train/commands.h"
#include "train/train_toy.h"
#include "util/mapped_file.h"

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

/* ---- options.json ---- */

/* A file of pretrain_case.h's options with more keys; free() the path. */
static char *options_with(const char *keys)
{
    char *path = temp_path(&dir, "more.json"), text[2 * sizeof toy_options];
    int n = snprintf(text, sizeof text, "%.*s, %s}", (int)(strrchr(toy_options, '}') - toy_options),
                     toy_options, keys);
    assert_true(write_whole_file(path, text, (size_t)n));
    return path;
}

static void options_say_what_the_command_line_does_not(void **state)
{
    (void)state;
    AUTO(mem_free)
    char *path = options_with("\"dropout\": 0.3, \"n_negative_samples_batch\": 7, "
                              "\"all_clip_norm_val\": 2, \"n_epochs\": 10");
    struct pretrain_settings s = settings_for(out_a, 100);
    struct open_checkpoint c;
    s.options = path;
    s.given = GIVEN_SAMPLES;
    s.quiet = false;
    s.no_decay = true;
    char *text = said_by(&s);
    assert_non_null(strstr(text, "note: options.json: n_epochs is not used"));
    free(text);
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_a), NULL), 0);
    assert_true(c.state.settings.dropout == 0.3 && c.state.settings.max_norm == 2);
    assert_int_equal(c.state.settings.n_samples, 8); /* as given */
    assert_non_null(strstr(c.options_json, "\"dropout\":0.3"));
    assert_non_null(strstr(c.options_json, "\"n_negative_samples_batch\":8"));
    assert_null(strstr(c.options_json, "n_epochs"));
    open_checkpoint_done(&c);
    s.resume = true; /* the checkpoint's, whatever the file says; it is the same architecture */
    s.quiet = true;
    s.given = GIVEN_DROPOUT;
    s.dropout = 0;
    s.tokens = 200;
    free(options_with("\"dropout\": 0.6, \"all_clip_norm_val\": 5")); /* the same file */
    must_run(&s);
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_a), NULL), 0);
    assert_true(c.state.settings.dropout == 0 && c.state.settings.max_norm == 2);
    assert_non_null(strstr(c.options_json, "\"dropout\":0.0,"));
    assert_non_null(strstr(c.options_json, "\"all_clip_norm_val\":2.0"));
    open_checkpoint_done(&c);
}

/* ---- Weights of the corpus ---- */

/* A run on two files, whose weights are given if they are there. */
static struct pretrain_settings weighted_settings(const char *out, const double *weights)
{
    static const char *files[2];
    struct pretrain_settings s = settings_for(out, 600);
    files[0] = corpus;
    files[1] = heldout;
    s.corpus = files;
    s.n_corpus = 2;
    s.corpus_weights = weights;
    s.given = weights ? GIVEN_CORPUS_WEIGHTS : 0;
    s.no_decay = true;
    return s;
}

static void weights_of_the_corpus_are_kept(void **state)
{
    (void)state;
    static const double weights[] = {2, 0.5};
    struct pretrain_settings whole = weighted_settings(out_a, weights),
                             part = weighted_settings(out_b, weights), other = part;
    struct open_checkpoint c;
    must_run(&whole);
    part.now_s = fake_now;
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 35};
    must_run(&part);
    part = weighted_settings(out_b, NULL);
    part.resume = true;
    must_run(&part);
    assert_same_checkpoint(out_a, out_b);
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_b), NULL), 0);
    assert_string_equal(c.corpus_weights, "[2.0,0.5]");
    open_checkpoint_done(&c);
    other = weighted_settings(out_b, NULL);
    other.resume = true;
    other.n_corpus = 1; /* other texts, too: but this is found first */
    must_fail(&other, "--corpus has 1 files, and the checkpoint has weights for 2");
    remove_runs(NULL);
    whole = weighted_settings(out_a, NULL); /* without them it is another run */
    must_run(&whole);
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_a), NULL), 0);
    assert_null(c.corpus_weights);
    open_checkpoint_done(&c);
}

static void other_weights_begin_with_the_next_epoch(void **state)
{
    (void)state;
    static const double before[] = {2, 0.5}, now[] = {1, 3}, ones[] = {1, 1};
    struct pretrain_settings s = weighted_settings(out_a, before);
    must_run(&s);
    uint64_t epoch = state_of(out_a).position.epoch;
    s = weighted_settings(out_a, now);
    s.resume = true;
    s.quiet = false;
    s.tokens = state_of(out_a).n_tokens + 1; /* a step */
    char *text = said_by(&s);
    assert_non_null(strstr(text, "weights of --corpus [1.0,3.0] (were [2.0,0.5])\n"));
    free(text);
    assert_int_equal(state_of(out_a).position.epoch, epoch + 1);
    assert_int_equal(state_of(out_a).position.stages[0].n_taken, 1);
    s.corpus_weights = ones;
    s.tokens = state_of(out_a).n_tokens + 1;
    text = said_by(&s);
    assert_non_null(strstr(text, "weights of --corpus 1 each (were [1.0,3.0])\n"));
    free(text);
    assert_int_equal(state_of(out_a).position.epoch, epoch + 2);
    s.quiet = true;
    s.tokens = state_of(out_a).n_tokens + 1; /* the same again */
    must_run(&s);
    assert_int_equal(state_of(out_a).position.epoch, epoch + 2);
    assert_int_equal(state_of(out_a).position.stages[0].n_taken, 2);
}

/* Of a grown checkpoint that was trained on, with weights. */
static void what_a_checkpoint_says_of_itself_is_exported(void **state)
{
    (void)state;
    static const double weights[] = {2, 0.5};
    struct pretrain_settings s = weighted_settings(out_a, weights);
    AUTO(mem_free) char *grown = temp_path(&dir, "grown.safetensors");
    AUTO(mem_free) char *model_path = temp_path(&dir, "model.safetensors");
    struct elmo_model *model;
    must_run(&s);
    const struct grow_job job = {.model = checkpoint_path(out_a), .out = grown, .n_cells = 16};
    assert_int_equal(grow_file(&job, NULL), 0);
    assert_int_equal(rename(grown, checkpoint_path(out_a)), 0);
    s = bare_settings(out_a, 1000);
    s.corpus = weighted_settings(out_a, NULL).corpus;
    s.n_corpus = 2;
    must_run(&s);
    const struct arguments a = {
        .checkpoint = checkpoint_path(out_a), .out = model_path, .name = "tiny"};
    assert_int_equal(command_export(&a, NULL), 0);
    assert_int_equal(elmo_model_open(&model, model_path, NULL, NULL), 0);
    const char *said = elmo_model_info(model)->provenance;
    assert_non_null(strstr(said, "\"grown\":[{\"from_cells\":12,\"to_cells\":16"));
    assert_non_null(strstr(said, "\"corpus_weights\":[2.0,0.5]"));
    assert_non_null(strstr(said, "\"pretraining\":"));
    elmo_model_free(model);
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
        cmocka_unit_test_setup(options_say_what_the_command_line_does_not, remove_runs),
        cmocka_unit_test_setup(what_a_checkpoint_says_of_itself_is_exported, remove_runs),
        cmocka_unit_test_setup(weights_of_the_corpus_are_kept, remove_runs),
        cmocka_unit_test_setup(other_weights_begin_with_the_next_epoch, remove_runs),
        cmocka_unit_test_setup(batches_grow_over_a_run, remove_runs),
        cmocka_unit_test_setup(batches_of_a_resumed_run_do_not_shrink, remove_runs),
        cmocka_unit_test_setup(samples_grow_with_the_batches, remove_runs),
        cmocka_unit_test_setup(the_average_is_what_is_measured_and_opened, remove_runs),
        cmocka_unit_test_setup(an_average_can_begin_later, remove_runs),
    };
    return cmocka_run_group_tests(tests, pretrain_set_up, pretrain_tear_down);
}

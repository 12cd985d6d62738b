/* Whole pretraining runs on a small text: resuming is bit for bit the same run, kill -9 leaves
 * a checkpoint that goes on, what elmo-train exports is what elmod serves, and wrong inputs are
 * named. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "file/safetensors.h"
#include "pretrain_case.h"
#include "train/bilm/checkpoint_open.h"
#include "train/bilm/curve.h"
#include "train/bilm/provenance.h"
#include "train/commands.h"
#include "train/train_toy.h"
#include "util/mapped_file.h"
#include "util/text_file.h"

static uint64_t n_tokens_of(const char *out)
{
    struct open_checkpoint c;
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out), NULL), 0);
    uint64_t n_tokens = c.state.n_tokens;
    open_checkpoint_done(&c);
    return n_tokens;
}

/* A run with growing batches that is stopped by a signal after every 17 steps or so, in its
 * warm-up, in the middle and in its decay, is the run that was never stopped. */
static void resume_in(enum precision precision)
{
    struct pretrain_settings whole = settings_for(out_a, 2000), part = settings_for(out_b, 2000);
    size_t n_stops = 0;
    remove_run(out_a);
    whole.precision = part.precision = precision;
    whole.batch_tokens = part.batch_tokens = (struct batch_growth){8, 32};
    assert_int_equal(pretrain_run(&whole, NULL), 0);
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 35};
    part.now_s = fake_now;
    do {
        fake_clock.n_looks = 0;
        assert_int_equal(pretrain_run(&part, NULL), 0);
        part.resume = true;
    } while (n_tokens_of(out_b) < 2000 && ++n_stops < 100);
    assert_in_range(n_stops, 10, 20);
    assert_same_checkpoint(out_a, out_b);
    remove_run(out_b);
}

static void resuming_is_bit_for_bit_the_same_run(void **state)
{
    (void)state;
    resume_in(PRECISION_BF16);
    resume_in(PRECISION_F32);
}

/* Waits until the run has a checkpoint that is beyond n_steps; returns its step. */
static uint64_t wait_for_step(const char *out, uint64_t n_steps)
{
    const struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
    struct open_checkpoint c = {0};
    struct stat st;
    for (int k = 0; k < 500 && c.state.n_steps <= n_steps; k++) {
        open_checkpoint_done(&c);
        nanosleep(&nap, NULL);
        if (!stat(checkpoint_path(out), &st))
            assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out), NULL), 0);
    }
    uint64_t found = c.state.n_steps;
    open_checkpoint_done(&c);
    return found;
}

static void kill_9_leaves_a_checkpoint_that_goes_on(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_b, 1000000);
    uint64_t n_steps = 0;
    s.checkpoint_minutes = 0; /* after every step */
    s.threads = 1;
    for (int round = 0; round < 3; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(pretrain_run(&s, NULL) != 0);
        uint64_t reached = wait_for_step(out_b, n_steps);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_true(reached > n_steps);
        n_steps = reached;
        s.resume = true;
    }
    remove_run(out_b);
}

static void sigterm_ends_with_a_checkpoint(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_b, 1000000);
    s.threads = 1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(pretrain_run(&s, NULL) != 0);
    assert_true(wait_for_step(out_b, 0) > 0); /* those of the evaluations */
    kill(child, SIGTERM);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct open_checkpoint c;
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_b), NULL), 0);
    open_checkpoint_done(&c);
    remove_run(out_b);
}

static void what_is_exported_is_served(void **state)
{
    (void)state;
    struct elmo_model *model;
    struct elmo_error err = {0};
    AUTO(mem_free) char *path = temp_path(&dir, "model.safetensors");
    const struct pretrain_settings s = settings_for(out_b, 100);
    assert_int_equal(pretrain_run(&s, NULL), 0);
    for (int rounded = 0; rounded < 2; rounded++) {
        const struct arguments a = {.checkpoint = checkpoint_path(out_b),
                                    .out = path,
                                    .name = "tiny",
                                    .dtype = rounded ? "bf16" : "f32"};
        assert_int_equal(command_export(&a, &err), 0);
        assert_int_equal(elmo_model_open(&model, path, NULL, &err), 0);
        assert_string_equal(elmo_model_info(model)->name, "tiny");
        assert_string_equal(elmo_model_info(model)->dtype, a.dtype);
        elmo_model_free(model);
    }
    const struct arguments bad = {
        .checkpoint = checkpoint_path(out_b), .out = path, .name = "not\na name"};
    assert_int_equal(command_export(&bad, &err), ELMO_E_FORMAT);    /* elmod would not open it */
    assert_int_equal(elmo_model_open(&model, path, NULL, NULL), 0); /* the older file is there */
    assert_string_equal(elmo_model_info(model)->name, "tiny");
    elmo_model_free(model);
    AUTO(mem_free) char *left = temp_path(&dir, "model.safetensors.new");
    assert_int_equal(access(left, F_OK), -1);
    remove_run(out_b);
}

/* A member of the exported model's provenance: `group` of the whole, `key` of that. */
static const json_t *member(const json_t *all, const char *group, const char *key)
{
    const json_t *found = json_object_get(json_object_get(all, group), key);
    if (!found)
        fail_msg("the provenance has no %s in %s", key, group);
    return found;
}

static void an_exported_model_says_how_it_was_trained(void **state)
{
    (void)state;
    struct elmo_model *model;
    struct elmo_error err = {0};
    AUTO(mem_free) char *path = temp_path(&dir, "told.safetensors");
    AUTO(mem_free) char *extra = temp_path(&dir, "extra.json");
    struct pretrain_settings s = settings_for(out_b, 400);
    s.seed = 7;
    s.no_decay = true;
    assert_int_equal(pretrain_run(&s, NULL), 0);
    s.resume = true;
    s.tokens = 500;
    s.learning_rate = 0.002;
    s.given = GIVEN_LEARNING_RATE;
    s.precision = PRECISION_BF16;
    assert_int_equal(pretrain_run(&s, NULL), 0);
    assert_int_equal(text_file_write(extra, "{\"corpus\": \"five sentences\"}", NULL), 0);
    const struct arguments a = {
        .checkpoint = checkpoint_path(out_b), .out = path, .name = "tiny", .provenance = extra};
    assert_int_equal(command_export(&a, &err), 0);
    struct open_checkpoint c;
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_b), NULL), 0);
    assert_int_equal(elmo_model_open(&model, path, NULL, &err), 0);
    json_t *all = json_loads(elmo_model_info(model)->provenance, 0, NULL);
    static const char p[] = "pretraining";
    assert_string_equal(json_string_value(json_object_get(all, "corpus")), "five sentences");
    assert_int_equal(json_integer_value(member(all, p, "seed")), 7);
    assert_int_equal(json_integer_value(member(all, p, "steps")), c.state.n_steps);
    assert_int_equal(json_integer_value(member(all, p, "tokens")), c.state.n_tokens);
    assert_true(json_real_value(member(all, p, "seconds")) > 0);
    assert_string_equal(json_string_value(member(all, p, "corpus_sha256")), c.state.corpus_sha256);
    assert_string_equal(json_string_value(member(all, p, "heldout_sha256")),
                        c.state.heldout_sha256);
    assert_true(json_string_length(member(all, p, "commit")) > 0);
    const json_t *settings = member(all, p, "settings");
    assert_int_equal(json_integer_value(json_object_get(settings, "batch_tokens")), 16);
    assert_true(json_real_value(json_object_get(settings, "learning_rate")) == 0.002);
    assert_string_equal(json_string_value(json_object_get(settings, "precision")), "bf16");
    assert_true(json_real_value(json_object_get(settings, "average")) == 0.9995);
    assert_int_equal(json_integer_value(json_object_get(settings, "tokens")), 500);
    assert_int_equal(c.state.settings.precision, PRECISION_BF16);
    const json_t *perplexity = member(all, p, "perplexity_heldout");
    assert_int_equal(json_integer_value(json_object_get(perplexity, "at_step")), c.state.n_steps);
    assert_true(json_real_value(json_object_get(perplexity, "joint")) > 1);
    json_decref(all);
    elmo_model_free(model);
    assert_string_equal(c.state.init_sha256, "");
    open_checkpoint_done(&c);
    remove_run(out_b);
    s = settings_for(out_b, 100);
    s.init = path;
    assert_int_equal(pretrain_run(&s, NULL), 0);
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_b), NULL), 0);
    assert_int_equal(strlen(c.state.init_sha256), 64); /* what it began with is told too */
    open_checkpoint_done(&c);
    remove_run(out_b);
}

/* The curve of a run has a row with two more texts, one of them not measured. */
static void the_provenance_names_each_held_out_text(void **state)
{
    (void)state;
    const struct curve_others others = {2, {"books", "news"}};
    const struct pretrain_settings s = settings_for(out_b, 100);
    struct curve_point p = {.perplexity_forward = 31, .perplexity_backward = 33, .perplexity = 32};
    struct open_checkpoint c;
    struct curve *curve;
    char csv[512];
    char *text;
    remove_run(out_b);
    assert_int_equal(pretrain_run(&s, NULL), 0);
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_b), NULL), 0);
    snprintf(csv, sizeof csv, "%s/curve.csv", out_b);
    unlink(csv);
    p.step = c.state.n_steps;
    p.others[0] = 45.5;
    p.others[1] = (double)NAN;
    assert_int_equal(curve_open(&curve, csv, &others, NULL), 0);
    assert_int_equal(curve_add(curve, &p, NULL), 0);
    p.step++; /* the checkpoint has not reached it */
    assert_int_equal(curve_add(curve, &p, NULL), 0);
    curve_free(curve);
    assert_int_equal(provenance_of_checkpoint(&text, checkpoint_path(out_b), &c, NULL, NULL), 0);
    json_t *all = json_loads(text, 0, NULL);
    json_t *expected =
        json_pack("{s:I, s:f, s:f, s:f, s:{s:f}}", "at_step", (json_int_t)p.step - 1, "forward",
                  31.0, "backward", 33.0, "joint", 32.0, "others", "books", 45.5);
    assert_true(json_equal(member(all, "pretraining", "perplexity_heldout"), expected));
    json_decref(expected);
    json_decref(all);
    free(text);
    open_checkpoint_done(&c);
    remove_run(out_b);
}

static void a_provenance_that_is_no_object_is_refused(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    AUTO(mem_free) char *path = temp_path(&dir, "untold.safetensors");
    AUTO(mem_free) char *extra = temp_path(&dir, "extra.json");
    struct stat st;
    const struct pretrain_settings s = settings_for(out_b, 100);
    assert_int_equal(pretrain_run(&s, NULL), 0);
    assert_int_equal(text_file_write(extra, "[1]", NULL), 0);
    const struct arguments a = {
        .checkpoint = checkpoint_path(out_b), .out = path, .name = "tiny", .provenance = extra};
    assert_int_equal(command_export(&a, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, "JSON object"));
    assert_int_equal(stat(path, &st), -1);
    remove_run(out_b);
}

/* What command_eval prints; free() it. */
static void eval_output(const struct arguments *a, char **ret_text)
{
    AUTO(mem_free) char *path = temp_path(&dir, "eval.txt");
    fflush(stdout);
    int screen = dup(STDOUT_FILENO);
    assert_non_null(freopen(path, "w", stdout));
    int r = command_eval(a, NULL);
    fflush(stdout);
    dup2(screen, STDOUT_FILENO);
    close(screen);
    assert_int_equal(r, 0);
    assert_int_equal(text_file_read(ret_text, path, NULL), 0);
}

static void eval_prints_the_perplexities_of_a_text(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    const char *files[] = {heldout};
    struct curve_point *points;
    size_t n_points;
    const struct pretrain_settings s = settings_for(out_b, 400);
    assert_int_equal(pretrain_run(&s, NULL), 0);
    struct arguments a = {.pretrain = pretrain_defaults(), .corpus = files, .n_corpus = 1};
    assert_int_equal(command_eval(&a, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "--checkpoint"));
    a.checkpoint = checkpoint_path(out_b);
    AUTO(mem_free) char *printed = NULL;
    eval_output(&a, &printed);
    const char *joint = strstr(printed, "perplexity_joint ");
    assert_non_null(joint);
    double perplexity = strtod(joint + strlen("perplexity_joint "), NULL);
    assert_true(perplexity > 1 && perplexity < 40); /* a vocabulary of 20 words */
    assert_int_equal(curve_read(&points, &n_points, NULL, run_file(out_b, "curve.csv"), NULL), 0);
    assert_true(fabs(perplexity - points[n_points - 1].perplexity) < 1e-4 * perplexity);
    free(points);
    remove_run(out_b);
}

static void wrong_inputs_are_named(void **state)
{
    (void)state;
    static const char *missing[] = {"/no/such/corpus"};
    struct elmo_error err = {0};
    struct pretrain_settings s = settings_for(out_b, 100);
    s.corpus = missing;
    assert_int_equal(pretrain_run(&s, &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "/no/such/corpus"));
    s = settings_for(out_b, 100);
    s.resume = true;
    err = (struct elmo_error){0};
    assert_int_equal(pretrain_run(&s, &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "checkpoint.safetensors"));
    s = settings_for(out_b, 100);
    s.n_samples = 1000;
    err = (struct elmo_error){0};
    assert_int_equal(pretrain_run(&s, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "1000 samples"));
    s = settings_for(out_b, 100);
    s.options = corpus;
    err = (struct elmo_error){0};
    assert_int_equal(pretrain_run(&s, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, "options"));
    s = settings_for(out_b, 60);
    assert_int_equal(pretrain_run(&s, NULL), 0);
    err = (struct elmo_error){0};
    assert_int_equal(pretrain_run(&s, &err), ELMO_E_INVALID); /* not over what was learnt */
    assert_non_null(strstr(err.message, "--resume"));
    s.resume = true;
    s.corpus = s.heldout; /* another text than the checkpoint's */
    err = (struct elmo_error){0};
    assert_int_equal(pretrain_run(&s, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "cannot resume"));
    remove_run(out_b);
}

static void a_run_goes_on_only_as_what_it_was(void **state)
{
    (void)state;
    AUTO(mem_free) char *other_vocab = temp_path(&dir, "other.txt");
    AUTO(mem_free) char *other_options = temp_path(&dir, "other.json");
    AUTO(mem_free) char *words = NULL;
    AUTO(mem_free) char *changed = strdup(toy_options);
    assert_int_equal(text_file_read(&words, vocab, NULL), 0);
    char *the = strstr(words, "the\n");
    assert_non_null(the);
    memcpy(the, "thy", 3); /* as many words, one of them another */
    assert_int_equal(text_file_write(other_vocab, words, NULL), 0);
    memcpy(strstr(changed, "\"proj_clip\": 3"), "\"proj_clip\": 2", 14);
    assert_int_equal(text_file_write(other_options, changed, NULL), 0);
    struct pretrain_settings s = settings_for(out_b, 60);
    assert_int_equal(pretrain_run(&s, NULL), 0);
    for (int k = 0; k < 3; k++) {
        static const char *const says[] = {"--options", "--tokenizer", "--vocab"};
        struct elmo_error err = {0};
        s = settings_for(out_b, 60);
        s.resume = true;
        s.given = GIVEN_TOKENIZER;
        s.options = k == 0 ? other_options : options;
        s.tokenizer = k == 1 ? TOKENIZER_WHITESPACE : TOKENIZER_UNICODE;
        s.vocab = k == 2 ? other_vocab : vocab;
        assert_int_equal(pretrain_run(&s, &err), ELMO_E_INVALID);
        assert_non_null(strstr(err.message, says[k]));
    }
    memcpy(changed, toy_options, sizeof toy_options); /* no other architecture */
    *strrchr(changed, '}') = ' ';
    AUTO(mem_free) char *more = malloc(2 * sizeof toy_options);
    snprintf(more, 2 * sizeof toy_options, "%s, \"dropout\": 0.3}", changed);
    assert_int_equal(text_file_write(other_options, more, NULL), 0);
    s = settings_for(out_b, 60);
    s.resume = true;
    s.options = other_options;
    assert_int_equal(pretrain_run(&s, NULL), 0);
    remove_run(out_b);
}

/* One step that ruins the weights, and ends the run: no loss comes after it. */
static void ruin(double average, const char *says)
{
    struct elmo_error err = {0};
    struct pretrain_settings s = settings_for(out_b, 60);
    s.no_decay = true;
    assert_int_equal(pretrain_run(&s, NULL), 0);
    struct open_checkpoint before, after;
    assert_int_equal(open_checkpoint_init(&before, checkpoint_path(out_b), NULL), 0);
    s.resume = true;
    s.tokens = before.state.n_tokens + 1; /* one step more, and the evaluation at the end */
    s.learning_rate = 1e38;
    s.given = GIVEN_LEARNING_RATE | GIVEN_AVERAGE;
    s.average = average;
    assert_int_equal(pretrain_run(&s, &err), ELMO_E_NUMERIC);
    assert_non_null(strstr(err.message, says));
    assert_int_equal(open_checkpoint_init(&after, checkpoint_path(out_b), NULL), 0);
    assert_int_equal(after.state.n_steps, before.state.n_steps);
    assert_memory_equal(after.values, before.values, net_size(&before.net) * sizeof(real));
    open_checkpoint_done(&before);
    open_checkpoint_done(&after);
    remove_run(out_b);
}

/* Their average may not have them yet. */
static void ruined_weights_keep_the_checkpoint(void **state)
{
    (void)state;
    ruin(0, "perplexity");
    ruin(0.9995, "the sum of all weights");
}

static void a_loss_that_is_not_finite_keeps_the_checkpoint(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    struct pretrain_settings s = settings_for(out_b, 60);
    s.no_decay = true;
    assert_int_equal(pretrain_run(&s, NULL), 0);
    s.resume = true;
    s.tokens = 1000;
    s.learning_rate = 1e30;
    s.given = GIVEN_LEARNING_RATE;
    assert_int_equal(pretrain_run(&s, &err), ELMO_E_NUMERIC);
    assert_non_null(strstr(err.message, "--learning-rate"));
    struct open_checkpoint c;
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_b), NULL), 0);
    for (size_t k = 0; k < net_size(&c.net); k++)
        assert_true(c.values[k] == c.values[k]);
    open_checkpoint_done(&c);
    remove_run(out_b);
}

/* Words that the corpus does not have are trained as samples only: in 50 steps of 8 samples these
 * are many more than 8. */
static void each_step_draws_its_own_samples(void **state)
{
    (void)state;
    char *large = temp_path(&dir, "large-vocab.txt"), words[1024] = "<S>\n</S>\n<UNK>\nthe\n";
    size_t n_bytes = strlen(words), n_trained = 0;
    for (unsigned k = 0; k < 60; k++)
        n_bytes += (size_t)snprintf(words + n_bytes, sizeof words - n_bytes, "absent%u\n", k);
    assert_true(write_whole_file(large, words, n_bytes));
    struct pretrain_settings s = settings_for(out_b, 800);
    s.vocab = large;
    assert_int_equal(pretrain_run(&s, NULL), 0);
    struct mapped_file file = {0};
    struct safetensors *tensors;
    assert_int_equal(mapped_file_open(&file, checkpoint_path(out_b), NULL), 0);
    assert_int_equal(safetensors_parse(&tensors, file.bytes, file.n_bytes, NULL), 0);
    const struct st_tensor *second = safetensors_find(tensors, "adam/second/softmax/b");
    assert_non_null(second);
    assert_int_equal(second->n_bytes, 64 * sizeof(moment));
    for (size_t id = 4; id < 64; id++)
        n_trained += ((const moment *)second->data)[id] > 0;
    assert_in_range(n_trained, 30, 60);
    safetensors_free(tensors);
    mapped_file_close(&file);
    unlink(large);
    free(large);
    remove_run(out_b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_draws_its_own_samples),
        cmocka_unit_test(resuming_is_bit_for_bit_the_same_run),
        cmocka_unit_test(kill_9_leaves_a_checkpoint_that_goes_on),
        cmocka_unit_test(sigterm_ends_with_a_checkpoint),
        cmocka_unit_test(what_is_exported_is_served),
        cmocka_unit_test(an_exported_model_says_how_it_was_trained),
        cmocka_unit_test(the_provenance_names_each_held_out_text),
        cmocka_unit_test(a_provenance_that_is_no_object_is_refused),
        cmocka_unit_test(eval_prints_the_perplexities_of_a_text),
        cmocka_unit_test(wrong_inputs_are_named),
        cmocka_unit_test(a_run_goes_on_only_as_what_it_was),
        cmocka_unit_test(ruined_weights_keep_the_checkpoint),
        cmocka_unit_test(a_loss_that_is_not_finite_keeps_the_checkpoint),
    };
    return cmocka_run_group_tests(tests, pretrain_set_up, pretrain_tear_down);
}

/* `elmo-train sentiment` on the command line: what it asks for, what it writes and what it does
 * not, and that being told to stop never leaves half a model file. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/program.h"

#define N_TEXTS  80
#define RUN      "sentiment --model model.safetensors --data texts.tsv --out out.safetensors "
#define QUICKLY  "--epochs 1 --threads 2 " /* enough for a file */
#define IN_PLACE "sentiment --model own.safetensors --data texts.tsv --out own.safetensors " QUICKLY

static struct temp_dir dir;

static int train(const char *arguments)
{
    return program_run("ELMO_TRAIN", dir.path, arguments);
}

static void must_train(const char *arguments)
{
    if (train(arguments))
        fail_msg("elmo-train %s: %s", arguments, program_output);
}

static size_t n_files(void)
{
    size_t n = 0;
    DIR *entries = opendir(dir.path);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries));)
        n += entry->d_name[0] != '.';
    closedir(entries);
    return n;
}

static void remove_file(const char *name)
{
    AUTO(mem_free) char *path = temp_path(&dir, name);
    unlink(path);
}

static void write_texts(void)
{
    static const char *const words[] = {"dreadful", "wonderful"}, *const labels[] = {"bad", "good"};
    AUTO(mem_free) char *path = temp_path(&dir, "texts.tsv");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t k = 0; k < N_TEXTS; k++)
        fprintf(f, "film %zu was %s .\t%s\n", k, words[k % 2], labels[k % 2]);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    (void)state;
    static const struct options options = {.char_dim = 4,
                                           .max_chars = 16,
                                           .n_char_filters = 1,
                                           .char_filters = {{2, 12}},
                                           .filter_dim = 12,
                                           .n_layers = 2,
                                           .cell_dim = 8,
                                           .proj_dim = 6,
                                           .cell_clip = 3,
                                           .proj_clip = 3};
    struct rng rng = {5};
    struct random_model model;
    temp_dir_init(&dir);
    AUTO(mem_free) char *path = temp_path(&dir, "model.safetensors");
    random_model_init_with(&model, &rng, &options, NULL, ELMO_POOL_MEAN, true);
    assert_int_equal(random_model_write(&model, path, NULL), 0);
    random_model_done(&model);
    write_texts();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_done(&dir);
    return 0;
}

/* ---- What is wrong with the options ---- */

struct refused {
    const char *arguments, *says;
};

static void check_refused(const struct refused *cases, size_t n_cases, int status)
{
    size_t n_before = n_files();
    for (size_t k = 0; k < n_cases; k++) {
        int found = train(cases[k].arguments);
        if (found != status)
            fail_msg("%s: exit status %d, %s", cases[k].arguments, found, program_output);
        if (!strstr(program_output, cases[k].says))
            fail_msg("%s: no \"%s\" in %s", cases[k].arguments, cases[k].says, program_output);
        assert_int_equal(n_files(), n_before); /* no model, no curve, no plot */
    }
}

static void what_is_missing_is_asked_for(void **state)
{
    (void)state;
    static const struct refused cases[] = {
        {"sentiment", "--model, --data and --out"},
        {"sentiment --data texts.tsv --out out.safetensors", "--model"},
        {"sentiment --model model.safetensors --out out.safetensors", "--data"},
        {"sentiment --model model.safetensors --data texts.tsv", "--out"},
        {RUN "--head", "--head has no value"},
    };
    check_refused(cases, ARRAY_LEN(cases), 2);
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct refused cases[] = {
        {RUN "--head bestest", "--head is notebook or best"},
        {RUN "--head ''", "--head is notebook or best"},
        {RUN "--dev-share 0.95", "--dev-share is at most 0.9"},
        {RUN "--resume", "--resume goes with --finetune"},
        {RUN "--resume --finetune", "cannot resume: there is no 'out.safetensors.tuning'"},
        {RUN "--adversary -1", "--adversary has no value, or a wrong one"},
        {RUN "--unlabelled more.txt", "--unlabelled goes with --finetune and n-grams"},
        {RUN "--unlabelled more.txt --finetune --no-ngrams", "--unlabelled goes with --finetune"},
        {RUN "--dev-share 1", "--dev-share is at most 0.9"},
        {RUN "--dev-share -0.1", "--dev-share has no value, or a wrong one"},
        {RUN "--dev-share nan", "--dev-share has no value, or a wrong one"},
        {RUN "--dev-share half", "--dev-share has no value, or a wrong one"},
        {RUN "--ngram-order 5", "--ngram-order at most 4"},
        {RUN "--ngram-order 0", "--ngram-order has no value, or a wrong one"},
        {RUN "--ngram-order two", "--ngram-order has no value, or a wrong one"},
        {RUN "--epochs 0", "--epochs has no value, or a wrong one"},
        {RUN "--epochs -1", "--epochs has no value, or a wrong one"},
        {RUN "--learning-rate inf", "--learning-rate has no value, or a wrong one"},
        {RUN "--threads 65", "1 to 64"},
        {RUN "--seed 1.5", "--seed has no value, or a wrong one"},
    };
    check_refused(cases, ARRAY_LEN(cases), 2);
}

static void options_of_other_commands_are_refused(void **state)
{
    (void)state;
    static const struct refused cases[] = {
        {RUN "--corpus texts.tsv", "no option '--corpus'"},
        {RUN "--dtype f32", "no option '--dtype'"},
        {RUN "stray", "no option 'stray'"},
    };
    check_refused(cases, ARRAY_LEN(cases), 2);
}

static void files_that_cannot_be_used_are_named(void **state)
{
    (void)state;
    static const struct refused cases[] = {
        {"sentiment --model none.safetensors --data texts.tsv --out out", "none.safetensors"},
        {"sentiment --model texts.tsv --data texts.tsv --out out", "safetensors"},
        {"sentiment --model model.safetensors --data none.tsv --out out", "none.tsv"},
        {"sentiment --model model.safetensors --data texts.tsv --out none/out " QUICKLY
         "--no-ngrams --quiet",
         "none/out"},
    };
    check_refused(cases, ARRAY_LEN(cases), 1);
}

/* ---- What it does ---- */

/* The labels that a file's head tells apart; 0: no head. */
static size_t n_labels_of(const char *name)
{
    AUTO(mem_free) char *path = temp_path(&dir, name);
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    if (elmo_model_open(&model, path, NULL, &err))
        fail_msg("%s: %s", name, err.message);
    size_t n = elmo_model_info(model)->n_labels;
    elmo_model_free(model);
    return n;
}

static void one_file_is_written_and_nothing_beside_it(void **state)
{
    (void)state;
    static const char *const how[] = {
        "--head notebook",
        "--head best --ngram-order 1",
        "--no-ngrams --dev-share 0 --words 3 --limit 40 --name other",
        "--no-ngrams --finetune",
    };
    for (size_t k = 0; k < ARRAY_LEN(how); k++) {
        char arguments[512];
        size_t n_before = n_files();
        snprintf(arguments, sizeof arguments, RUN QUICKLY "%s", how[k]);
        must_train(arguments);
        assert_non_null(strstr(program_output, "texts")); /* it says what it does */
        assert_int_equal(n_files(), n_before + 1);
        assert_int_equal(n_labels_of("out.safetensors"), 2);
        remove_file("out.safetensors");
        snprintf(arguments, sizeof arguments, RUN QUICKLY "%s --quiet", how[k]);
        must_train(arguments);
        assert_string_equal(program_output, "");
        remove_file("out.safetensors");
    }
}

static void check_provenance(const char *name, const char *part)
{
    AUTO(mem_free) char *path = temp_path(&dir, name);
    struct elmo_model *model = NULL;
    assert_int_equal(elmo_model_open(&model, path, NULL, NULL), 0);
    if (!strstr(elmo_model_info(model)->provenance, part))
        fail_msg("no %s in %s", part, elmo_model_info(model)->provenance);
    elmo_model_free(model);
}

/* Clear cases are labelled and learnt; what says nothing is not. */
static void texts_without_labels_are_learnt_too(void **state)
{
    (void)state;
    AUTO(mem_free) char *path = temp_path(&dir, "more.txt");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t k = 0; k < 30; k++)
        fprintf(f, "%s\n",
                k % 3 == 2 ? "nobody knows"
                : k % 3    ? "it was wonderful ."
                           : "it was dreadful .");
    assert_int_equal(fclose(f), 0);
    must_train(RUN QUICKLY "--finetune --unlabelled more.txt --dev-share 0.3");
    assert_non_null(strstr(program_output, "30 texts without labels\n"));
    assert_non_null(
        strstr(program_output, "20 of 30 texts without labels labelled by the n-grams\n"));
    must_train("eval --model out.safetensors --data texts.tsv");
    check_provenance("out.safetensors", "\"texts\":30,\"labelled\":20,\"confidence\":0.9");
    remove_file("out.safetensors");
    assert_int_equal(train(RUN QUICKLY "--finetune --unlabelled none.txt"), 1);
    assert_non_null(strstr(program_output, "none.txt"));
    remove_file("more.txt");
}

/* Language modelling would not see the words' vectors. */
static void a_tuned_model_is_no_language_model(void **state)
{
    (void)state;
    AUTO(mem_free) char *words = temp_path(&dir, "words.txt");
    assert_true(write_whole_file(words, "<S>\n</S>\n<UNK>\na\n", 17));
    must_train(RUN QUICKLY "--no-ngrams --finetune");
    assert_int_equal(train("pretrain --corpus texts.tsv --heldout texts.tsv --vocab words.txt "
                           "--init out.safetensors --out run --tokens 10"),
                     2);
    assert_non_null(strstr(program_output, "'out.safetensors' was fine-tuned"));
    must_train("sentiment --model out.safetensors --data texts.tsv --out out.safetensors " QUICKLY
               "--no-ngrams --finetune");
    must_train("eval --model out.safetensors --data texts.tsv");
    remove_file("out.safetensors");
    remove_file("words.txt");
}

/* ---- Being told to stop ---- */

static pid_t start(const char *arguments)
{
    char command[2048];
    snprintf(command, sizeof command, "cd '%s' && exec '%s' %s", dir.path, getenv("ELMO_TRAIN"),
             arguments);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere < 0 || dup2(nowhere, 1) < 0 || dup2(nowhere, 2) < 0)
        _exit(126);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Has it ended, within `ms`? Without `ms`: when it writes a file, or ends. */
static bool ended(pid_t pid, int ms, int *ret_status)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    size_t n_before = n_files();
    for (int k = 0; k < ms || (!ms && n_files() == n_before); k++) {
        if (waitpid(pid, ret_status, WNOHANG) == pid)
            return true;
        nanosleep(&moment, NULL);
    }
    return false;
}

static void copy_file(const char *from, const char *to)
{
    size_t n_bytes;
    AUTO(mem_free) char *from_path = temp_path(&dir, from);
    AUTO(mem_free) char *to_path = temp_path(&dir, to);
    AUTO(mem_free) unsigned char *bytes = read_whole_file(from_path, &n_bytes);
    assert_non_null(bytes);
    assert_true(write_whole_file(to_path, bytes, n_bytes));
}

static bool same_file(const char *a, const char *b)
{
    AUTO(mem_free) char *a_path = temp_path(&dir, a), *b_path = temp_path(&dir, b);
    return same_files(a_path, b_path);
}

/* Wherever SIGTERM meets it, the file at --out is the old one or the whole new one. */
static void stopped_anywhere_it_leaves_a_whole_file(void **state)
{
    (void)state;
    static const char *const how[] = {IN_PLACE, IN_PLACE "--finetune"};
    static const int moments_ms[] = {1, 10, 40, 100, 200, 0};
    size_t n_stopped = 0;
    for (size_t h = 0; h < ARRAY_LEN(how); h++)
        for (size_t k = 0; k < ARRAY_LEN(moments_ms); k++) {
            int status = 0;
            copy_file("model.safetensors", "own.safetensors");
            remove_file("own.safetensors.new.tmp"); /* of a run that was stopped as it wrote */
            remove_file("own.safetensors.new");
            remove_file("own.safetensors.tuning");
            remove_file("own.safetensors.tuning.tmp");
            pid_t pid = start(how[h]);
            if (!ended(pid, moments_ms[k], &status)) {
                kill(pid, SIGTERM);
                assert_int_equal(waitpid(pid, &status, 0), pid);
            }
            if (WIFSIGNALED(status))
                assert_int_equal(WTERMSIG(status), SIGTERM);
            else
                assert_int_equal(WEXITSTATUS(status), 0);
            n_stopped += WIFSIGNALED(status);
            if (!same_file("own.safetensors", "model.safetensors"))
                assert_int_equal(n_labels_of("own.safetensors"), 2);
            else
                assert_true(WIFSIGNALED(status));
        }
    assert_true(n_stopped > 0);
}

#define LONG                                                                                    \
    "sentiment --model model.safetensors --data texts.tsv --no-ngrams --finetune --epochs 300 " \
    "--checkpoint-minutes 0 "
#define CHECKPOINT "out.safetensors.tuning"

static bool exists(const char *name)
{
    AUTO(mem_free) char *path = temp_path(&dir, name);
    return !access(path, F_OK);
}

/* Starts it, and sends the signal when there has been a checkpoint for `ms`. */
static void stop_it(const char *arguments, int signal, int ms)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    int status;
    pid_t pid = start(arguments);
    while (!exists(CHECKPOINT) && !waitpid(pid, &status, WNOHANG))
        nanosleep(&moment, NULL);
    for (int k = 0; k < ms; k++)
        nanosleep(&moment, NULL);
    kill(pid, signal);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signal);
    assert_true(exists(CHECKPOINT) && !exists("out.safetensors"));
}

/* However often it is stopped, and if by kill -9. */
static void fine_tuning_goes_on_bit_for_bit(void **state)
{
    (void)state;
    must_train(LONG "--out whole.safetensors");
    stop_it(LONG "--out out.safetensors", SIGTERM, 20);
    assert_int_equal(train(LONG "--out out.safetensors"), 2);
    assert_non_null(
        strstr(program_output, "'" CHECKPOINT "' holds a run: --resume goes on with it"));
    assert_int_equal(train(LONG "--out out.safetensors --resume --seed 2"), 2);
    assert_non_null(strstr(program_output, "cannot resume: the model, the texts or the settings"));
    stop_it(LONG "--out out.safetensors --resume", SIGKILL, 30);
    stop_it(LONG "--out out.safetensors --resume", SIGINT, 40);
    must_train(LONG "--out out.safetensors --resume");
    assert_true(same_file("out.safetensors", "whole.safetensors"));
    assert_false(exists(CHECKPOINT));
    remove_file("out.safetensors.tuning.tmp"); /* of the killed one */
    remove_file("out.safetensors");
    remove_file("whole.safetensors");
}

static void a_checkpoint_that_is_none_is_an_error(void **state)
{
    (void)state;
    AUTO(mem_free) char *path = temp_path(&dir, CHECKPOINT);
    assert_true(write_whole_file(path, "nothing", 7));
    assert_int_equal(train(LONG "--out out.safetensors --resume"), 1);
    copy_file("model.safetensors", CHECKPOINT);
    assert_int_equal(train(LONG "--out out.safetensors --resume"), 1);
    assert_non_null(strstr(program_output, "not a checkpoint of fine-tuning"));
    remove_file(CHECKPOINT);
}

/* A file that lies at --out while it runs has its head: nothing unfinished is put there. */
static void what_appears_is_finished(void **state)
{
    (void)state;
    int status = 0;
    const struct timespec moment = {.tv_nsec = 1000000};
    AUTO(mem_free) char *out = temp_path(&dir, "out.safetensors");
    pid_t pid = start(RUN QUICKLY "--finetune");
    bool has_ended = false;
    while (access(out, F_OK) && !has_ended) {
        has_ended = waitpid(pid, &status, WNOHANG) == pid;
        nanosleep(&moment, NULL);
    }
    size_t n_labels = n_labels_of("out.safetensors");
    if (!has_ended)
        assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(n_labels, 2);
    remove_file("out.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_asked_for),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(options_of_other_commands_are_refused),
        cmocka_unit_test(files_that_cannot_be_used_are_named),
        cmocka_unit_test(one_file_is_written_and_nothing_beside_it),
        cmocka_unit_test(texts_without_labels_are_learnt_too),
        cmocka_unit_test(a_tuned_model_is_no_language_model),
        cmocka_unit_test(stopped_anywhere_it_leaves_a_whole_file),
        cmocka_unit_test(fine_tuning_goes_on_bit_for_bit),
        cmocka_unit_test(a_checkpoint_that_is_none_is_an_error),
        cmocka_unit_test(what_appears_is_finished),
    };
    return cmocka_run_group_tests_name("train_sentiment_program", tests, set_up, tear_down);
}

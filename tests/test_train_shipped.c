/* Going on from shipped files, by the program itself: what `export` writes measures as the
 * checkpoint does, and starts a run with no other file; words that another vocabulary lacks start
 * at random, the others where they were; what bilm-tf wrote is imported and trained on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "checkpoint_open.h"
#include "lm_softmax.h"
#include "test_files.h"

static const char text[] = "The film was long . I liked the end of it .\n"
                           "She sat on the bank of the river and read the book again .\n"
                           "The book was long too .\nI liked the river .\nThe end .\n";
static const char options_json[] =
    "{\"lstm\": {\"cell_clip\": 3, \"proj_clip\": 3, \"use_skip_connections\": true, \"n_layers\": 2,"
    " \"projection_dim\": 8, \"dim\": 12}, \"char_cnn\": {\"embedding\": {\"dim\": 4}, \"filters\":"
    " [[1, 4], [3, 12]], \"n_highway\": 1, \"n_characters\": 262, \"max_characters_per_token\": 20,"
    " \"activation\": \"relu\"}}";

static struct temp_dir dir;

/* Runs elmo-train in the folder of the test; its output, both streams, is in `printed`. */
static char printed[65536];
static int train(const char *arguments)
{
    const char *program = getenv("ELMO_TRAIN");
    char command[2048];
    assert_non_null(program);
    snprintf(command, sizeof command, "cd '%s' && '%s' %s 2>&1", dir.path, program, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    printed[fread(printed, 1, sizeof printed - 1, pipe)] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void must_train(const char *arguments)
{
    if (train(arguments))
        fail_msg("elmo-train %s: %s", arguments, printed);
}

static void write_text(const char *name, const char *content)
{
    AUTO(mem_free) char *path = temp_path(&dir, name);
    assert_true(write_whole_file(path, content, strlen(content)));
}

static bool exists(const char *name)
{
    size_t n_bytes;
    AUTO(mem_free) char *path = temp_path(&dir, name);
    AUTO(mem_free) unsigned char *bytes = read_whole_file(path, &n_bytes);
    return bytes;
}

static int set_up(void **state)
{
    (void)state;
    temp_dir_init(&dir);
    write_text("corpus.txt", text);
    write_text("options.json", options_json);
    must_train("vocab --corpus corpus.txt --size 20 --out vocab.txt");
    must_train("pretrain --corpus corpus.txt --heldout corpus.txt --vocab vocab.txt --options "
               "options.json --out run --batch-tokens 16 --samples 8 --tokens 400 --quiet");
    must_train("export --checkpoint run/checkpoint.safetensors --out model.safetensors --softmax "
               "softmax.safetensors --name tiny --dtype f32");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[512];
    snprintf(command, sizeof command, "cd '%s' && rm -r run*", dir.path);
    int r = system(command);
    temp_dir_done(&dir);
    return r;
}

/* A figure that `eval` has printed. */
static double figure(const char *name)
{
    const char *at = strstr(printed, name);
    if (!at)
        fail_msg("no %s in %s", name, printed);
    return strtod(at + strlen(name), NULL);
}

static void shipped_files_measure_as_their_checkpoint_does(void **state)
{
    (void)state;
    static const char *const names[] = {"perplexity_forward", "perplexity_backward",
                                        "perplexity_joint"};
    double expected[ARRAY_LEN(names)];
    must_train("eval --checkpoint run/checkpoint.safetensors --corpus corpus.txt");
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        expected[k] = figure(names[k]);
    must_train("eval --model model.safetensors --softmax softmax.safetensors --corpus corpus.txt");
    assert_null(strstr(printed, "note"));
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        assert_true(figure(names[k]) == expected[k]); /* float32: the very same */
    must_train("export --checkpoint run/checkpoint.safetensors --out rounded.safetensors --softmax "
               "rounded-softmax.safetensors --name tiny --dtype bf16");
    must_train("eval --model rounded.safetensors --softmax rounded-softmax.safetensors --corpus "
               "corpus.txt");
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        assert_true(figure(names[k]) != expected[k]);
        assert_true(fabs(figure(names[k]) - expected[k]) < expected[k] * 0.02);
    }
}

static void a_softmax_of_another_bilm_is_noted(void **state)
{
    (void)state;
    must_train(
        "export --checkpoint run/checkpoint.safetensors --out rounded.safetensors --name tiny");
    must_train(
        "eval --model rounded.safetensors --softmax softmax.safetensors --corpus corpus.txt");
    assert_non_null(strstr(printed, "trained with another biLM"));
}

static void open_checkpoint_of(struct open_checkpoint *ret, const char *name)
{
    AUTO(mem_free) char *path = temp_path(&dir, name);
    assert_int_equal(open_checkpoint_init(ret, path, NULL), 0);
}

/* No step is taken before the checkpoint when all tokens are done: a learning rate of 0 is that. */
#define START                                                                          \
    "pretrain --corpus corpus.txt --heldout corpus.txt --batch-tokens 16 --samples 8 " \
    "--tokens 16 --learning-rate 0 "

static void a_run_goes_on_from_shipped_files_alone(void **state)
{
    (void)state;
    struct open_checkpoint from, to;
    must_train(START "--init model.safetensors --init-softmax softmax.safetensors --out run-alone");
    assert_non_null(strstr(printed, "softmax: 20 of 20 words"));
    open_checkpoint_of(&from, "run/checkpoint.safetensors");
    open_checkpoint_of(&to, "run-alone/checkpoint.safetensors");
    assert_int_equal(net_size(&from.net), net_size(&to.net));
    assert_memory_equal(from.values, to.values, net_size(&from.net) * sizeof(real));
    open_checkpoint_done(&from);
    open_checkpoint_done(&to);
    must_train("pretrain --corpus corpus.txt --heldout corpus.txt --batch-tokens 16 --samples 8 "
               "--tokens 64 --out run-alone --resume"); /* and on, from its own checkpoint */
}

static void words_of_another_vocabulary_are_matched_by_their_bytes(void **state)
{
    (void)state;
    struct open_checkpoint from, to, fresh;
    write_text("other.txt", "<S>\n</S>\n<UNK>\nriver\nunheard\nbook\nbooks\nThe\nthe\nof\nend\n");
    must_train(START "--vocab other.txt --init model.safetensors --init-softmax "
                     "softmax.safetensors --out run-other");
    assert_non_null(strstr(printed, "softmax: 9 of 11 words"));
    assert_non_null(strstr(printed, "2 at random values"));
    must_train(START "--vocab other.txt --init model.safetensors --out run-fresh");
    assert_non_null(strstr(printed, "softmax: 0 of 11 words"));
    open_checkpoint_of(&from, "run/checkpoint.safetensors");
    open_checkpoint_of(&to, "run-other/checkpoint.safetensors");
    open_checkpoint_of(&fresh, "run-fresh/checkpoint.safetensors");
    struct net_tensors w_from, w_to, w_fresh;
    net_tensors(&w_from, &from.net, from.values);
    net_tensors(&w_to, &to.net, to.values);
    net_tensors(&w_fresh, &fresh.net, fresh.values);
    size_t P = from.net.options.proj_dim, n_new = 0;
    for (size_t k = 0; k < to.vocab.words.n_items; k++) {
        const struct elmo_token *word = &to.vocab.words.items[k];
        uint32_t row = word_table_find(&from.vocab.words, word->bytes, word->n_bytes);
        const real *w = row == WORD_NONE ? w_fresh.softmax_w + k * P : w_from.softmax_w + row * P;
        assert_memory_equal(w_to.softmax_w + k * P, w, P * sizeof *w);
        assert_true(w_to.softmax_b[k] == (row == WORD_NONE ? 0 : w_from.softmax_b[row]));
        n_new += row == WORD_NONE;
    }
    assert_int_equal(n_new, 2);
    open_checkpoint_done(&from);
    open_checkpoint_done(&to);
    open_checkpoint_done(&fresh);
}

static void what_is_missing_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *words;
    } cases[] = {
        {"eval --model model.safetensors --corpus corpus.txt", "--softmax"},
        {"eval --softmax softmax.safetensors --corpus corpus.txt", "--model"},
        {"eval --checkpoint c --model m --softmax s --corpus corpus.txt", "either"},
        {START "--vocab vocab.txt --out run-no", "--options, --init or --resume"},
        {START "--options options.json --out run-no", "--vocab, --init-softmax or --resume"},
        {START "--options options.json --init-softmax softmax.safetensors --out run-no",
         "--init-softmax goes with --init"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        assert_int_equal(train(cases[k].arguments), 2);
        if (!strstr(printed, cases[k].words))
            fail_msg("no \"%s\" in %s", cases[k].words, printed);
    }
    assert_false(exists("run-no/curve.csv"));
}

static void files_that_do_not_fit_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *words;
    } cases[] = {
        {"eval --model softmax.safetensors --softmax softmax.safetensors --corpus corpus.txt",
         "neither a checkpoint nor a model file"},
        {"eval --model model.safetensors --softmax model.safetensors --corpus corpus.txt",
         "not a softmax file"},
        {"eval --model model.safetensors --softmax none.safetensors --corpus corpus.txt",
         "none.safetensors"},
        {START "--vocab vocab.txt --options other.json --init model.safetensors --out run-wrong",
         "architecture"},
    };
    AUTO(mem_free) char *other = strdup(options_json);
    assert_non_null(other);
    memcpy(strstr(other, "\"dim\": 12"), "\"dim\": 10", 9);
    write_text("other.json", other);
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        assert_int_equal(train(cases[k].arguments), 1);
        if (!strstr(printed, cases[k].words))
            fail_msg("no \"%s\" in %s", cases[k].words, printed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_files_measure_as_their_checkpoint_does),
        cmocka_unit_test(a_softmax_of_another_bilm_is_noted),
        cmocka_unit_test(a_run_goes_on_from_shipped_files_alone),
        cmocka_unit_test(words_of_another_vocabulary_are_matched_by_their_bytes),
        cmocka_unit_test(what_is_missing_is_asked_for),
        cmocka_unit_test(files_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests_name("train_shipped", tests, set_up, tear_down);
}

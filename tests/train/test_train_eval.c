/* elmo-train eval --data: a random model's head over a few texts says what elmo_session_run says of
 * them one by one, whatever the threads; wrong inputs are named. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/train_files.h"
#include "train/commands.h"
#include "train/data/labelled.h"
#include "util/text_file.h"

#define N_TEXTS 60

static struct temp_dir dir;
static char *with_head, *without_head, *data, *output;

/* Two labels, by the layer sizes of a random model of its own. */
static void write_model(const char *path, bool has_head)
{
    struct rng rng = {7};
    struct random_model model;
    struct head_shape head = {.hidden_dim = 5, .output_dim = 1};
    random_model_init(&model, &rng);
    struct options options = model.options;
    random_model_done(&model);
    head.input_dim = 2 * options.proj_dim;
    random_model_init_with(&model, &rng, &options, has_head ? &head : NULL, ELMO_POOL_MEAN, true);
    assert_int_equal(random_model_write(&model, path, NULL), 0);
    random_model_done(&model);
}

/* Texts of 1 to 40 words, with every third label the second one. */
static void write_texts(void)
{
    static const char *const words[] = {"the", "film", "was", "long", "and", "good", "bad", "."};
    struct rng rng = {3};
    FILE *out = fopen(data, "w");
    assert_non_null(out);
    for (size_t k = 0; k < N_TEXTS; k++) {
        size_t n_words = 1 + rng_below(&rng, 40);
        for (size_t n = 0; n < n_words; n++)
            fprintf(out, "%s ", words[rng_below(&rng, ARRAY_LEN(words))]);
        fprintf(out, "\tlabel_%d\n", k % 3 == 0);
    }
    fclose(out);
}

static int set_up(void **state)
{
    (void)state;
    temp_dir_init(&dir);
    with_head = temp_path(&dir, "head.safetensors");
    without_head = temp_path(&dir, "bare.safetensors");
    data = temp_path(&dir, "data.tsv");
    output = temp_path(&dir, "output.txt");
    write_model(with_head, true);
    write_model(without_head, false);
    write_texts();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_done(&dir);
    free(with_head);
    free(without_head);
    free(data);
    free(output);
    return 0;
}

static struct arguments arguments_for(const char *model)
{
    struct arguments a = {.model = model, .data = data, .pretrain = pretrain_defaults()};
    a.pretrain.quiet = true;
    return a;
}

/* What the command prints; free() it. */
static char *printed(const struct arguments *a)
{
    char *text = NULL;
    fflush(stdout);
    int screen = dup(STDOUT_FILENO);
    assert_non_null(freopen(output, "w", stdout));
    int r = command_eval(a, NULL);
    fflush(stdout);
    dup2(screen, STDOUT_FILENO);
    close(screen);
    assert_int_equal(r, 0);
    assert_int_equal(text_file_read(&text, output, NULL), 0);
    return text;
}

static double value_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    assert_non_null(at);
    return strtod(at + strlen(name), NULL);
}

/* From `texts` on: the lines before say how long it took. */
static void assert_same_scores(const struct arguments *a, const struct arguments *b)
{
    AUTO(mem_free) char *left = printed(a);
    AUTO(mem_free) char *right = printed(b);
    assert_non_null(strstr(left, "\ntexts "));
    assert_string_equal(strstr(left, "\ntexts "), strstr(right, "\ntexts "));
}

/* Accuracy, mean log loss and tokens of the texts, one by one. */
static void score_singly(double *ret_accuracy, double *ret_log_loss, size_t *ret_n_tokens,
                         size_t max_words, enum elmo_dtype dtype)
{
    const struct elmo_model_settings settings = {.dtype = dtype};
    const struct labelled_settings how = {.max_words = max_words};
    struct labelled_set set;
    struct elmo_model *model;
    struct elmo_session *session;
    assert_int_equal(labelled_load(&set, data, &how, NULL), 0);
    assert_int_equal(set.n_items, N_TEXTS);
    assert_int_equal(elmo_model_open(&model, with_head, &settings, NULL), 0);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    *ret_accuracy = *ret_log_loss = 0;
    *ret_n_tokens = 0;
    for (size_t k = 0; k < set.n_items; k++) {
        const struct labelled_text *item = &set.items[k];
        float p[2];
        struct elmo_sentence s = {.probabilities = p};
        AUTO(mem_free) struct elmo_token *tokens = NULL;
        assert_int_equal(
            elmo_tokenize(model, item->text, item->n_bytes, &tokens, &s.n_tokens, NULL), 0);
        s.tokens = tokens;
        assert_int_equal(elmo_session_run(session, &s, 1, NULL), 0);
        *ret_n_tokens += s.n_tokens;
        *ret_accuracy += (p[1] > p[0]) == item->label;
        *ret_log_loss -= log((double)p[item->label]);
    }
    *ret_accuracy /= N_TEXTS;
    *ret_log_loss /= N_TEXTS;
    elmo_session_free(session);
    elmo_model_free(model);
    labelled_done(&set);
}

static void the_scores_are_those_of_the_texts_run_one_by_one(void **state)
{
    (void)state;
    static const struct {
        size_t max_words;
        const char *dtype;
        enum elmo_dtype type;
    } cases[] = {
        {0, NULL, ELMO_DTYPE_F32},    {1, "f32", ELMO_DTYPE_F32},   {7, NULL, ELMO_DTYPE_F32},
        {0, "bf16", ELMO_DTYPE_BF16}, {7, "int8", ELMO_DTYPE_INT8}, {0, "int8", ELMO_DTYPE_INT8},
    };
    double losses[ARRAY_LEN(cases)];
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        double accuracy;
        size_t n_tokens;
        char line[32];
        struct arguments a = arguments_for(with_head);
        a.max_words = cases[k].max_words;
        a.dtype = cases[k].dtype;
        AUTO(mem_free) char *text = printed(&a);
        score_singly(&accuracy, &losses[k], &n_tokens, cases[k].max_words, cases[k].type);
        assert_true(losses[k] > 0.1);
        snprintf(line, sizeof line, "dtype %s\n", cases[k].dtype ? cases[k].dtype : "f32");
        assert_non_null(strstr(text, line));
        assert_int_equal((size_t)value_of(text, "tokens "), n_tokens);
        assert_int_equal((size_t)value_of(text, "\ntexts "), N_TEXTS);
        assert_true(fabs(value_of(text, "\naccuracy ") - accuracy) < 1e-5);
        assert_true(fabs(value_of(text, "\nlog_loss ") - losses[k]) < 2e-5);
    }
}

static void any_number_of_threads_says_the_same(void **state)
{
    (void)state;
    struct arguments one = arguments_for(with_head), three = one;
    one.pretrain.threads = 1;
    three.pretrain.threads = 3;
    assert_same_scores(&one, &three);
}

static void a_limit_takes_texts_that_the_seed_decides(void **state)
{
    (void)state;
    struct arguments a = arguments_for(with_head), b = a;
    a.limit = 10;
    AUTO(mem_free) char *ten = printed(&a);
    assert_int_equal((size_t)value_of(ten, "\ntexts "), 10);
    assert_same_scores(&a, &a);
    b.limit = 10;
    b.pretrain.seed = a.pretrain.seed + 1;
    AUTO(mem_free) char *others = printed(&b);
    assert_string_not_equal(strstr(ten, "\ntexts "), strstr(others, "\ntexts "));
    a.limit = N_TEXTS + 1;
    b = arguments_for(with_head);
    assert_same_scores(&a, &b);
}

static void wrong_inputs_are_named(void **state)
{
    (void)state;
    static const char *files[] = {"corpus.txt"};
    struct {
        struct arguments a;
        int status;
        const char *message;
    } cases[10];
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        cases[k].a = arguments_for(with_head);
        cases[k].status = ELMO_E_INVALID;
        cases[k].message = "--data needs --model";
    }
    cases[0].a.model = NULL;
    cases[1].a.checkpoint = "checkpoint";
    cases[2].a.corpus = files;
    cases[2].a.n_corpus = 1;
    cases[3].a.model = without_head;
    cases[3].message = "has no sentiment head";
    cases[4].a.model = "/no/such/model";
    cases[4].status = ELMO_E_IO;
    cases[4].message = "/no/such/model";
    cases[5].a.data = "/no/such/data.tsv";
    cases[5].status = ELMO_E_IO;
    cases[5].message = "/no/such/data.tsv";
    cases[6].a.softmax = "softmax";
    cases[7].a.dtype = "f16";
    cases[7].message = "--dtype is f32, bf16 or int8, not 'f16'";
    cases[8].a.kernel = "abacus";
    cases[8].message = "no kernel 'abacus'";
    cases[9].a.checkpoint = "checkpoint";
    cases[9].a.dtype = "bf16";
    cases[9].message = "--dtype and --kernel";
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct elmo_error err = {0};
        assert_int_equal(command_eval(&cases[k].a, &err), cases[k].status);
        assert_non_null(strstr(err.message, cases[k].message));
    }
}

static void a_label_that_the_model_lacks_is_an_error(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    struct arguments a = arguments_for(with_head);
    AUTO(mem_free) char *folder = temp_path(&dir, "reviews");
    train_write_review(folder, "neg", 0, 1, "bad", 3);
    train_write_review(folder, "pos", 0, 10, "good", 4);
    a.data = folder;
    assert_int_equal(command_eval(&a, &err), ELMO_E_INVALID);
    assert_non_null(
        strstr(err.message, "label 1 of 2 in the data, sorted, is none of the model's"));
    train_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scores_are_those_of_the_texts_run_one_by_one),
        cmocka_unit_test(any_number_of_threads_says_the_same),
        cmocka_unit_test(a_limit_takes_texts_that_the_seed_decides),
        cmocka_unit_test(wrong_inputs_are_named),
        cmocka_unit_test(a_label_that_the_model_lacks_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

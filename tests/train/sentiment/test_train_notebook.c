/* The notebook that all this began with, end to end on a small sample that the test writes: load
 * the reviews, first 150 words, summary of the model, one epoch with validation, save, clear, load,
 * and the predictions of the first 100 reviews are the same bit for bit. The program trains; what
 * it has saved is read here, as elmod reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/program.h"
#include "support/train_files.h"
#include "train/data/labelled.h"

#define N_TRAIN     200 /* half of them positive, and so in test */
#define N_TEST      120
#define N_PREDICTED 100
#define MAX_WORDS   150

static struct temp_dir dir;
static char *reviews, *cut_reviews; /* folders; in the second all texts end behind 150 words */

/* ---- The sample ---- */

/* A review of 20 to 250 words, a third of them of its own kind; free() it. */
static char *make_review(struct rng *rng, bool positive, size_t *ret_n_bytes, size_t *ret_n_cut)
{
    static const char *const any[] = {"the", "film", "was", "a", "story", "of", "and", "it"};
    static const char *const kinds[2][4] = {{"dull", "awful", "boring", "worst"},
                                            {"lovely", "superb", "moving", "best"}};
    char *text;
    size_t n_words = 20 + rng_below(rng, 231);
    FILE *out = open_memstream(&text, ret_n_bytes);
    assert_non_null(out);
    for (size_t k = 0; k < n_words; k++) {
        if (k == MAX_WORDS) {
            fflush(out);
            *ret_n_cut = *ret_n_bytes;
        }
        fprintf(out, "%s%s", k ? " " : "",
                rng_chance(rng, 33) ? kinds[positive][rng_below(rng, 4)]
                                    : any[rng_below(rng, ARRAY_LEN(any))]);
    }
    fclose(out);
    if (n_words <= MAX_WORDS)
        *ret_n_cut = *ret_n_bytes;
    return text;
}

static void write_split(const char *split, size_t n_reviews, struct rng *rng)
{
    char whole[300], cut[300];
    snprintf(whole, sizeof whole, "%s/%s", reviews, split);
    snprintf(cut, sizeof cut, "%s/%s", cut_reviews, split);
    for (unsigned k = 0; k < n_reviews; k++) {
        bool positive = k % 2;
        size_t n_bytes, n_cut = 0;
        unsigned rating = positive ? 7 + k % 4 : 1 + k % 4;
        char *text = make_review(rng, positive, &n_bytes, &n_cut);
        train_write_review(whole, positive ? "pos" : "neg", k / 2, rating, text, n_bytes);
        train_write_review(cut, positive ? "pos" : "neg", k / 2, rating, text, n_cut);
        free(text);
    }
}

/* ---- The biLM: 2 layers of 2 * 8, random ---- */

static int write_bilm(void)
{
    struct rng rng = {11};
    struct random_model model;
    const struct options options = {
        .char_dim = 4,
        .max_chars = 12,
        .char_filters = {{.width = 1, .n_filters = 8}, {.width = 3, .n_filters = 16}},
        .n_char_filters = 2,
        .filter_dim = 24,
        .n_highway = 1,
        .activation = ACT_RELU,
        .n_layers = 2,
        .proj_dim = 8,
        .cell_dim = 12,
        .cell_clip = 3,
        .proj_clip = 3,
        .skip_connections = true,
    };
    random_model_init_with(&model, &rng, &options, NULL, ELMO_POOL_MEAN, true);
    AUTO(mem_free) char *path = temp_path(&dir, "bilm.safetensors");
    int r = random_model_write(&model, path, NULL);
    random_model_done(&model);
    return r;
}

static int set_up(void **state)
{
    (void)state;
    struct rng rng = {5};
    temp_dir_init(&dir);
    reviews = temp_path(&dir, "aclImdb");
    cut_reviews = temp_path(&dir, "cut");
    mkdir(reviews, 0700);
    mkdir(cut_reviews, 0700);
    write_split("train", N_TRAIN, &rng);
    write_split("test", N_TEST, &rng);
    return write_bilm();
}

static int tear_down(void **state)
{
    (void)state;
    train_remove(dir.path);
    free(reviews);
    free(cut_reviews);
    return 0;
}

/* ---- Steps ---- */

/* elmo-train sentiment on the biLM in the folder of the test; its exit status. */
static int try_to_train(const char *data, const char *out, const char *more)
{
    char arguments[2048];
    snprintf(arguments, sizeof arguments,
             "sentiment --model bilm.safetensors --data %s --out %s --head notebook --seed 3 %s",
             data, out, more);
    return program_run("ELMO_TRAIN", dir.path, arguments);
}

static void train(const char *data, const char *out, const char *more)
{
    if (try_to_train(data, out, more))
        fail_msg("%s", program_output);
}

static void assert_printed(const char *text)
{
    if (strstr(program_output, text))
        return;
    fputs(program_output, stderr);
    fputs(text, stderr); /* is what is missing */
    fail();
}

static double figure(const char *name)
{
    assert_printed(name);
    return strtod(strstr(program_output, name) + strlen(name), NULL);
}

static void assert_same_file(const char *left, const char *right)
{
    AUTO(mem_free) char *left_path = temp_path(&dir, left), *right_path = temp_path(&dir, right);
    assert_true(same_files(left_path, right_path));
}

/* Loads a saved model, predicts the first reviews [N_PREDICTED] of the set, clears. */
static void predict(float (*ret)[2], const char *saved, const struct labelled_set *set)
{
    struct elmo_model *model;
    struct elmo_session *session;
    AUTO(mem_free) char *path = temp_path(&dir, saved);
    assert_int_equal(elmo_model_open(&model, path, NULL, NULL), 0);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    assert_string_equal(elmo_model_info(model)->labels[1], "positive");
    for (size_t k = 0; k < N_PREDICTED; k++) {
        struct elmo_token *tokens;
        struct elmo_sentence s = {.probabilities = ret[k]};
        assert_int_equal(elmo_tokenize(model, set->items[k].text, set->items[k].n_bytes, &tokens,
                                       &s.n_tokens, NULL),
                         0);
        s.tokens = tokens;
        assert_int_equal(elmo_session_run(session, &s, 1, NULL), 0);
        free(tokens);
    }
    elmo_session_free(session);
    elmo_model_free(model);
}

static void load_test_reviews(struct labelled_set *ret_set)
{
    const struct labelled_settings how = {.split = "test", .max_words = MAX_WORDS};
    assert_int_equal(labelled_load(ret_set, reviews, &how, NULL), 0);
    assert_int_equal(ret_set->n_items, N_TEST);
    labelled_shuffle(ret_set->items, ret_set->n_items, 1);
}

/* ---- The notebook ---- */

static void the_summary_counts_parameters_as_keras_does(void **state)
{
    (void)state;
    train("aclImdb", "summary.safetensors", "");
    assert_printed("200 texts in 200 groups: 100 negative, 100 positive");
    assert_printed("elmo (scalar mix)           (None, None, 16)        4\n");    /* 3 and gamma */
    assert_printed("dense (Dense, relu)         (None, 256)             4352\n"); /* 17 * 256 */
    assert_printed("dense_1 (Dense, sigmoid)    (None, 1)               257\n");
    assert_printed("Trainable params: 4,613\n");
}

static void an_epoch_is_told_with_its_validation(void **state)
{
    (void)state;
    train("aclImdb", "epoch.safetensors", "--dev-share 0.2");
    assert_printed("160 to learn, 40 for development");
    assert_printed("Epoch 1/1 - ");
    assert_null(strstr(program_output, "Epoch 2"));
    static const char *const shares[] = {" - accuracy: ", " - val_accuracy: "};
    static const char *const losses[] = {" - loss: ", " - val_loss: "};
    for (size_t k = 0; k < ARRAY_LEN(shares); k++) {
        assert_true(figure(shares[k]) > 0.2 && figure(shares[k]) <= 1);
        assert_true(figure(losses[k]) > 0 && figure(losses[k]) < 2);
    }
}

static void a_folder_of_both_splits_is_tested_on_its_test(void **state)
{
    (void)state;
    train("aclImdb", "tested.safetensors", "--dev-share 0.2 --test aclImdb");
    assert_printed("160 to learn, 40 for development, 120 for the test");
    train("aclImdb", "tested.safetensors", "--dev-share 0.2 --test aclImdb/test");
    assert_printed("160 to learn, 40 for development, 120 for the test");
    assert_int_equal(try_to_train("aclImdb", "leak.safetensors", "--test aclImdb/train"), 2);
    assert_printed("are those that are learnt");
}

static void epochs_learn_what_the_reviews_say(void **state)
{
    (void)state;
    size_t n_right = 0;
    float p[N_PREDICTED][2];
    struct labelled_set set;
    load_test_reviews(&set);
    train("aclImdb", "learnt.safetensors", "--epochs 30");
    predict(p, "learnt.safetensors", &set);
    for (size_t k = 0; k < N_PREDICTED; k++)
        n_right += (p[k][1] > p[k][0]) == set.items[k].label;
    assert_true(n_right > 80);
    labelled_done(&set);
}

static void words_behind_the_150th_change_nothing(void **state)
{
    (void)state;
    train("aclImdb", "whole.safetensors", "");
    train("cut", "cut.safetensors", "");
    assert_same_file("whole.safetensors", "cut.safetensors");
    train("aclImdb", "longer.safetensors", "--words 200");
    float p[N_PREDICTED][2], longer[N_PREDICTED][2];
    struct labelled_set set;
    load_test_reviews(&set);
    predict(p, "whole.safetensors", &set);
    predict(longer, "longer.safetensors", &set);
    assert_memory_not_equal(p, longer, sizeof p);
    labelled_done(&set);
}

static void predictions_after_save_clear_load_are_the_same_bits(void **state)
{
    (void)state;
    float before[N_PREDICTED][2], after[N_PREDICTED][2] = {{0}};
    struct labelled_set set;
    load_test_reviews(&set);
    train("aclImdb", "saved.safetensors", "");
    predict(before, "saved.safetensors", &set);
    predict(after, "saved.safetensors", &set);
    assert_memory_equal(before, after, sizeof before);
    bool differ = false;
    for (size_t k = 1; k < N_PREDICTED; k++)
        differ |= before[k][1] < before[0][1] || before[k][1] > before[0][1];
    assert_true(differ);
    train("aclImdb", "again.safetensors", ""); /* the same seed */
    assert_same_file("saved.safetensors", "again.safetensors");
    train("aclImdb", "other.safetensors", "--seed 4");
    predict(after, "other.safetensors", &set);
    assert_memory_not_equal(before, after, sizeof before);
    labelled_done(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_summary_counts_parameters_as_keras_does),
        cmocka_unit_test(an_epoch_is_told_with_its_validation),
        cmocka_unit_test(a_folder_of_both_splits_is_tested_on_its_test),
        cmocka_unit_test(epochs_learn_what_the_reviews_say),
        cmocka_unit_test(words_behind_the_150th_change_nothing),
        cmocka_unit_test(predictions_after_save_clear_load_are_the_same_bits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* elmo-train sentiment from labelled texts to a model file that elmod's library serves: both heads,
 * two labels and three, fine-tuning, the same seed for the same file, and what is refused. The
 * texts are made up so that a word tells the label. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "reference/random_model.h"
#include "reference/test_files.h"
#include "train/data/labelled.h"
#include "train/sentiment/sentiment.h"

#define N_TEXTS 240

struct fixture {
    struct temp_dir dir;
    char *model, *data, *out, *again;
};

static const char *const words[] = {"the", "film", "plot",  "of",  "a",   "long", "short",
                                    "and", "very", "actor", "who", "was", "is",   "this"};
static const char *const telling[] = {"dreadful", "wonderful", "middling"};
static const char *const labels[] = {"bad", "good", "plain"};

/* Texts of 3 to 12 words, one of which tells which of n_labels labels it has. */
static void write_texts(const char *path, size_t n_labels)
{
    struct rng rng = {21};
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t k = 0; k < N_TEXTS; k++) {
        size_t n = 3 + rng_below(&rng, 10), at = rng_below(&rng, n), label = k % n_labels;
        for (size_t w = 0; w < n; w++)
            fprintf(f, "%s%s", w ? " " : "",
                    w == at ? telling[label] : words[rng_below(&rng, ARRAY_LEN(words))]);
        fprintf(f, "\t%s\n", labels[label]);
    }
    assert_int_equal(fclose(f), 0);
}

static void fixture_init(struct fixture *f, size_t n_labels)
{
    static const struct options options = {
        .char_dim = 6,
        .max_chars = 16,
        .n_char_filters = 2,
        .char_filters = {{1, 8}, {3, 16}},
        .filter_dim = 24,
        .n_highway = 1,
        .activation = ACT_RELU,
        .n_layers = 2,
        .cell_dim = 12,
        .proj_dim = 8,
        .cell_clip = 3,
        .proj_clip = 3,
        .skip_connections = true,
    };
    struct rng rng = {5};
    struct random_model model;
    struct elmo_error err = {0};
    temp_dir_init(&f->dir);
    f->model = temp_path(&f->dir, "model.safetensors");
    f->data = temp_path(&f->dir, "texts.tsv");
    f->out = temp_path(&f->dir, "out.safetensors");
    f->again = temp_path(&f->dir, "again.safetensors");
    random_model_init_with(&model, &rng, &options, NULL, ELMO_POOL_MEAN, false);
    model.tokenizer = "unicode";
    assert_int_equal(random_model_write(&model, f->model, &err), 0);
    random_model_done(&model);
    write_texts(f->data, n_labels);
}

static void fixture_done(struct fixture *f)
{
    temp_dir_done(&f->dir);
    free(f->model);
    free(f->data);
    free(f->out);
    free(f->again);
}

static struct sentiment_settings settings_of(const struct fixture *f, enum sentiment_head head)
{
    struct sentiment_settings s = sentiment_defaults(head, false);
    s.model = f->model;
    s.data = f->data;
    s.out = f->out;
    s.quiet = true;
    return s;
}

static void tune(struct sentiment_settings *s, size_t epochs)
{
    s->finetune = true;
    s->epochs = epochs;
    s->learning_rate = sentiment_defaults(s->head, true).learning_rate;
}

static void must(int r, const struct elmo_error *err)
{
    if (r)
        fail_msg("%s", err->message);
}

/* Share of the texts whose most probable label is theirs, as the library says it. */
static double served_accuracy(const struct fixture *f, const char *path)
{
    struct elmo_error err = {0};
    struct elmo_model *model = NULL;
    struct elmo_session *session = NULL;
    struct labelled_set set = {0};
    const struct labelled_settings how = {0};
    size_t n_right = 0;
    must(elmo_model_open(&model, path, NULL, &err), &err);
    must(elmo_session_new(&session, model, &err), &err);
    must(labelled_load(&set, f->data, &how, &err), &err);
    assert_int_equal(elmo_model_info(model)->n_labels, set.n_labels);
    for (size_t k = 0; k < set.n_items; k++) {
        struct elmo_sentence s = {0};
        struct elmo_token *tokens = NULL;
        float probabilities[3];
        uint32_t best = 0;
        must(elmo_tokenize(model, set.items[k].text, set.items[k].n_bytes, &tokens, &s.n_tokens,
                           &err),
             &err);
        s.tokens = tokens;
        s.probabilities = probabilities;
        must(elmo_session_run(session, &s, 1, &err), &err);
        for (uint32_t label = 1; label < set.n_labels; label++)
            best = probabilities[label] > probabilities[best] ? label : best;
        n_right += best == set.items[k].label;
        free(tokens);
    }
    for (size_t k = 0; k < set.n_labels; k++)
        assert_string_equal(elmo_model_info(model)->labels[k], set.labels[k]);
    double accuracy = (double)n_right / (double)set.n_items;
    labelled_done(&set);
    elmo_session_free(session);
    elmo_model_free(model);
    return accuracy;
}

static void a_telling_word_is_learnt(void **state)
{
    (void)state;
    for (size_t n_labels = 2; n_labels <= 3; n_labels++) {
        struct fixture f;
        struct elmo_error err = {0};
        fixture_init(&f, n_labels);
        struct sentiment_settings notebook = settings_of(&f, SENTIMENT_NOTEBOOK);
        notebook.epochs = 60;
        must(sentiment_run(&notebook, &err), &err);
        assert_true(served_accuracy(&f, f.out) > 0.9);
        struct sentiment_settings best = settings_of(&f, SENTIMENT_BEST);
        must(sentiment_run(&best, &err), &err);
        assert_true(served_accuracy(&f, f.out) > 0.97);
        best.ngram_order = 0;
        best.epochs = 100;
        must(sentiment_run(&best, &err), &err);
        assert_true(served_accuracy(&f, f.out) > 0.9);
        fixture_done(&f);
    }
}

/* With the biLM alone, frozen for one epoch: tuning it must bring what that cannot. */
static void fine_tuning_learns_what_one_frozen_epoch_cannot(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_error err = {0};
    fixture_init(&f, 2);
    struct sentiment_settings s = settings_of(&f, SENTIMENT_BEST);
    s.ngram_order = 0;
    s.epochs = 1;
    must(sentiment_run(&s, &err), &err);
    double frozen = served_accuracy(&f, f.out);
    assert_true(frozen < 0.9);
    tune(&s, 60);
    must(sentiment_run(&s, &err), &err);
    assert_true(served_accuracy(&f, f.out) > 0.95);
    struct sentiment_settings notebook = settings_of(&f, SENTIMENT_NOTEBOOK);
    must(sentiment_run(&notebook, &err), &err);
    assert_true(served_accuracy(&f, f.out) < 0.9);
    tune(&notebook, 60);
    must(sentiment_run(&notebook, &err), &err);
    assert_true(served_accuracy(&f, f.out) > 0.95);
    fixture_done(&f);
}

static void the_same_seed_gives_the_same_file(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_error err = {0};
    fixture_init(&f, 2);
    struct sentiment_settings s = settings_of(&f, SENTIMENT_BEST);
    tune(&s, 2);
    must(sentiment_run(&s, &err), &err);
    s.out = f.again;
    must(sentiment_run(&s, &err), &err);
    assert_true(same_files(f.out, f.again));
    fixture_done(&f);
}

static void a_head_may_replace_that_of_its_own_file(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_error err = {0};
    fixture_init(&f, 2);
    struct sentiment_settings s = settings_of(&f, SENTIMENT_BEST);
    must(sentiment_run(&s, &err), &err);
    s.model = f.out; /* in place */
    s.head = SENTIMENT_NOTEBOOK;
    must(sentiment_run(&s, &err), &err);
    struct sentiment_settings direct = settings_of(&f, SENTIMENT_BEST);
    direct.head = SENTIMENT_NOTEBOOK;
    direct.out = f.again;
    must(sentiment_run(&direct, &err), &err);
    /* The biLM is the same, and nothing of the first head is left but the provenance it replaced.
     */
    assert_true(same_files(f.out, f.again));
    fixture_done(&f);
}

/* 2^21 rows for each of 40 labels would be a file of 160 MB. */
static void the_table_of_many_labels_is_no_larger(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_error err = {0};
    struct stat st;
    fixture_init(&f, 2);
    FILE *data = fopen(f.data, "w");
    assert_non_null(data);
    for (int k = 0; k < 80; k++)
        fprintf(data, "film number%d\tlabel%d\n", k % 40, k % 40);
    assert_int_equal(fclose(data), 0);
    struct sentiment_settings s = settings_of(&f, SENTIMENT_BEST);
    s.dev_share = 0;
    s.epochs = 1;
    must(sentiment_run(&s, &err), &err);
    assert_int_equal(stat(f.out, &st), 0);
    assert_true(st.st_size < 18 << 20);
    fixture_done(&f);
}

/* Every text learns, none chooses; the file says so and what else it was made with. */
static void without_development_texts_none_are_scored(void **state)
{
    (void)state;
    for (size_t n_labels = 2; n_labels <= 3; n_labels++) {
        struct fixture f;
        struct elmo_error err = {0};
        struct elmo_model *model = NULL;
        fixture_init(&f, n_labels);
        struct sentiment_settings s = settings_of(&f, SENTIMENT_NOTEBOOK);
        s.dev_share = 0;
        s.seed = 3;
        if (n_labels == 3)
            tune(&s, 1);
        must(sentiment_run(&s, &err), &err);
        must(elmo_model_open(&model, f.out, NULL, &err), &err);
        json_t *all = json_loads(elmo_model_info(model)->provenance, 0, NULL);
        const json_t *head = json_object_get(all, "sentiment");
        assert_int_equal(json_integer_value(json_object_get(head, "texts_train")), N_TEXTS);
        assert_int_equal(json_integer_value(json_object_get(head, "texts_dev")), 0);
        assert_null(json_object_get(head, "accuracy_dev"));
        assert_int_equal(json_is_true(json_object_get(head, "fine_tuned")), s.finetune);
        assert_true(json_string_length(json_object_get(head, "commit")) > 0);
        const json_t *settings = json_object_get(head, "settings");
        assert_int_equal(json_integer_value(json_object_get(settings, "seed")), 3);
        assert_int_equal(json_integer_value(json_object_get(settings, "words")), 150);
        const json_t *tuned = json_object_get(settings, "finetune");
        assert_int_equal(tuned != NULL, s.finetune);
        if (tuned)
            assert_string_equal(json_string_value(json_object_get(tuned, "precision")),
                                precision_name(s.precision));
        json_decref(all);
        elmo_model_free(model);
        fixture_done(&f);
    }
}

/* Control characters are no tokens: a frozen head is made of the zero vector, but nothing is tuned.
 */
static void texts_without_a_token_cannot_tune(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_error err = {0};
    fixture_init(&f, 2);
    FILE *data = fopen(f.data, "w");
    assert_non_null(data);
    for (int k = 0; k < 40; k++)
        fprintf(data, "\x01\x02\t%s\n", labels[k % 2]);
    assert_int_equal(fclose(data), 0);
    struct sentiment_settings s = settings_of(&f, SENTIMENT_BEST);
    must(sentiment_run(&s, &err), &err);
    tune(&s, 2);
    assert_int_equal(sentiment_run(&s, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "token"));
    fixture_done(&f);
}

/* No word stands in five texts: only the marks get vectors of their own. */
static void texts_of_rare_words_are_tuned_too(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_model *model;
    struct elmo_error err = {0};
    fixture_init(&f, 2);
    FILE *data = fopen(f.data, "w");
    assert_non_null(data);
    for (int k = 0; k < 40; k++)
        fprintf(data, "word%d\t%s\n", k, labels[k % 2]);
    assert_int_equal(fclose(data), 0);
    struct sentiment_settings s = settings_of(&f, SENTIMENT_BEST);
    tune(&s, 1);
    must(sentiment_run(&s, &err), &err);
    must(elmo_model_open(&model, f.out, NULL, &err), &err);
    elmo_model_free(model);
    fixture_done(&f);
}

static void errors_name_what_is_wrong_and_leave_no_file(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 2);
    static const struct {
        const char *data, *says;
    } bad[] = {
        {"nowhere.tsv", "nowhere.tsv"},
        {"one.tsv", "label"},
        {"empty.tsv", "empty.tsv"},
    };
    char *one = temp_path(&f.dir, "one.tsv"), *empty = temp_path(&f.dir, "empty.tsv");
    assert_true(write_whole_file(one, "a film\tgood\nb film\tgood\n", 23));
    assert_true(write_whole_file(empty, "", 0));
    for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
        struct elmo_error err = {0};
        struct sentiment_settings s = settings_of(&f, SENTIMENT_BEST);
        char *data = temp_path(&f.dir, bad[k].data);
        s.data = data;
        assert_int_not_equal(sentiment_run(&s, &err), 0);
        if (!strstr(err.message, bad[k].says))
            fail_msg("'%s' does not say '%s'", err.message, bad[k].says);
        assert_null(fopen(f.out, "r"));
        free(data);
    }
    struct elmo_error err = {0};
    struct sentiment_settings s = settings_of(&f, SENTIMENT_BEST);
    s.data = "nowhere.tsv"; /* where to write is asked first */
    s.out = "/no/such/folder/out.safetensors";
    assert_int_equal(sentiment_run(&s, &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "/no/such/folder"));
    free(one);
    free(empty);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_telling_word_is_learnt),
        cmocka_unit_test(fine_tuning_learns_what_one_frozen_epoch_cannot),
        cmocka_unit_test(the_same_seed_gives_the_same_file),
        cmocka_unit_test(a_head_may_replace_that_of_its_own_file),
        cmocka_unit_test(the_table_of_many_labels_is_no_larger),
        cmocka_unit_test(without_development_texts_none_are_scored),
        cmocka_unit_test(texts_without_a_token_cannot_tune),
        cmocka_unit_test(texts_of_rare_words_are_tuned_too),
        cmocka_unit_test(errors_name_what_is_wrong_and_leave_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

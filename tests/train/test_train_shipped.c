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

#include <cmocka.h>

#include "reference/convert_case.h"
#include "reference/outputs.h"
#include "reference/test_files.h"
#include "support/program.h"
#include "train/bilm/checkpoint_open.h"
#include "train_toy.h"

#define LSTM_PROJECTION "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_P_0"

static struct temp_dir dir;

static int train(const char *arguments)
{
    return program_run("ELMO_TRAIN", dir.path, arguments);
}

static void must_train_in(const char *folder, const char *arguments)
{
    if (program_run("ELMO_TRAIN", folder, arguments))
        fail_msg("elmo-train %s: %s", arguments, program_output);
}

static void must_train(const char *arguments)
{
    must_train_in(dir.path, arguments);
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
    write_text("corpus.txt", toy_text);
    write_text("options.json", toy_options);
    must_train("vocab --corpus corpus.txt --size 20 --out vocab.txt");
    must_train("pretrain --corpus corpus.txt --heldout corpus.txt --vocab vocab.txt --options "
               "options.json --out run --batch-tokens 16 --samples 8 --tokens 400 --quiet");
    must_train("export --checkpoint run/checkpoint.safetensors --out model.safetensors --softmax "
               "softmax.safetensors --name tiny --dtype f32");
    return 0;
}

static int remove_run(const char *names)
{
    char command[512];
    snprintf(command, sizeof command, "cd '%s' && rm -r %s", dir.path, names);
    return system(command);
}

static int tear_down(void **state)
{
    (void)state;
    int r = remove_run("run*");
    temp_dir_done(&dir);
    return r;
}

/* A figure that `eval` has printed. */
static double figure(const char *name)
{
    const char *at = strstr(program_output, name);
    assert_non_null(at);
    return strtod(at + strlen(name), NULL);
}

static const char *const perplexities[] = {"perplexity_forward", "perplexity_backward",
                                           "perplexity_joint"};

/* Runs an eval; its figures. */
static void measure(double ret_figures[ARRAY_LEN(perplexities)], const char *arguments)
{
    must_train(arguments);
    for (size_t k = 0; k < ARRAY_LEN(perplexities); k++)
        ret_figures[k] = figure(perplexities[k]);
}

/* The greatest difference of two measurements, as a part of the first. */
static double difference_of(const double *expected, const double *found)
{
    double greatest = 0;
    for (size_t k = 0; k < ARRAY_LEN(perplexities); k++)
        greatest = fmax(greatest, fabs(found[k] - expected[k]) / expected[k]);
    return greatest;
}

/* The one by the trainer's passes, the others by elmod's: float32 agrees as far as it is printed.
 */
static void shipped_files_measure_as_their_checkpoint_does(void **state)
{
    (void)state;
    double expected[3], found[3];
    measure(expected, "eval --checkpoint run/checkpoint.safetensors --corpus corpus.txt");
    measure(found,
            "eval --model model.safetensors --softmax softmax.safetensors --corpus corpus.txt");
    assert_null(strstr(program_output, "note"));
    assert_true(difference_of(expected, found) < 1e-4);
    must_train("export --checkpoint run/checkpoint.safetensors --out rounded.safetensors --softmax "
               "rounded-softmax.safetensors --name tiny --dtype bf16");
    measure(found, "eval --model rounded.safetensors --softmax rounded-softmax.safetensors "
                   "--corpus corpus.txt");
    assert_true(difference_of(expected, found) > 0);
    assert_true(difference_of(expected, found) < 0.02);
}

static void perplexity_is_that_of_the_type_that_is_computed_in(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *printed;
        double least, most; /* difference from the default, as a part of it */
    } cases[] = {
        {"--dtype f32", "dtype f32\n", 0, 1e-9},
        {"--dtype bf16", "dtype bf16\n", 0, 0.01},
        {"--dtype int8", "dtype int8\n", 1e-6, 0.05},
        {"--kernel baseline", "kernel baseline\n", 0, 1e-4},
        {"--threads 1", "dtype f32\n", 0, 1e-6},
        {"--threads 3", "dtype f32\n", 0, 1e-6},
    };
    double expected[3], found[3];
    static const char eval[] =
        "eval --model model.safetensors --softmax softmax.safetensors --corpus corpus.txt";
    measure(expected, eval);
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "%s %s", eval, cases[k].arguments);
        measure(found, arguments);
        assert_non_null(strstr(program_output, cases[k].printed));
        double difference = difference_of(expected, found);
        if (difference < cases[k].least || difference > cases[k].most)
            fail_msg("%s: %g", cases[k].arguments, difference);
    }
}

/* Perplexities of the lines by elmo_sentence.log_probs, as POST /score has them. */
static void score_lines(double ret_perplexities[3], const char *model_path, const char *softmax,
                        enum elmo_dtype dtype, const char *const *lines, size_t n_lines)
{
    const struct elmo_model_settings settings = {.dtype = dtype, .softmax = softmax};
    struct elmo_model *model = NULL;
    struct elmo_session *session = NULL;
    double nats[2] = {0};
    size_t n_predictions = 0;
    assert_int_equal(elmo_model_open(&model, model_path, &settings, NULL), 0);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    for (size_t k = 0; k < n_lines; k++) {
        float log_probs[2][64];
        struct elmo_sentence s = {.log_probs = {log_probs[0], log_probs[1]}};
        AUTO(mem_free) struct elmo_token *tokens = NULL;
        int r = elmo_tokenize(model, lines[k], strlen(lines[k]), &tokens, &s.n_tokens, NULL);
        assert_true(r == 0 && s.n_tokens < 64);
        s.tokens = tokens;
        assert_int_equal(elmo_session_run(session, &s, 1, NULL), 0);
        for (size_t t = 0; t <= s.n_tokens; t++, n_predictions++)
            for (unsigned d = 0; d < 2; d++)
                nats[d] -= (double)log_probs[d][t];
    }
    for (unsigned d = 0; d < 2; d++)
        ret_perplexities[d] = exp(nats[d] / (double)n_predictions);
    ret_perplexities[2] = exp((nats[0] + nats[1]) / (2 * (double)n_predictions));
    elmo_session_free(session);
    elmo_model_free(model);
}

/* eval runs the softmax in float32, a server in the type of the LSTMs. */
static void a_server_s_scores_measure_as_eval_does(void **state)
{
    (void)state;
    static const char *const lines[] = {"The film was long .", "I liked the end of it .",
                                        "She sat on the bank of the river .", "Unheard of !"};
    static const struct {
        const char *name;
        enum elmo_dtype dtype;
        double bound;
    } types[] = {{"f32", ELMO_DTYPE_F32, 1e-4},
                 {"bf16", ELMO_DTYPE_BF16, 2e-3},
                 {"int8", ELMO_DTYPE_INT8, 0.02}};
    AUTO(mem_free) char *tiny = temp_path(&dir, "model.safetensors");
    AUTO(mem_free) char *tiny_softmax = temp_path(&dir, "softmax.safetensors");
    AUTO(mem_free) char *shipped = source_path("model/weights/elmo-small.safetensors");
    AUTO(mem_free)
    char *shipped_softmax = source_path("model/weights/elmo-small.softmax.safetensors");
    const char *const files[][2] = {{tiny, tiny_softmax}, {shipped, shipped_softmax}};
    char text[256];
    snprintf(text, sizeof text, "%s\n%s\n%s\n%s\n", lines[0], lines[1], lines[2], lines[3]);
    write_text("lines.txt", text);
    for (size_t k = 0; k < ARRAY_LEN(files); k++)
        for (size_t i = 0; i < (k ? 1 : ARRAY_LEN(types)); i++) {
            char arguments[1024];
            double expected[3], found[3];
            snprintf(arguments, sizeof arguments,
                     "eval --model '%s' --softmax '%s' --corpus lines.txt --dtype %s", files[k][0],
                     files[k][1], types[i].name);
            measure(expected, arguments);
            assert_null(strstr(program_output, "note"));
            score_lines(found, files[k][0], files[k][1], types[i].dtype, lines, ARRAY_LEN(lines));
            assert_true(difference_of(expected, found) <= types[i].bound);
        }
}

static void a_softmax_of_another_bilm_is_noted(void **state)
{
    (void)state;
    must_train(
        "export --checkpoint run/checkpoint.safetensors --out rounded.safetensors --name tiny");
    must_train(
        "eval --model rounded.safetensors --softmax softmax.safetensors --corpus corpus.txt");
    assert_non_null(strstr(program_output, "trained with another biLM"));
}

static void open_checkpoint_of(struct open_checkpoint *ret, const char *name)
{
    AUTO(mem_free) char *path = temp_path(&dir, name);
    assert_int_equal(open_checkpoint_init(ret, path, NULL), 0);
}

/* Steps at learning rate 0: the checkpoint holds what the run started from. */
#define START                                                                          \
    "pretrain --corpus corpus.txt --heldout corpus.txt --batch-tokens 16 --samples 8 " \
    "--tokens 16 --no-decay --learning-rate 0 "

static void a_run_goes_on_from_shipped_files_alone(void **state)
{
    (void)state;
    struct open_checkpoint from, to;
    must_train(START "--init model.safetensors --init-softmax softmax.safetensors --out run-alone");
    assert_non_null(strstr(program_output, "softmax: 20 of 20 words"));
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
    assert_non_null(strstr(program_output, "softmax: 9 of 11 words"));
    assert_non_null(strstr(program_output, "2 at random values"));
    must_train(START "--vocab other.txt --init model.safetensors --out run-fresh");
    assert_non_null(strstr(program_output, "softmax: 0 of 11 words"));
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

/* ---- import ---- */

/* A random biLM as bilm-tf's files in a folder of its own; some have no projections. */
static void bilm_case(struct convert_case *ret_case, uint64_t seed)
{
    struct rng rng = {seed};
    convert_case_init(ret_case, &rng);
}

/* Has the case no LSTM projections, and a clip that needs one? The trainer says so, and no more. */
static bool cannot_be_trained(const struct convert_case *c)
{
    const struct options *o = &c->model.options;
    return !tensor_set_find(&c->model.weights, LSTM_PROJECTION) && o->proj_clip > 0 &&
           o->proj_clip < 1;
}

static void import_writes_what_elmo_convert_does(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"", " --dtype f32", " --dtype bf16"};
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct convert_case c;
        bilm_case(&c, seed);
        for (size_t k = 0; k < ARRAY_LEN(dtypes); k++) {
            char arguments[512];
            int n =
                snprintf(arguments, sizeof arguments,
                         "--options options.json --weights weights.hdf5 --name n --tokenizer %s%s",
                         c.job.tokenizer, dtypes[k]);
            if (c.sentiment)
                n += snprintf(arguments + n, sizeof arguments - (size_t)n,
                              " --sentiment sentiment.hdf5 --labels %s --pooling %s", c.job.labels,
                              c.job.pooling);
            if (c.job.head_input)
                n += snprintf(arguments + n, sizeof arguments - (size_t)n, " --head-input %s",
                              c.job.head_input);
            if (c.job.ngram_order)
                snprintf(arguments + n, sizeof arguments - (size_t)n, " --ngram-order %s",
                         c.job.ngram_order);
            char with_out[600];
            snprintf(with_out, sizeof with_out, "%s --out by_convert", arguments);
            assert_int_equal(program_run("ELMO_CONVERT", c.dir.path, with_out), 0);
            snprintf(with_out, sizeof with_out, "import %s --out by_train", arguments);
            must_train_in(c.dir.path, with_out);
            AUTO(mem_free)
            char *by_convert = temp_path(&c.dir, "by_convert"),
                 *by_train = temp_path(&c.dir, "by_train");
            assert_true(same_files(by_convert, by_train));
        }
        convert_case_done(&c);
    }
}

static void what_is_imported_is_trained_on(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct convert_case c;
        struct open_checkpoint run;
        char arguments[1024];
        bilm_case(&c, seed);
        snprintf(arguments, sizeof arguments,
                 "import --options options.json --weights weights.hdf5 --name n --tokenizer %s "
                 "--out imported",
                 c.job.tokenizer);
        must_train_in(c.dir.path, arguments);
        snprintf(
            arguments, sizeof arguments,
            "pretrain --corpus corpus.txt --heldout corpus.txt --vocab vocab.txt --batch-tokens "
            "16 --samples 8 --tokens 64 --tokenizer %s --init '%s/imported' --out run-imported",
            c.job.tokenizer, c.dir.path);
        if (cannot_be_trained(&c)) {
            assert_int_equal(train(arguments), 1);
            assert_non_null(strstr(program_output, "proj_clip"));
            convert_case_done(&c);
            continue;
        }
        must_train(arguments);
        assert_non_null(strstr(program_output, "0 of 20 words from no file, 20 at random values"));
        assert_null(strstr(program_output, "was not trained with"));
        open_checkpoint_of(&run, "run-imported/checkpoint.safetensors");
        assert_true(run.state.n_steps >= 3);
        assert_int_equal(run.net.options.cell_dim, c.model.options.cell_dim);
        open_checkpoint_done(&run);
        must_train(
            "export --checkpoint run-imported/checkpoint.safetensors --out after.safetensors "
            "--softmax after-softmax.safetensors --name after --dtype f32");
        double trained[3], served[3];
        measure(trained, "eval --checkpoint run-imported/checkpoint.safetensors --corpus "
                         "corpus.txt");
        measure(served, "eval --model after.safetensors --softmax after-softmax.safetensors "
                        "--corpus corpus.txt");
        assert_true(difference_of(trained, served) < 1e-4);
        assert_int_equal(remove_run("run-imported"), 0);
        convert_case_done(&c);
    }
}

static void layers_of(struct outputs *ret_outputs, size_t *ret_dim, const char *path)
{
    static const struct elmo_token tokens[] = {{"The", 3}, {"river", 5}, {"was", 3}, {".", 1}};
    struct elmo_sentence sentence = {.tokens = tokens, .n_tokens = ARRAY_LEN(tokens)};
    struct elmo_model *model = NULL;
    struct elmo_session *session = NULL;
    assert_int_equal(elmo_model_open(&model, path, NULL, NULL), 0);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    outputs_attach(ret_outputs, &sentence, model, WANT_ELMO);
    assert_int_equal(elmo_session_run(session, &sentence, 1, NULL), 0);
    *ret_dim = ARRAY_LEN(tokens) * elmo_model_info(model)->layer_dim;
    elmo_session_free(session);
    elmo_model_free(model);
}

static void assert_same_vectors(const char *left, const char *right)
{
    struct outputs a, b;
    struct difference difference = {0};
    size_t n_left, n_right;
    layers_of(&a, &n_left, left);
    layers_of(&b, &n_right, right);
    assert_int_equal(n_left, n_right);
    difference_add_f32(&difference, a.elmo, b.elmo, n_left);
    assert_true(difference.scaled < 1e-5);
    outputs_done(&a);
    outputs_done(&b);
}

/* Without steps, what comes out of the trainer computes what went in, projections or not. */
static void an_imported_model_is_the_same_function_in_the_trainer(void **state)
{
    (void)state;
    size_t n_no_cnn_proj = 0, n_no_lstm_proj = 0;
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct convert_case c;
        char arguments[1024];
        bilm_case(&c, seed);
        snprintf(arguments, sizeof arguments,
                 "import --options options.json --weights weights.hdf5 --name n --tokenizer %s "
                 "--out imported",
                 c.job.tokenizer);
        must_train_in(c.dir.path, arguments);
        snprintf(arguments, sizeof arguments,
                 START "--vocab vocab.txt --init '%s/imported' --out "
                       "run-same --quiet",
                 c.dir.path);
        if (cannot_be_trained(&c)) {
            convert_case_done(&c);
            continue;
        }
        n_no_cnn_proj += !tensor_set_find(&c.model.weights, "CNN_proj/W_proj");
        n_no_lstm_proj += !tensor_set_find(&c.model.weights, LSTM_PROJECTION);
        must_train(arguments);
        must_train("export --checkpoint run-same/checkpoint.safetensors --out same.safetensors "
                   "--name same --dtype f32");
        AUTO(mem_free) char *before = temp_path(&c.dir, "imported");
        AUTO(mem_free) char *after = temp_path(&dir, "same.safetensors");
        assert_same_vectors(before, after);
        assert_int_equal(remove_run("run-same"), 0);
        convert_case_done(&c);
    }
    assert_true(n_no_cnn_proj > 0);
    assert_true(n_no_lstm_proj > 0);
}

static void eval_prints_a_table_of_senses(void **state)
{
    (void)state;
    write_text("senses.tsv", "word\tsense\tsentence\n"
                             "end\tgoal\tto what end ?\nend\tgoal\tan end in itself\n"
                             "end\tlast\tin the end .\nend\tlast\tthe bitter end\n");
    must_train("eval --model model.safetensors --senses senses.tsv");
    assert_non_null(strstr(program_output, "word_emb"));
    assert_non_null(
        strstr(program_output, "lstm_outputs2          elmo\nend                 4          33.3"));
    assert_non_null(strstr(program_output, "\nall                 4          33.3"));
}

static void what_is_missing_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *words;
    } cases[] = {
        {"eval --model model.safetensors --corpus corpus.txt", "--softmax"},
        {"eval --softmax softmax.safetensors --corpus corpus.txt", "--model"},
        {"eval --senses senses.tsv", "--model"},
        {"eval --model model.safetensors --senses senses.tsv --dtype f16", "not 'f16'"},
        {"eval --model model.safetensors --softmax softmax.safetensors --corpus corpus.txt --dtype "
         "fp32",
         "--dtype is f32, bf16 or int8, not 'fp32'"},
        {"eval --model model.safetensors --softmax softmax.safetensors --corpus corpus.txt "
         "--kernel abacus",
         "no kernel 'abacus'"},
        {"eval --checkpoint c --corpus corpus.txt --dtype bf16", "--dtype and --kernel"},
        {"eval --checkpoint c --corpus corpus.txt --kernel avx2", "--dtype and --kernel"},
        {"export --checkpoint run/checkpoint.safetensors --name n --out o --softmax o",
         "--softmax"},
        {"eval --checkpoint c --model m --softmax s --corpus corpus.txt", "either"},
        {"import --options options.json --name n --tokenizer unicode --out o", "--weights"},
        {"import --options options.json --weights w --name n --out o", "--tokenizer"},
        {"import --options o --weights w --name n --tokenizer x --out o", "--tokenizer"},
        {"import --options o --weights w --name n --tokenizer unicode --dtype f16 --out o",
         "--dtype"},
        {"import --options o --weights w --name n --tokenizer unicode --pooling x --out o",
         "--pooling"},
        {"import --options o --weights w --name n --tokenizer unicode --ngram-order 5 --out o",
         "--ngram-order"},
        {START "--vocab vocab.txt --out run-no", "--options, --init or --resume"},
        {START "--options options.json --out run-no", "--vocab, --init-softmax or --resume"},
        {START "--options options.json --init-softmax softmax.safetensors --out run-no",
         "--init-softmax goes with --init"},
        {"vocab --corpus corpus.txt --quiet --corpus corpus.txt corpus.txt --out v", "twice"},
        {"sentiment --model m --data d --out o --ngram-order 3 --no-ngrams", "exclude each other"},
        {"sentiment --model m --data d --out o --dev-share 0.95", "--dev-share"},
        {"sentiment --model m --data d --out o --head worst", "--head"},
        {"sentiment --model m --data d", "--out"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        assert_int_equal(train(cases[k].arguments), 2);
        if (!strstr(program_output, cases[k].words))
            fail_msg("no \"%s\" in %s", cases[k].words, program_output);
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
    AUTO(mem_free) char *other = strdup(toy_options);
    assert_non_null(other);
    memcpy(strstr(other, "\"dim\": 12"), "\"dim\": 10", 9);
    write_text("other.json", other);
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        assert_int_equal(train(cases[k].arguments), 1);
        if (!strstr(program_output, cases[k].words))
            fail_msg("no \"%s\" in %s", cases[k].words, program_output);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_files_measure_as_their_checkpoint_does),
        cmocka_unit_test(perplexity_is_that_of_the_type_that_is_computed_in),
        cmocka_unit_test(a_server_s_scores_measure_as_eval_does),
        cmocka_unit_test(a_softmax_of_another_bilm_is_noted),
        cmocka_unit_test(a_run_goes_on_from_shipped_files_alone),
        cmocka_unit_test(words_of_another_vocabulary_are_matched_by_their_bytes),
        cmocka_unit_test(import_writes_what_elmo_convert_does),
        cmocka_unit_test(what_is_imported_is_trained_on),
        cmocka_unit_test(an_imported_model_is_the_same_function_in_the_trainer),
        cmocka_unit_test(eval_prints_a_table_of_senses),
        cmocka_unit_test(what_is_missing_is_asked_for),
        cmocka_unit_test(files_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests_name("train_shipped", tests, set_up, tear_down);
}

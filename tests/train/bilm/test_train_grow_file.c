/* elmo-train grow on files: what the model says stays the same, of every type that a file is stored
 * in, and what is said of the model, and its softmax, go with it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "file/model_file.h"
#include "grow_case.h"
#include "inference/lm_softmax.h"
#include "reference/outputs.h"
#include "support/program.h"

#define N_TOKENS 7
#define SAME     1e-6
#define LSTM     "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"

static const struct grow_change no_change = {.dtype = ST_F32};

/* ---- What the model says ---- */

struct run {
    struct elmo_model *model;
    struct outputs outputs;
    float log_probs[2][N_TOKENS + 1];
};

/* Words of the softmax, unknown ones, and one that is longer than a model reads. */
static void run_init(struct run *r, const char *model, const char *softmax)
{
    static const struct elmo_token tokens[N_TOKENS] = {
        {"w5", 2},
        {"w17", 3},
        {"The", 3},
        {"caf\xc3\xa9", 5},
        {"w5", 2},
        {"", 0},
        {"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", 52}};
    const struct elmo_model_settings settings = {.softmax = softmax};
    struct elmo_sentence sentence = {.tokens = tokens, .n_tokens = N_TOKENS};
    struct elmo_session *session;
    struct elmo_error err = {0};
    if (elmo_model_open(&r->model, model, &settings, &err))
        fail_msg("%s", err.message);
    assert_int_equal(elmo_session_new(&session, r->model, NULL), 0);
    outputs_attach(&r->outputs, &sentence, r->model, WANT_ALL);
    sentence.log_probs[0] = r->log_probs[0];
    sentence.log_probs[1] = r->log_probs[1];
    assert_int_equal(elmo_session_run(session, &sentence, 1, NULL), 0);
    elmo_session_free(session);
}

static void run_done(struct run *r)
{
    outputs_done(&r->outputs);
    elmo_model_free(r->model);
}

/* [direction][layer][h P, c C]: of the cells, those that both have. */
static void compare_states(struct difference *worst, const struct run *a, const struct run *b)
{
    const struct elmo_model_info *info = elmo_model_info(a->model);
    size_t n = info->token_dim + info->cell_dim;
    size_t n_grown = info->token_dim + elmo_model_info(b->model)->cell_dim;
    for (size_t k = 0; k < 2 * info->n_layers; k++)
        difference_add_f32(worst, b->outputs.final_state + k * n_grown,
                           a->outputs.final_state + k * n, n);
}

static struct difference compare(const struct run *a, const struct run *b)
{
    const struct elmo_model_info *info = elmo_model_info(a->model);
    struct difference worst = {0};
    for (size_t k = 0; k <= info->n_layers; k++)
        difference_add_f32(&worst, b->outputs.layers[k], a->outputs.layers[k],
                           N_TOKENS * (k ? info->layer_dim : info->token_dim));
    difference_add_f32(&worst, b->outputs.elmo, a->outputs.elmo, N_TOKENS * info->layer_dim);
    difference_add_f32(&worst, b->outputs.pooled, a->outputs.pooled, info->layer_dim);
    if (info->n_labels)
        difference_add_f32(&worst, b->outputs.probabilities, a->outputs.probabilities,
                           info->n_labels);
    for (unsigned direction = 0; direction < 2; direction++)
        difference_add_f32(&worst, b->log_probs[direction], a->log_probs[direction], N_TOKENS + 1);
    compare_states(&worst, a, b);
    return worst;
}

static void all_outputs_stay_the_same(void **state)
{
    (void)state;
    static const enum st_dtype dtypes[] = {ST_F32, ST_BF16, ST_F16};
    double worst = 0;
    size_t n_skipping = 0, n_clipping = 0, n_heads = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        const struct grow_change change = {.dtype = dtypes[seed % ARRAY_LEN(dtypes)]};
        struct grow_case f;
        struct run before, grown;
        grow_case_init(&f, seed, &change);
        grow_must_work(&f.job);
        run_init(&before, f.model, f.softmax);
        run_init(&grown, f.out, f.softmax_out); /* the softmax is this model's, or it would fail */
        assert_int_equal(elmo_model_info(grown.model)->cell_dim, f.job.n_cells);
        assert_string_equal(elmo_model_info(grown.model)->dtype,
                            elmo_model_info(before.model)->dtype);
        struct difference difference = compare(&before, &grown);
        if (!(difference.scaled <= SAME))
            fail_msg("seed %llu: %.1e", (unsigned long long)seed, difference.scaled);
        worst = fmax(worst, difference.scaled);
        n_skipping += f.random.options.skip_connections;
        n_clipping += f.random.options.cell_clip > 0 && f.random.options.proj_clip > 0;
        n_heads += f.random.has_head;
        run_done(&before);
        run_done(&grown);
        grow_case_done(&f);
    }
    print_message("60 random models: outputs differ by %.1e at most\n", worst);
    assert_true(n_skipping > 10 && n_skipping < 50 && n_clipping > 10 && n_heads > 10);
}

/* ---- What the files say ---- */

static const char *metadata_of(const struct grow_parsed *p, const char *key)
{
    const char *value = safetensors_metadata(p->file, key);
    return value ? value : "";
}

static void what_is_said_of_the_model_goes_with_it(void **state)
{
    (void)state;
    static const char *const keys[] = {META_FORMAT_VERSION, META_NAME,       META_TOKENIZER,
                                       META_LABELS,         META_HEAD_INPUT, META_NGRAM_ORDER};
    const struct grow_change change = {.dtype = ST_F32, .provenance = "{\"old\":{\"x\":0.1}}"};
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct grow_case f;
        struct grow_parsed before, grown;
        char digest[65];
        grow_case_init(&f, seed, &change);
        grow_must_work(&f.job);
        grow_parse(&before, f.model);
        grow_parse(&grown, f.out);
        for (size_t k = 0; k < ARRAY_LEN(keys); k++)
            assert_string_equal(metadata_of(&grown, keys[k]), metadata_of(&before, keys[k]));
        json_auto_t *options = json_loads(metadata_of(&grown, META_OPTIONS), 0, NULL);
        json_auto_t *expected = json_loads(f.random.options_json, 0, NULL);
        json_object_set_new(json_object_get(expected, "lstm"), "dim",
                            json_integer((json_int_t)f.job.n_cells));
        assert_true(json_equal(options, expected));
        json_auto_t *provenance = json_loads(metadata_of(&grown, META_PROVENANCE), 0, NULL);
        assert_int_equal(bilm_digest(digest, before.file, NULL), 0);
        json_auto_t *told =
            json_pack("{s:{s:f}, s:[{s:I, s:I, s:s}]}", "old", "x", 0.1, "grown", "from_cells",
                      (json_int_t)f.random.options.cell_dim, "to_cells", (json_int_t)f.job.n_cells,
                      "from_bilm_sha256", digest);
        assert_true(json_equal(provenance, told));
        grow_parsed_done(&before);
        grow_parsed_done(&grown);
        grow_case_done(&f);
    }
}

static void growing_again_is_told_too(void **state)
{
    (void)state;
    struct grow_case f;
    struct run before, grown;
    grow_case_init(&f, 3, &no_change);
    run_init(&before, f.model, f.softmax);
    grow_must_work(&f.job);
    struct grow_job again = f.job;
    again.model = f.out; /* in place */
    again.softmax = f.softmax_out;
    again.n_cells += 3;
    grow_must_work(&again);
    run_init(&grown, f.out, f.softmax_out);
    assert_true(compare(&before, &grown).scaled <= SAME);
    json_auto_t *told = json_loads(elmo_model_info(grown.model)->provenance, 0, NULL);
    const json_t *steps = json_object_get(told, "grown");
    assert_int_equal(json_array_size(steps), 2);
    for (size_t k = 0; k < 2; k++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(steps, k), "to_cells")),
                         f.job.n_cells + 3 * k);
    run_done(&before);
    run_done(&grown);
    grow_case_done(&f);
}

static void the_softmax_differs_in_its_digest_only(void **state)
{
    (void)state;
    struct grow_case f;
    struct grow_parsed before, after;
    grow_case_init(&f, 4, &no_change);
    grow_must_work(&f.job);
    grow_parse(&before, f.softmax);
    grow_parse(&after, f.softmax_out);
    assert_int_equal(safetensors_n_metadata(before.file), safetensors_n_metadata(after.file));
    assert_string_equal(metadata_of(&before, META_NAME), metadata_of(&after, META_NAME));
    assert_string_equal(metadata_of(&before, META_VOCABULARY),
                        metadata_of(&after, META_VOCABULARY));
    assert_string_not_equal(metadata_of(&before, META_BILM_SHA256),
                            metadata_of(&after, META_BILM_SHA256));
    assert_int_equal(safetensors_n_tensors(after.file), 2);
    for (size_t k = 0; k < 2; k++) {
        const struct st_tensor *t = safetensors_tensor(before.file, k);
        const struct st_tensor *u = safetensors_find(after.file, t->name);
        assert_non_null(u);
        assert_int_equal(u->n_bytes, t->n_bytes);
        assert_memory_equal(u->data, t->data, t->n_bytes);
    }
    grow_parsed_done(&before);
    grow_parsed_done(&after);
    grow_case_done(&f);
}

static bool same_tensor(const char *path, const char *other, const char *name)
{
    struct grow_parsed a, b;
    grow_parse(&a, path);
    grow_parse(&b, other);
    const struct st_tensor *t = safetensors_find(a.file, name);
    const struct st_tensor *u = safetensors_find(b.file, name);
    assert_non_null(t);
    assert_non_null(u);
    assert_int_equal(t->n_bytes, u->n_bytes);
    bool same = !memcmp(t->data, u->data, t->n_bytes);
    grow_parsed_done(&a);
    grow_parsed_done(&b);
    return same;
}

static void only_the_same_model_grows_the_same_way(void **state)
{
    (void)state;
    struct grow_case f;
    grow_case_init(&f, 5, &no_change);
    grow_must_work(&f.job);
    struct grow_job again = f.job;
    again.out = f.softmax; /* any other place */
    again.softmax = again.softmax_out = NULL;
    grow_must_work(&again);
    assert_true(same_files(f.out, again.out));
    f.random.weights.items[0].values[0] += 1; /* another model, with the same LSTMs */
    assert_int_equal(random_model_write(&f.random, f.model, NULL), 0);
    grow_must_work(&again);
    assert_false(same_tensor(f.out, again.out, LSTM "/W_0"));
    assert_true(same_tensor(f.out, again.out, LSTM "/W_P_0"));
    grow_case_done(&f);
}

static void the_program_grows_a_model(void **state)
{
    (void)state;
    static const struct program_case cases[] = {
        {0, "grow --model model.safetensors --cells 50 --out out.safetensors "
            "--softmax softmax.safetensors --softmax-out softmax-out.safetensors"},
        {2, "grow --model out.safetensors --cells 50 --out model.safetensors"},
        {2, "grow --model model.safetensors --cells none --out out.safetensors"},
        {2, "grow --model model.safetensors --out out.safetensors"},
        {1, "grow --model none.safetensors --cells 50 --out out.safetensors"},
    };
    struct grow_case f;
    struct run before, grown;
    grow_case_init(&f, 9, &no_change);
    program_check("ELMO_TRAIN", f.dir.path, cases, ARRAY_LEN(cases));
    run_init(&before, f.model, f.softmax);
    run_init(&grown, f.out, f.softmax_out);
    assert_int_equal(elmo_model_info(grown.model)->cell_dim, 50);
    assert_true(compare(&before, &grown).scaled <= SAME);
    run_done(&before);
    run_done(&grown);
    grow_case_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_outputs_stay_the_same),
        cmocka_unit_test(what_is_said_of_the_model_goes_with_it),
        cmocka_unit_test(growing_again_is_told_too),
        cmocka_unit_test(the_softmax_differs_in_its_digest_only),
        cmocka_unit_test(only_the_same_model_grows_the_same_way),
        cmocka_unit_test(the_program_grows_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

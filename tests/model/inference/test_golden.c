/* The committed golden vectors of tests/golden: elmo_session_run must give them, and the naive
 * reference, which made them, must still make them. Needs nothing outside the project. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "elmo.h"
#include "inference/model.h"
#include "reference/golden_cases.h"
#include "reference/outputs.h"
#include "reference/test_files.h"

static struct elmo_model *open_model(const struct golden_model *g)
{
    char relative[128];
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    snprintf(relative, sizeof relative, "tests/golden/%s.safetensors", g->name);
    AUTO(mem_free) char *path = source_path(relative);
    if (elmo_model_open(&model, path, NULL, &err))
        fail_msg("%s: %s", g->name, err.message);
    return model;
}

static struct tensor_set read_expected(const struct golden_model *g)
{
    char relative[128];
    struct tensor_set expected = {0};
    struct safetensors *file = NULL;
    struct elmo_error err = {0};
    size_t n_bytes;
    snprintf(relative, sizeof relative, "tests/golden/%s.expected.safetensors", g->name);
    AUTO(mem_free) char *path = source_path(relative);
    AUTO(mem_free) unsigned char *bytes = read_whole_file(path, &n_bytes);
    if (safetensors_parse(&file, bytes, n_bytes, &err) ||
        tensor_set_add_file(&expected, file, &err))
        fail_msg("%s: %s", g->name, err.message);
    safetensors_free(file);
    return expected;
}

/* Adds one output to the difference, unless it is empty; counts it. */
static void compare(struct difference *difference, const struct tensor_set *expected,
                    const char *sentence, const char *output, const float *found, size_t n,
                    size_t *n_compared)
{
    char name[TENSOR_NAME_MAX];
    if (!n || !found)
        return;
    snprintf(name, sizeof name, "%s/%s", sentence, output);
    const struct named_tensor *tensor = tensor_set_find(expected, name);
    if (!tensor || tensor->n_values != n)
        fail_msg("no %s of %zu values in the golden file", name, n);
    difference_add_f32(difference, found, tensor->values, n);
    ++*n_compared;
}

static void compare_sentence(struct difference *difference, const struct tensor_set *expected,
                             const struct elmo_model *model, size_t index,
                             const struct elmo_sentence *s, size_t *n_compared)
{
    const struct elmo_model_info *info = elmo_model_info(model);
    const char *name = golden_sentences[index].name;
    for (size_t k = 0; k <= info->n_layers; k++) {
        char output[16];
        snprintf(output, sizeof output, "layer_%zu", k);
        compare(difference, expected, name, output, s->layers[k],
                s->n_tokens * (k ? info->layer_dim : info->token_dim), n_compared);
    }
    compare(difference, expected, name, "elmo", s->elmo, s->n_tokens * info->layer_dim, n_compared);
    compare(difference, expected, name, "pooled", s->pooled, elmo_pooled_dim(model, s->pooling),
            n_compared);
    compare(difference, expected, name, "probabilities", s->probabilities, info->n_labels,
            n_compared);
    compare(difference, expected, name, "final_state", s->final_state, info->state_floats,
            n_compared);
}

/* All sentences as one batch. */
static void run_model(const struct golden_model *g)
{
    struct elmo_model *model = open_model(g);
    struct tensor_set expected = read_expected(g);
    struct golden_request requests[16];
    struct elmo_sentence batch[16];
    struct outputs outputs[16];
    struct elmo_session *session = NULL;
    struct elmo_error err = {0};
    struct difference difference = {0};
    size_t n_compared = 0;
    assert_true(n_golden_sentences <= ARRAY_LEN(batch));
    for (size_t k = 0; k < n_golden_sentences; k++) {
        golden_request_init(&requests[k], k, &g->options);
        batch[k] = requests[k].sentence;
        outputs_attach(&outputs[k], &batch[k], model, WANT_ALL);
    }
    if (elmo_session_new(&session, model, &err) ||
        elmo_session_run(session, batch, n_golden_sentences, &err))
        fail_msg("%s: %s", g->name, err.message);
    for (size_t k = 0; k < n_golden_sentences; k++) {
        compare_sentence(&difference, &expected, model, k, &batch[k], &n_compared);
        outputs_done(&outputs[k]);
        golden_request_done(&requests[k]);
    }
    print_message("%-20s max abs error %.1e\n", g->name, difference.absolute);
    assert_int_equal(n_compared, expected.n_items);
    assert_true(difference.scaled <= 1e-5);
    elmo_session_free(session);
    tensor_set_done(&expected);
    elmo_model_free(model);
}

static void model_gives_the_golden_vectors(void **state)
{
    (void)state;
    for (size_t k = 0; k < n_golden_models; k++)
        run_model(&golden_models[k]);
}

/* To the last bit but one: libm's functions may differ between machines. */
static void reference_still_makes_the_golden_vectors(void **state)
{
    (void)state;
    for (size_t k = 0; k < n_golden_models; k++) {
        const struct golden_model *g = &golden_models[k];
        struct elmo_model *model = open_model(g);
        struct tensor_set committed = read_expected(g), weights = {0}, made = {0};
        struct difference difference = {0};
        assert_int_equal(tensor_set_add_file(&weights, model->file, NULL), 0);
        const struct naive_model naive = {&model->options, &weights};
        golden_expect(&made, &naive, g->has_head, model->head_pooling);
        assert_int_equal(made.n_items, committed.n_items);
        for (size_t t = 0; t < made.n_items; t++) {
            assert_string_equal(made.items[t].name, committed.items[t].name);
            assert_int_equal(made.items[t].n_values, committed.items[t].n_values);
            difference_add_f32(&difference, made.items[t].values, committed.items[t].values,
                               made.items[t].n_values);
        }
        assert_true(difference.scaled <= 1e-6);
        tensor_set_done(&made);
        tensor_set_done(&weights);
        tensor_set_done(&committed);
        elmo_model_free(model);
    }
}

/* The sentence that is cut inside a code point: both tokens are the same 48 bytes. */
static void bytes_beyond_the_48th_do_not_matter(void **state)
{
    (void)state;
    struct tensor_set expected = read_expected(&golden_models[0]);
    const struct named_tensor *t = tensor_set_find(&expected, "cut_inside_code_point/layer_0");
    assert_non_null(t);
    assert_int_equal(t->dims[0], 2);
    assert_memory_equal(t->values, t->values + t->dims[1], t->dims[1] * sizeof *t->values);
    tensor_set_done(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_gives_the_golden_vectors),
        cmocka_unit_test(reference_still_makes_the_golden_vectors),
        cmocka_unit_test(bytes_beyond_the_48th_do_not_matter),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}

/* A trained model: the reference outputs of ../shared/weights/interim, by an independent float64
 * implementation, for 50 real sentences. The float32 conversion must give them to 1e-4, the
 * bfloat16 one to the error that README states. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "convert/hdf5_file.h"
#include "convert/import.h"
#include "elmo.h"
#include "reference/outputs.h"
#include "reference/tensor_set.h"
#include "reference/test_files.h"

#define FOLDER      "weights/interim/"
#define N_SENTENCES 50
#define N_LAYERS    3
#define LAYER_DIM   1024

struct expected {
    struct elmo_token *tokens;
    size_t n_tokens;
    float *layers; /* [N_LAYERS, n_tokens, LAYER_DIM] */
    double positive, logit, default_norm;
};

static struct {
    json_t *json; /* owns the tokens; NULL: the shared data is not there */
    struct expected expected[N_SENTENCES];
} fixture;

/* ---- The fixture ---- */

static void read_sentence(struct expected *e, const json_t *entry, const struct hdf5_input *vectors,
                          size_t k)
{
    const json_t *tokens = json_object_get(entry, "tokens");
    e->n_tokens = json_array_size(tokens);
    e->tokens = must_calloc(e->n_tokens, sizeof *e->tokens);
    for (size_t t = 0; t < e->n_tokens; t++) {
        const json_t *token = json_array_get(tokens, t);
        e->tokens[t] = (struct elmo_token){json_string_value(token), json_string_length(token)};
    }
    e->positive = json_real_value(json_object_get(entry, "positive"));
    e->logit = json_real_value(json_object_get(entry, "logit"));
    e->default_norm = json_real_value(json_object_get(entry, "default_norm"));

    char name[32];
    snprintf(name, sizeof name, "%zu/layers", k);
    const struct hdf5_shape shape = {3, {N_LAYERS, e->n_tokens, LAYER_DIM}};
    e->layers = must_calloc(N_LAYERS * e->n_tokens * LAYER_DIM, sizeof *e->layers);
    assert_int_equal(hdf5_input_read(vectors, name, &shape, e->layers, NULL, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    AUTO(mem_free) char *json_path = shared_path(FOLDER "reference.json");
    AUTO(mem_free) char *hdf5_path = shared_path(FOLDER "reference.hdf5");
    if (!json_path || !hdf5_path)
        return 0;
    struct hdf5_input *vectors = NULL;
    assert_int_equal(hdf5_input_open(&vectors, hdf5_path, NULL), 0);
    fixture.json = json_load_file(json_path, 0, NULL);
    assert_int_equal(json_array_size(fixture.json), N_SENTENCES);
    for (size_t k = 0; k < N_SENTENCES; k++)
        read_sentence(&fixture.expected[k], json_array_get(fixture.json, k), vectors, k);
    hdf5_input_free(vectors);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_SENTENCES; k++) {
        free(fixture.expected[k].tokens);
        free(fixture.expected[k].layers);
    }
    json_decref(fixture.json);
    return 0;
}

static void need_fixture(void)
{
    if (fixture.json)
        return;
    print_message("SKIPPED: ../shared/" FOLDER " is not there\n");
    skip();
}

/* ---- Running ---- */

struct errors { /* worst over all sentences */
    double layer[N_LAYERS], least_cosine[N_LAYERS];
    double probability, logit, default_norm;
    size_t n_other_label;
};

/* Layer 0 of the fixture is [e ; e], ours is e. */
static void compare_layer(struct errors *errors, const struct expected *e, size_t layer,
                          const float *found)
{
    size_t dim = layer ? LAYER_DIM : LAYER_DIM / 2;
    struct difference difference = {0};
    for (size_t t = 0; t < e->n_tokens; t++) {
        const float *expected = e->layers + (layer * e->n_tokens + t) * LAYER_DIM;
        difference_add_f32(&difference, found + t * dim, expected, dim);
        errors->least_cosine[layer] =
            fmin(errors->least_cosine[layer], cosine(found + t * dim, expected, dim));
    }
    errors->layer[layer] = fmax(errors->layer[layer], difference.absolute);
}

static void compare_sentence(struct errors *errors, const struct expected *e,
                             const struct outputs *found)
{
    for (size_t layer = 0; layer < N_LAYERS; layer++)
        compare_layer(errors, e, layer, found->layers[layer]);
    double negative = (double)found->probabilities[0], positive = (double)found->probabilities[1];
    double norm = 0;
    for (size_t k = 0; k < LAYER_DIM; k++)
        norm += (double)found->pooled[k] * (double)found->pooled[k];
    errors->probability = fmax(errors->probability, fabs(positive - e->positive));
    errors->logit = fmax(errors->logit, fabs(log(positive / negative) - e->logit));
    errors->default_norm = fmax(errors->default_norm, fabs(sqrt(norm) - e->default_norm));
    errors->n_other_label += (positive > negative) != (e->logit > 0);
}

/* All sentences in one batch. */
static struct errors run_all(const char *model_path)
{
    struct elmo_error err = {0};
    struct elmo_model *model = NULL;
    struct elmo_session *session = NULL;
    struct elmo_sentence sentences[N_SENTENCES] = {0};
    struct outputs outputs[N_SENTENCES];
    struct errors errors = {.least_cosine = {1, 1, 1}};
    if (elmo_model_open(&model, model_path, NULL, &err) || elmo_session_new(&session, model, &err))
        fail_msg("%s", err.message);
    for (size_t k = 0; k < N_SENTENCES; k++) {
        sentences[k].tokens = fixture.expected[k].tokens;
        sentences[k].n_tokens = fixture.expected[k].n_tokens;
        outputs_attach(&outputs[k], &sentences[k], model,
                       WANT_LAYERS | WANT_POOLED | WANT_PROBABILITIES);
    }
    if (elmo_session_run(session, sentences, N_SENTENCES, &err))
        fail_msg("%s", err.message);
    for (size_t k = 0; k < N_SENTENCES; k++) {
        compare_sentence(&errors, &fixture.expected[k], &outputs[k]);
        outputs_done(&outputs[k]);
    }
    elmo_session_free(session);
    elmo_model_free(model);
    for (size_t layer = 0; layer < N_LAYERS; layer++)
        print_message("layer %zu: max abs error %.1e, least cosine %.6f\n", layer,
                      errors.layer[layer], errors.least_cosine[layer]);
    print_message("probability: max abs error %.1e; logit: %.1e; norm of default: %.1e; "
                  "labels that differ: %zu of %d\n",
                  errors.probability, errors.logit, errors.default_norm, errors.n_other_label,
                  N_SENTENCES);
    return errors;
}

static struct errors convert_and_run(enum st_dtype dtype)
{
    struct temp_dir dir;
    temp_dir_init(&dir);
    AUTO(mem_free) char *out = temp_path(&dir, "interim.safetensors");
    AUTO(mem_free) char *options = shared_path(FOLDER "options.json");
    AUTO(mem_free) char *weights = shared_path(FOLDER "weights.hdf5");
    AUTO(mem_free) char *sentiment = shared_path(FOLDER "sentiment.hdf5");
    const struct import_job job = {.options = options,
                                   .weights = weights,
                                   .sentiment = sentiment,
                                   .out = out,
                                   .name = "interim",
                                   .tokenizer = "unicode",
                                   .dtype = dtype};
    struct elmo_error err = {0};
    if (import_run(&job, NULL, &err))
        fail_msg("%s", err.message);
    struct errors errors = run_all(out);
    temp_dir_done(&dir);
    return errors;
}

static void float32_conversion_gives_the_reference(void **state)
{
    (void)state;
    need_fixture();
    struct errors errors = convert_and_run(ST_F32);
    for (size_t layer = 0; layer < N_LAYERS; layer++)
        assert_true(errors.layer[layer] <= 1e-4);
    assert_true(errors.probability <= 1e-4);
    assert_true(errors.logit <= 1e-4);
    assert_true(errors.default_norm <= 1e-4);
    assert_int_equal(errors.n_other_label, 0);
}

/* The bounds are the measured errors, 1.6e-2, 5.2e-3, 6.4e-3 and 0.15, and half as much again. */
static void bfloat16_weights_cost_what_readme_says(void **state)
{
    (void)state;
    need_fixture();
    struct errors errors = convert_and_run(ST_BF16);
    static const double bounds[N_LAYERS] = {2.4e-2, 8e-3, 1e-2};
    for (size_t layer = 0; layer < N_LAYERS; layer++) {
        assert_true(errors.layer[layer] <= bounds[layer]);
        assert_true(errors.least_cosine[layer] >= 0.99999);
    }
    assert_true(errors.logit <= 0.23);
    assert_true(errors.probability <= 0.036);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_conversion_gives_the_reference),
        cmocka_unit_test(bfloat16_weights_cost_what_readme_says),
    };
    int r = cmocka_run_group_tests_name("interim", tests, set_up, tear_down);
    return r || fixture.json ? r : 77; /* meson's word for skipped */
}

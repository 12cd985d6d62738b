/* What computing in bf16 and in int8 costs: the default model against itself in float32, on the
 * sentences of the benchmarks. The limits are what README promises. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "elmo.h"
#include "reference/outputs.h"

#define N_LAYERS 3 /* of the default model, with layer 0 */
#define MAX_LINE 4096

struct side { /* a model in one type, and its outputs for the sentence at hand */
    struct elmo_model *model;
    struct elmo_session *session;
    float *layers[N_LAYERS], *pooled, probabilities[2];
};

static void side_init(struct side *s, enum elmo_dtype dtype, const char *name)
{
    const struct elmo_model_settings settings = {.dtype = dtype};
    assert_int_equal(elmo_model_open_default(&s->model, &settings, NULL), 0);
    assert_string_equal(elmo_model_info(s->model)->compute_dtype, name);
    assert_int_equal(elmo_session_new(&s->session, s->model, NULL), 0);
}

static void side_run(struct side *s, const struct elmo_token *tokens, size_t n_tokens)
{
    size_t dim = elmo_model_info(s->model)->layer_dim;
    for (size_t k = 0; k < N_LAYERS; k++)
        assert_non_null(s->layers[k] = calloc(n_tokens * dim, sizeof(float)));
    assert_non_null(s->pooled = calloc(dim, sizeof(float)));
    const struct elmo_sentence sentence = {.tokens = tokens,
                                           .n_tokens = n_tokens,
                                           .layers = s->layers,
                                           .pooled = s->pooled,
                                           .probabilities = s->probabilities};
    assert_int_equal(elmo_session_run(s->session, &sentence, 1, NULL), 0);
}

static void side_forget(struct side *s)
{
    for (size_t k = 0; k < N_LAYERS; k++)
        free(s->layers[k]);
    free(s->pooled);
}

static void side_done(struct side *s)
{
    elmo_session_free(s->session);
    elmo_model_free(s->model);
}

struct cost {
    double squares[N_LAYERS], errors[N_LAYERS]; /* sums of squares */
    double least_cosine, most_probability;
};

static void add_costs(struct cost *cost, const struct side *exact, const struct side *other,
                      size_t n_tokens)
{
    const struct elmo_model_info *info = elmo_model_info(exact->model);
    for (size_t k = 0; k < N_LAYERS; k++)
        for (size_t i = 0; i < n_tokens * (k ? info->layer_dim : info->token_dim); i++) {
            double value = (double)exact->layers[k][i];
            cost->squares[k] += value * value;
            cost->errors[k] += pow((double)other->layers[k][i] - value, 2);
        }
    cost->least_cosine =
        fmin(cost->least_cosine, cosine(exact->pooled, other->pooled, info->layer_dim));
    cost->most_probability = fmax(cost->most_probability, fabs((double)other->probabilities[0] -
                                                               (double)exact->probabilities[0]));
}

static void measure(struct cost *ret, enum elmo_dtype dtype, const char *name)
{
    char path[4096], line[MAX_LINE];
    struct side exact, other;
    size_t n_sentences = 0;
    snprintf(path, sizeof path, "%s/tests/bench/sentences.txt", getenv("ELMOD_SOURCE_ROOT"));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    side_init(&exact, ELMO_DTYPE_F32, "f32");
    side_init(&other, dtype, name);
    *ret = (struct cost){.least_cosine = 1};
    while (fgets(line, sizeof line, f)) {
        struct elmo_token *tokens = NULL;
        size_t n_tokens;
        assert_int_equal(elmo_tokenize(exact.model, line, strlen(line), &tokens, &n_tokens, NULL),
                         0);
        if (n_tokens) {
            side_run(&exact, tokens, n_tokens);
            side_run(&other, tokens, n_tokens);
            add_costs(ret, &exact, &other, n_tokens);
            side_forget(&exact);
            side_forget(&other);
            n_sentences++;
        }
        free(tokens);
    }
    fclose(f);
    side_done(&exact);
    side_done(&other);
    assert_true(n_sentences >= 50);
    print_message("%s: relative error of layers 0, 1 and 2 %.1e %.1e %.1e, least cosine of "
                  "sentences %.6f, most of a probability %.1e\n",
                  name, sqrt(ret->errors[0] / ret->squares[0]),
                  sqrt(ret->errors[1] / ret->squares[1]), sqrt(ret->errors[2] / ret->squares[2]),
                  ret->least_cosine, ret->most_probability);
}

static void check(enum elmo_dtype dtype, const char *name, double most_error, double least_cosine,
                  double most_probability)
{
    struct cost cost;
    measure(&cost, dtype, name);
    for (size_t k = 0; k < N_LAYERS; k++)
        assert_true(sqrt(cost.errors[k] / cost.squares[k]) < most_error);
    assert_true(cost.least_cosine > least_cosine);
    assert_true(cost.most_probability < most_probability);
}

static void float32_is_exact(void **state)
{
    (void)state;
    check(ELMO_DTYPE_F32, "f32", 1e-12, 1 - 1e-12, 1e-12);
}

static void bf16_costs_little(void **state)
{
    (void)state;
    check(ELMO_DTYPE_BF16, "bf16", 0.005, 0.9999, 0.01);
}

static void int8_costs_a_little_more(void **state)
{
    (void)state;
    check(ELMO_DTYPE_INT8, "int8", 0.03, 0.999, 0.03);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_is_exact),
        cmocka_unit_test(bf16_costs_little),
        cmocka_unit_test(int8_costs_a_little_more),
    };
    return cmocka_run_group_tests_name("precision", tests, NULL, NULL);
}

/* The values of each token in /score and in /sentiment with "explain". test_reply.c tests that such
 * answers may be cut anywhere. */
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "batch/job.h"
#include "body/reply.h"
#include "support/fake_elmo.h"

struct fixture { /* owned: tear_down */
    struct elmo_model *model;
    struct request *request;
    struct elmo_sentence sentences[4];
    struct job job;
    json_t *json;
};

/* Parses, and runs the fake. */
static void set_up(struct fixture *f, enum request_kind kind, const char *body)
{
    const struct request_limits limits = {4, 1000, 1000};
    struct problem problem = {0};
    struct elmo_session *session;
    *f = (struct fixture){.model = fake_elmo_model(&(struct fake_elmo){0})};
    if (!request_parse(&f->request, kind, body, strlen(body), f->model, &limits, &problem))
        fail_msg("%s", problem.detail);
    for (size_t i = 0; i < f->request->n_inputs; i++) {
        f->sentences[i].tokens = f->request->inputs[i].tokens;
        f->sentences[i].n_tokens = f->request->inputs[i].n_tokens;
    }
    f->job = (struct job){.sentences = f->sentences,
                          .n_sentences = f->request->n_inputs,
                          .n_tokens = f->request->n_tokens,
                          .wants = {.probabilities = kind == REQUEST_SENTIMENT,
                                    .attributions = f->request->attributions,
                                    .log_probs = kind == REQUEST_SCORE}};
    assert_true(job_place_outputs(&f->job, f->model));
    assert_int_equal(elmo_session_new(&session, f->model, NULL), 0);
    assert_int_equal(elmo_session_run(session, f->sentences, f->job.n_sentences, NULL), 0);
    elmo_session_free(session);
}

static void answer(struct fixture *f)
{
    struct reply reply = {0};
    assert_true(reply_begin(&reply, REPLY_JSON, f->model, f->request, f->sentences));
    assert_true(reply_write_ahead(&reply, SIZE_MAX));
    assert_false(reply.ahead.failed);
    f->json = json_loadb(reply.ahead.bytes, reply.ahead.n_bytes, JSON_REJECT_DUPLICATES, NULL);
    if (!f->json)
        fail_msg("%.*s", (int)reply.ahead.n_bytes, reply.ahead.bytes);
    reply_done(&reply);
}

static void tear_down(struct fixture *f)
{
    json_decref(f->json);
    job_release_outputs(&f->job);
    request_free(f->request);
}

static const json_t *item(const struct fixture *f, size_t i)
{
    return json_array_get(json_object_get(f->json, "data"), i);
}

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void assert_numbers(const json_t *array, const double *expected, size_t n)
{
    assert_int_equal(json_array_size(array), n);
    for (size_t k = 0; k < n; k++)
        assert_true(json_number_value(json_array_get(array, k)) == expected[k]);
}

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-6 * fabs(expected)))
        fail_msg("%.9g, expected %.9g", found, expected);
}

/* ---- /score ---- */

static void scores_come_with_their_perplexities(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_SCORE, "{\"inputs\":[\"a xa b\",\"\"]}");
    answer(&f);
    static const double forward[] = {-1, -2, -3}, backward[] = {-11, -12, -13}, unknown[] = {1};
    const json_t *full = item(&f, 0), *empty = item(&f, 1);
    assert_int_equal(json_object_size(full), 7);
    assert_int_equal(json_array_size(json_object_get(full, "tokens")), 3);
    assert_true(json_is_false(json_object_get(full, "truncated")));
    assert_numbers(json_object_get(full, "unknown"), unknown, 1);
    const json_t *sides[] = {json_object_get(full, "forward"), json_object_get(full, "backward")};
    assert_numbers(json_object_get(sides[0], "log_probs"), forward, 3);
    assert_numbers(json_object_get(sides[1], "log_probs"), backward, 3);
    assert_true(number(sides[0], "end_log_prob") == -0.5);
    assert_true(number(sides[1], "end_log_prob") == -10.5);
    assert_near(number(sides[0], "perplexity"), exp(6.5 / 4));
    assert_near(number(sides[1], "perplexity"), exp(46.5 / 4));
    assert_near(number(full, "perplexity"), exp((6.5 + 46.5) / 8));
    sides[0] = json_object_get(empty, "forward");
    assert_numbers(json_object_get(empty, "unknown"), NULL, 0);
    assert_numbers(json_object_get(sides[0], "log_probs"), NULL, 0);
    assert_near(number(sides[0], "perplexity"), exp(0.5));
    assert_near(number(empty, "perplexity"), exp((0.5 + 10.5) / 2));
    assert_true(number(json_object_get(f.json, "usage"), "tokens") == 3);
    tear_down(&f);
}

static void offsets_of_scored_tokens_are_there_where_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_SCORE, "{\"inputs\":\"a xa b\",\"offsets\":\"bytes\",\"max_tokens\":2}");
    answer(&f);
    static const double second[] = {2, 4};
    const json_t *offsets = json_object_get(item(&f, 0), "offsets");
    assert_int_equal(json_array_size(offsets), 2);
    assert_numbers(json_array_get(offsets, 1), second, 2);
    assert_true(json_is_true(json_object_get(item(&f, 0), "truncated")));
    assert_int_equal(json_object_size(item(&f, 0)), 8);
    tear_down(&f);
}

static void a_perplexity_beyond_float32_is_still_a_number(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_SCORE, "{\"inputs\":\"a\"}");
    f.sentences[0].log_probs[0][0] = -FLT_MAX;
    f.sentences[0].log_probs[1][0] = -200;
    answer(&f);
    const json_t *only = item(&f, 0);
    assert_near(number(only, "perplexity"), (double)FLT_MAX);
    assert_near(number(json_object_get(only, "forward"), "perplexity"), (double)FLT_MAX);
    assert_near(number(json_object_get(only, "backward"), "perplexity"), (double)FLT_MAX);
    tear_down(&f);
}

/* More than one step writes. */
static void long_texts_have_all_their_scores(void **state)
{
    (void)state;
    enum { N = 999 };
    struct fixture f;
    char body[3 * N + 40] = "{\"inputs\":\"";
    for (size_t k = 0; k < N; k++)
        strcat(body, k % 2 ? "x " : "a ");
    strcat(body, "\"}");
    set_up(&f, REQUEST_SCORE, body);
    answer(&f);
    static double expected[N], unknown[N / 2];
    for (size_t k = 0; k < N; k++)
        expected[k] = -(double)(k + 11);
    for (size_t k = 0; k < N / 2; k++)
        unknown[k] = (double)(2 * k + 1);
    const json_t *backward = json_object_get(item(&f, 0), "backward");
    assert_numbers(json_object_get(backward, "log_probs"), expected, N);
    assert_numbers(json_object_get(item(&f, 0), "unknown"), unknown, N / 2);
    tear_down(&f);
}

/* ---- /sentiment ---- */

static void an_explanation_names_its_label_and_method(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, REQUEST_SENTIMENT, "{\"inputs\":[\"a bcd\",\"\"],\"explain\":true}");
    answer(&f);
    static const double attributions[] = {1, 3};
    const json_t *full = item(&f, 0), *empty = item(&f, 1);
    assert_int_equal(json_object_size(full), 8);
    assert_int_equal(json_array_size(json_object_get(full, "tokens")), 2);
    assert_numbers(json_object_get(full, "attributions"), attributions, 2);
    assert_numbers(json_object_get(empty, "attributions"), NULL, 0);
    const json_t *explanation = json_object_get(full, "explanation");
    assert_int_equal(json_object_size(explanation), 4);
    assert_string_equal(json_string_value(json_object_get(explanation, "label")), "positive");
    assert_string_equal(json_string_value(json_object_get(explanation, "method")),
                        "integrated_gradients");
    assert_true(number(explanation, "bias") == -1);
    assert_true(number(explanation, "logit") == -2);
    tear_down(&f);
}

/* Of two labels it is always the second, of more the most probable one. */
static void of_many_labels_the_best_is_explained(void **state)
{
    (void)state;
    static const char *const labels[] = {"bad", "fair", "good"};
    static const struct {
        float probabilities[3];
        const char *label;
    } cases[] = {{{0.5F, 0.25F, 0.25F}, "bad"},
                 {{0.1F, 0.5F, 0.4F}, "fair"},
                 {{0.2F, 0.4F, 0.4F}, "fair"},
                 {{0.2F, 0.3F, 0.5F}, "good"}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct fixture f;
        float probabilities[3];
        set_up(&f, REQUEST_SENTIMENT, "{\"inputs\":\"a\",\"explain\":true}");
        struct elmo_model_info *info = (struct elmo_model_info *)elmo_model_info(f.model);
        info->labels = labels;
        info->n_labels = 3;
        memcpy(probabilities, cases[k].probabilities, sizeof probabilities);
        f.sentences[0].probabilities = probabilities;
        answer(&f);
        const json_t *explanation = json_object_get(item(&f, 0), "explanation");
        assert_string_equal(json_string_value(json_object_get(explanation, "label")),
                            cases[k].label);
        assert_string_equal(json_string_value(json_object_get(item(&f, 0), "label")),
                            cases[k].label);
        tear_down(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_come_with_their_perplexities),
        cmocka_unit_test(offsets_of_scored_tokens_are_there_where_asked_for),
        cmocka_unit_test(a_perplexity_beyond_float32_is_still_a_number),
        cmocka_unit_test(long_texts_have_all_their_scores),
        cmocka_unit_test(an_explanation_names_its_label_and_method),
        cmocka_unit_test(of_many_labels_the_best_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

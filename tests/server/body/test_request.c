#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "body/request.h"
#include "fuzz/request_property.h"
#include "protocol/dialect.h"
#include "request_cases.h"
#include "support/fail_alloc.h"
#include "support/fake_elmo.h"

static const struct request_limits limits = {CASES_MAX_INPUTS, CASES_MAX_TOKENS,
                                             CASES_MAX_REQUEST_TOKENS};

static enum request_kind kind_of(const char *path)
{
    if (dialect_of_path(path) != DIALECT_NATIVE)
        return dialect_of_path(path) == DIALECT_OPENAI ? REQUEST_OPENAI : REQUEST_OIP;
    if (strcmp(path, "/sentiment") == 0)
        return REQUEST_SENTIMENT;
    if (strcmp(path, "/score") == 0)
        return REQUEST_SCORE;
    return strcmp(path, "/tokenize") == 0 ? REQUEST_TOKENIZE : REQUEST_EMBED;
}

/* Parses a copy of exactly n bytes, so that a sanitizer sees every step beyond it. */
static struct request *parse_bytes(enum request_kind kind, const char *body, size_t n,
                                   struct problem *problem)
{
    struct request *request = NULL;
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, body, n);
    *problem = (struct problem){0};
    bool ok = request_parse(&request, kind, copy, n, fake_elmo_model(&(struct fake_elmo){0}),
                            &limits, problem);
    free(copy);
    assert_int_equal(ok, request != NULL);
    assert_int_equal(ok, problem->code == PROBLEM_NONE);
    return request;
}

static struct request *parse(enum request_kind kind, const char *body)
{
    struct problem problem;
    struct request *request = parse_bytes(kind, body, strlen(body), &problem);
    if (!request)
        fail_msg("%s: %s", body, problem.detail);
    return request;
}

/* ---- The cases ---- */

static void check_case(const json_t *c, void *arg)
{
    (void)arg;
    const char *name = json_string_value(json_object_get(c, "name"));
    const char *path = json_string_value(json_object_get(c, "path"));
    json_int_t status = json_integer_value(json_object_get(c, "status"));
    struct problem problem;
    size_t n_bytes;
    char *body = request_case_body(c, &n_bytes);
    AUTO(request_free) struct request *r = parse_bytes(kind_of(path), body, n_bytes, &problem);
    free(body);
    if ((status == 200) != (r != NULL))
        fail_msg("%s: %s", name, r ? "it was taken" : problem.detail);
    if (r) {
        assert_int_equal(r->n_inputs, json_integer_value(json_object_get(c, "inputs")));
        assert_int_equal(r->n_tokens, json_integer_value(json_object_get(c, "tokens")));
        return;
    }
    if (strcmp(problem_code_text(problem.code), json_string_value(json_object_get(c, "code"))) != 0)
        fail_msg("%s: %s", name, problem_code_text(problem.code));
    assert_int_equal(dialect_status(dialect_of_path(path), problem.code), status);
    assert_true(problem.n_errors > 0);
    if (strcmp(problem.errors[0].pointer.text, json_string_value(json_object_get(c, "pointer"))) !=
        0)
        fail_msg("%s: %s", name, problem.errors[0].pointer.text);
    assert_int_equal(problem.has_limit, json_object_get(c, "limit") != NULL);
    assert_int_equal(problem.limit, json_integer_value(json_object_get(c, "limit")));
    assert_int_equal(problem.actual, json_integer_value(json_object_get(c, "actual")));
}

static void every_case_is_answered_as_it_says(void **state)
{
    (void)state;
    assert_true(request_cases_for_each(check_case, NULL) > 200);
}

/* ---- Good requests ---- */

static void assert_token(const struct request *r, size_t input, size_t token, const char *text)
{
    assert_true(token < r->inputs[input].n_tokens);
    const struct elmo_token *t = &r->inputs[input].tokens[token];
    assert_int_equal(t->n_bytes, strlen(text));
    assert_memory_equal(t->bytes, text, t->n_bytes);
}

static void texts_are_tokenised(void **state)
{
    (void)state;
    AUTO(request_free) struct request *r = parse(REQUEST_EMBED, "{\"inputs\":[\"a bc\",\"\"]}");
    assert_int_equal(r->inputs[0].n_tokens, 2);
    assert_token(r, 0, 0, "a");
    assert_token(r, 0, 1, "bc");
    assert_string_equal(r->inputs[0].text, "a bc");
    assert_ptr_equal(r->inputs[0].tokens[1].bytes, r->inputs[0].text + 2);
    assert_int_equal(r->inputs[1].n_tokens, 0);
    assert_false(r->inputs[0].truncated);
}

static void tokens_are_taken_untouched(void **state)
{
    (void)state;
    AUTO(request_free)
    struct request *r = parse(REQUEST_EMBED, "{\"inputs\":[[\"a b\",\"\",\"\\u00e9\"]]}");
    assert_int_equal(r->inputs[0].n_tokens, 3);
    assert_null(r->inputs[0].text);
    assert_token(r, 0, 0, "a b");
    assert_token(r, 0, 1, "");
    assert_token(r, 0, 2, "\xc3\xa9");
}

static void truncation_is_told_per_input(void **state)
{
    (void)state;
    AUTO(request_free)
    struct request *r = parse(REQUEST_EMBED, "{\"inputs\":[\"1 2 3\",\"1 2\"],\"max_tokens\":2}");
    assert_true(r->inputs[0].truncated);
    assert_int_equal(r->inputs[0].n_tokens, 2);
    assert_false(r->inputs[1].truncated);
}

/* A request waits in the queue, which counts the tokens that are left. */
static void what_truncation_cuts_off_takes_no_memory(void **state)
{
    (void)state;
    AUTO(request_free)
    struct request *lists =
        parse(REQUEST_EMBED, "{\"inputs\":[[\"a\"],[\"b\",\"c\",\"d\"]],\"max_tokens\":2}");
    const json_t *inputs = json_object_get(lists->body, "inputs");
    assert_int_equal(json_array_size(json_array_get(inputs, 1)), 2);
    assert_memory_equal(lists->inputs[1].tokens[1].bytes, "c", 1);

    AUTO(request_free)
    struct request *texts = parse(REQUEST_EMBED, "{\"max_tokens\":1,\"inputs\":"
                                                 "\"a a a a a a a a a a a a a a a a a a a a\"}");
    assert_true(malloc_usable_size(texts->inputs[0].tokens) < 4 * sizeof(struct elmo_token));
}

static void defaults_are_those_of_the_contract(void **state)
{
    (void)state;
    AUTO(request_free) struct request *r = parse(REQUEST_EMBED, "{\"inputs\":\"a\"}");
    assert_true(r->elmo && r->pooled);
    assert_false(r->layers[0] || r->layers[1] || r->layers[2]);
    assert_int_equal(r->pooling, ELMO_POOL_MEAN);
    assert_false(r->has_mix);
    assert_false(r->normalize);
    assert_true(r->truncate);
    assert_int_equal(r->max_tokens, CASES_MAX_TOKENS);
    assert_int_equal(r->offsets, OFFSETS_NONE);
    assert_false(r->base64);
}

static void outputs_are_only_those_named(void **state)
{
    (void)state;
    AUTO(request_free)
    struct request *r =
        parse(REQUEST_EMBED, "{\"outputs\":[\"lstm_outputs2\",\"word_emb\"],\"inputs\":\"a\"}");
    assert_true(r->layers[0]);
    assert_false(r->layers[1]);
    assert_true(r->layers[2]);
    assert_false(r->elmo);
    assert_false(r->pooled);
}

static void the_mix_is_taken_over(void **state)
{
    (void)state;
    AUTO(request_free)
    struct request *r =
        parse(REQUEST_EMBED, "{\"inputs\":\"a\",\"mix\":{\"weights\":[0.5,-1,2e3],"
                             "\"weights_are\":\"normalized\",\"gamma\":0.25,\"layer_norm\":true}}");
    assert_true(r->has_mix);
    assert_ptr_equal(r->mix.weights, r->mix_weights);
    const float weights[] = {0.5F, -1, 2e3F};
    assert_memory_equal(r->mix.weights, weights, sizeof weights);
    assert_true(r->mix.normalized);
    assert_true(r->mix.layer_norm);
    assert_float_equal(r->mix.gamma, 0.25F, 0);
}

static void a_mix_without_weights_weighs_all_layers_alike(void **state)
{
    (void)state;
    AUTO(request_free)
    struct request *r = parse(REQUEST_EMBED, "{\"inputs\":\"a\",\"mix\":{\"layer_norm\":true}}");
    assert_true(r->has_mix);
    assert_null(r->mix.weights);
    assert_float_equal(r->mix.gamma, 1, 0);
}

static void choices_become_their_values(void **state)
{
    (void)state;
    AUTO(request_free)
    struct request *r =
        parse(REQUEST_EMBED, "{\"inputs\":\"a\",\"pooling\":\"max\",\"offsets\":\"codepoints\","
                             "\"encoding_format\":\"base64\",\"normalize\":true}");
    assert_int_equal(r->pooling, ELMO_POOL_MAX);
    assert_int_equal(r->offsets, OFFSETS_CODEPOINTS);
    assert_true(r->base64);
    assert_true(r->normalize);
}

static void outputs_have_the_names_of_tf_hub(void **state)
{
    (void)state;
    static const struct {
        size_t output, n_layers;
        const char *name;
    } cases[] = {
        {0, 0, "word_emb"},
        {0, 2, "word_emb"},
        {12, 12, "lstm_outputs12"},
        {2 + OUTPUT_ELMO, 2, "elmo"},
        {12 + OUTPUT_DEFAULT, 12, "default"},
        {2 + OUTPUT_WORD_VEC, 2, "word_vec"},
        {2 + N_OUTPUTS_AFTER_LAYERS, 2, "word_vec_elmo"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char layer[LAYER_NAME_MAX];
        assert_string_equal(request_output_name(cases[i].output, cases[i].n_layers, layer),
                            cases[i].name);
    }
}

static void openai_wants_one_vector_for_each_text(void **state)
{
    (void)state;
    AUTO(request_free)
    struct request *r = parse(REQUEST_OPENAI, "{\"model\":\"fake \\\"elmo\\\"\",\"input\":\"a b\","
                                              "\"encoding_format\":\"base64\"}");
    assert_true(r->pooled && r->base64);
    assert_false(r->elmo || r->probabilities || r->truncate || r->normalize || r->has_mix);
    assert_int_equal(r->pooling, ELMO_POOL_MEAN);
    assert_token(r, 0, 1, "b");
}

#define OIP_INPUT                                                                              \
    "\"inputs\":[{\"name\":\"text\",\"shape\":[2,1],\"datatype\":\"BYTES\",\"data\":[[\"a\"]," \
    "\"b c\"]}]"

static void oip_wants_the_outputs_named_or_all(void **state)
{
    (void)state;
    static const struct {
        const char *outputs;
        bool pooled, probabilities;
    } cases[] = {
        {"null", true, true},
        {"[]", true, true},
        {"[{\"name\":\"default\"}]", true, false},
        {"[{\"name\":\"sentiment\"}]", false, true},
        {"[{\"name\":\"sentiment\"},{\"name\":\"default\"}]", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[500];
        snprintf(body, sizeof body, "{\"id\":\"7\",\"outputs\":%s," OIP_INPUT "}",
                 cases[i].outputs);
        AUTO(request_free) struct request *r = parse(REQUEST_OIP, body);
        assert_int_equal(r->pooled, cases[i].pooled);
        assert_int_equal(r->probabilities, cases[i].probabilities);
        assert_false(r->elmo || r->truncate);
        assert_string_equal(r->id, "7");
        assert_string_equal(r->inputs[0].text, "a");
        assert_token(r, 1, 1, "c");
    }
}

static void without_a_head_oip_has_no_sentiment(void **state)
{
    (void)state;
    static const char body[] = "{\"outputs\":[{\"name\":\"sentiment\"}]," OIP_INPUT "}";
    static const char all[] = "{" OIP_INPUT "}";
    struct elmo_model *model = fake_elmo_model(&(struct fake_elmo){.without_head = true});
    struct problem problem = {0};
    AUTO(request_free) struct request *r = NULL;
    assert_false(request_parse(&r, REQUEST_OIP, body, strlen(body), model, &limits, &problem));
    assert_string_equal(problem.errors[0].pointer.text, "#/outputs/0/name");
    problem = (struct problem){0};
    assert_true(request_parse(&r, REQUEST_OIP, all, strlen(all), model, &limits, &problem));
    assert_true(r->pooled);
    assert_false(r->probabilities);
    assert_null(r->id);
}

/* ---- Bad requests ---- */

static void several_places_are_named_at_once(void **state)
{
    (void)state;
    const char *body = "{\"inputs\":[\"a\",1,2],\"pooling\":\"min\",\"x\":1}";
    struct problem problem;
    assert_null(parse_bytes(REQUEST_EMBED, body, strlen(body), &problem));
    assert_int_equal(problem.n_errors, 4);
    assert_string_equal(problem.errors[0].pointer.text, "#/x");
    assert_string_equal(problem.errors[1].pointer.text, "#/pooling");
    assert_string_equal(problem.errors[2].pointer.text, "#/inputs/1");
    assert_string_equal(problem.errors[3].pointer.text, "#/inputs/2");
    assert_int_equal(problem.code, PROBLEM_UNKNOWN_FIELD);
}

static void details_never_repeat_the_body(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"inputs\":\"a\",\"pooling\":\"SECRET\"}",
        "{\"inputs\":\"a\",\"outputs\":[\"SECRET\"]}",
        "{\"inputs\":\"SECRET",
        "SECRET",
        "{\"inputs\":SECRET}",
        "{\"SECRET\":1,\"SECRET\":1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct problem problem;
        assert_null(parse_bytes(REQUEST_EMBED, bodies[i], strlen(bodies[i]), &problem));
        assert_null(strstr(problem.detail, "SECRET"));
        for (size_t k = 0; k < problem.n_errors; k++)
            assert_null(strstr(problem.errors[k].detail, "SECRET"));
    }
}

/* Every allocation may fail: the result is a problem, without a leak or a crash. */
static void memory_that_runs_out_is_our_problem(void **state)
{
    (void)state;
    static const struct { /* the body is wrong in the end */
        enum request_kind kind;
        enum problem_code code;
        const char *body;
    } cases[] = {
        {REQUEST_EMBED, PROBLEM_UNKNOWN_FIELD,
         "{\"inputs\":[\"a b\",\"c\"],\"mix\":{\"weights\":[1,2,3]},\"x\":1.5}"},
        {REQUEST_OPENAI, PROBLEM_MODEL_NOT_FOUND, "{\"input\":[\"a b\",\"c\"],\"model\":\"x\"}"},
        {REQUEST_OIP, PROBLEM_INVALID_VALUE, "{\"outputs\":[{\"name\":\"x\"}]," OIP_INPUT "}"},
    };
    const struct elmo_model *model = fake_elmo_model(&(struct fake_elmo){0});
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n_failed = 1, n_body = strlen(cases[i].body);
        for (size_t n_good = 0; n_failed > 0; n_good++) {
            struct request *request = NULL;
            struct problem problem = {0};
            fail_alloc_after(n_good);
            bool ok = request_parse(&request, cases[i].kind, cases[i].body, n_body, model, &limits,
                                    &problem);
            n_failed = fail_alloc_stop();
            assert_false(ok);
            if (problem.code != cases[i].code) {
                assert_int_equal(problem.code, PROBLEM_INTERNAL);
                assert_true(n_failed > 0);
            }
            assert_true(n_good < 1000);
        }
    }
}

/* ---- Mutations: what a fuzzer would try first, every time ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t mutate(char *body, size_t n, size_t capacity, uint64_t *random)
{
    static const char *const pieces[] = {"\"",   "[",       "]",  "{",    "}",        ":",   ",",
                                         "null", "\\u0000", "-0", "1e99", "\"mix\":", "\xff"};
    size_t n_edits = 1 + next_random(random) % 3;
    for (size_t i = 0; i < n_edits; i++) {
        size_t at = n ? next_random(random) % n : 0;
        const char *piece = pieces[next_random(random) % ARRAY_LEN(pieces)];
        size_t n_piece = strlen(piece);
        switch (next_random(random) % 4) {
        case 0:
            if (n > 0)
                body[at] = (char)next_random(random);
            break;
        case 1:
            if (n > 0) {
                memmove(body + at, body + at + 1, n - at - 1);
                n--;
            }
            break;
        case 2: n = at; break;
        default:
            if (n_piece <= capacity - n) {
                memmove(body + at + n_piece, body + at, n - at);
                memcpy(body + at, piece, n_piece);
                n += n_piece;
            }
        }
    }
    return n;
}

static void mutate_case(const json_t *c, void *arg)
{
    unsigned char input[4096];
    size_t n;
    char *original = request_case_body(c, &n);
    for (unsigned i = 0; i < 200 && n < sizeof input; i++) {
        input[0] = (unsigned char)next_random(arg); /* the path */
        memcpy(input + 1, original, n);
        check_request_property(input, 1 + mutate((char *)input + 1, n, sizeof input - 1, arg));
    }
    free(original);
}

static void mutated_requests_are_taken_or_refused(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252U;
    request_cases_for_each(mutate_case, &random);
}

static void what_a_fuzzer_found_stays_fixed(void **state)
{
    (void)state;
    assert_true(fuzz_corpus_for_each("fuzz_request", check_request_property) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_answered_as_it_says),
        cmocka_unit_test(texts_are_tokenised),
        cmocka_unit_test(tokens_are_taken_untouched),
        cmocka_unit_test(truncation_is_told_per_input),
        cmocka_unit_test(what_truncation_cuts_off_takes_no_memory),
        cmocka_unit_test(defaults_are_those_of_the_contract),
        cmocka_unit_test(outputs_are_only_those_named),
        cmocka_unit_test(the_mix_is_taken_over),
        cmocka_unit_test(a_mix_without_weights_weighs_all_layers_alike),
        cmocka_unit_test(choices_become_their_values),
        cmocka_unit_test(outputs_have_the_names_of_tf_hub),
        cmocka_unit_test(openai_wants_one_vector_for_each_text),
        cmocka_unit_test(oip_wants_the_outputs_named_or_all),
        cmocka_unit_test(without_a_head_oip_has_no_sentiment),
        cmocka_unit_test(several_places_are_named_at_once),
        cmocka_unit_test(details_never_repeat_the_body),
        cmocka_unit_test(memory_that_runs_out_is_our_problem),
        cmocka_unit_test(mutated_requests_are_taken_or_refused),
        cmocka_unit_test(what_a_fuzzer_found_stays_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

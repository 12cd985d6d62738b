#include "request_property.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "body/reply.h"
#include "body/request.h"
#include "protocol/dialect.h"
#include "support/fake_elmo.h"

enum { MAX_INPUTS = 4, MAX_TOKENS = 8, MAX_REQUEST_TOKENS = 20 };

#define REQUIRE(condition)                                 \
    do {                                                   \
        if (!(condition)) {                                \
            fprintf(stderr, "violated: %s\n", #condition); \
            abort();                                       \
        }                                                  \
    } while (0)

/* The text must be a JSON object without duplicate keys. */
static void require_json_object(const struct buffer *text)
{
    REQUIRE(!text->failed);
    json_t *json = json_loadb(text->bytes, text->n_bytes, JSON_REJECT_DUPLICATES, NULL);
    REQUIRE(json_is_object(json));
    json_decref(json);
}

/* The body of the problem must be JSON in every dialect. */
static void check_problem(struct problem *problem)
{
    unsigned status = problem_status(problem->code);
    REQUIRE(problem->code != PROBLEM_INTERNAL);
    REQUIRE(status == 400 || status == 413 || status == 422 ||
            problem->code == PROBLEM_MODEL_NOT_FOUND);
    REQUIRE(problem->n_errors > 0);
    problem->instance = problem->request_id = "";
    for (enum dialect dialect = DIALECT_NATIVE; dialect <= DIALECT_OIP; dialect++) {
        AUTO(buffer_done) struct buffer out = {0};
        dialect_write_problem(dialect, &out, problem);
        require_json_object(&out);
    }
}

static void check_request(const struct request *r, const struct elmo_model *model)
{
    size_t n_tokens = 0;
    REQUIRE(r->n_inputs >= 1 && r->n_inputs <= MAX_INPUTS);
    for (size_t i = 0; i < r->n_inputs; i++) {
        const struct request_input *input = &r->inputs[i];
        REQUIRE(input->n_tokens <= r->max_tokens);
        REQUIRE((input->text != NULL) == (r->inputs[0].text != NULL));
        n_tokens += input->n_tokens;
    }
    REQUIRE(r->max_tokens >= 1 && r->max_tokens <= MAX_TOKENS);
    REQUIRE(n_tokens == r->n_tokens && n_tokens <= MAX_REQUEST_TOKENS);
    struct request as_tokenize = *r;
    struct reply reply = {0};
    as_tokenize.kind = REQUEST_TOKENIZE;
    as_tokenize.attributions = as_tokenize.log_probs = false;
    REQUIRE(reply_begin(&reply, REPLY_JSON, model, &as_tokenize, NULL));
    REQUIRE(reply_write_ahead(&reply, SIZE_MAX));
    require_json_object(&reply.ahead);
    reply_done(&reply);
}

static enum request_kind kind_of(unsigned char byte)
{
    static const enum request_kind native[] = {REQUEST_EMBED, REQUEST_SENTIMENT, REQUEST_TOKENIZE,
                                               REQUEST_SCORE};
    if (byte < 128)
        return native[byte % ARRAY_LEN(native)];
    return byte < 192 ? REQUEST_OPENAI : REQUEST_OIP;
}

void check_request_property(const unsigned char *bytes, size_t n_bytes)
{
    const struct request_limits limits = {MAX_INPUTS, MAX_TOKENS, MAX_REQUEST_TOKENS};
    const struct elmo_model *model = fake_elmo_model(&(struct fake_elmo){0});
    struct problem problem = {0};
    struct request *request = NULL;
    if (n_bytes == 0)
        return;
    bool ok = request_parse(&request, kind_of(bytes[0]), (const char *)bytes + 1, n_bytes - 1,
                            model, &limits, &problem);
    REQUIRE(ok == (request != NULL) && ok == (problem.code == PROBLEM_NONE));
    if (ok)
        check_request(request, model);
    else
        check_problem(&problem);
    request_free(request);
}

#include "exchange.h"

#include "ops/metrics.h"
#include "route.h"
#include "service.h"

void exchange_done(struct exchange *x)
{
    job_release_outputs(&x->job);
    free(STEAL(x->sentences));
    request_free(STEAL(x->request));
    buffer_done(&x->body);
    buffer_done(&x->out);
    encoder_free(STEAL(x->encoder));
    inflate_free(STEAL(x->inflate));
    reply_done(&x->reply);
    budget_give(&x->service->answer_bytes, x->answer_bytes);
    live_model_release(STEAL(x->live));
}

/* Too much memory is gone for a body of the usual form. */
static void answer_without_body(struct exchange *x)
{
    x->status = 500;
    x->content_type = NULL;
    buffer_done(&x->out);
}

void exchange_answer_problem(struct exchange *x, struct problem *problem)
{
    struct service *service = x->service;
    enum dialect dialect = route_dialect(x->route);
    unsigned status = dialect_status(dialect, problem->code);
    problem->instance = x->path;
    problem->request_id = x->request_id;
    if (status == 429 || status == 503)
        problem->retry_after_ms = service->config->retry_after_ms;
    metrics_rejected(service->metrics, problem->code);
    x->retry_after_ms = problem->retry_after_ms;
    x->status = status;
    x->content_type = dialect_content_type(dialect);
    buffer_done(&x->out);
    dialect_write_problem(dialect, &x->out, problem);
    if (x->out.failed)
        answer_without_body(x);
}

void exchange_answer_code(struct exchange *x, enum problem_code code, const char *detail)
{
    struct problem problem = {0};
    problem_set(&problem, code, "%s", detail);
    exchange_answer_problem(x, &problem);
}

void exchange_answer_ok(struct exchange *x, const char *content_type)
{
    if (x->out.failed) {
        exchange_answer_code(x, PROBLEM_INTERNAL, "Out of memory.");
        return;
    }
    x->status = 200;
    x->content_type = content_type;
}

/* May a request go on? First by its headers (exchange_check), then while its body arrives, then,
 * for handlers, by the state of the model. Each check that fails makes its problem the answer. */
#include <string.h>
#include <strings.h>

#include "access.h"
#include "cors.h"
#include "exchange.h"
#include "negotiate.h"
#include "protocol/media.h"
#include "route.h"
#include "service.h"

/* ---- Headers ---- */

static bool is_allowed(const struct route *route, enum method method)
{
    if (route_takes_post(route))
        return method == METHOD_POST;
    return method == METHOD_GET || method == METHOD_HEAD;
}

static void check_media(struct exchange *x)
{
    const struct head *head = &x->head;
    const char *coding = head->content_encoding.value;
    x->accepts = media_coding(&head->accept_encoding);
    x->is_gzip =
        route_takes_post(x->route) && head->content_encoding.count == 1 && media_is_gzip(coding);
    bool is_json = head->content_type.count == 1 && media_is_json(head->content_type.value);
    if (head->binary_json_bytes.count > 0 && route_takes_post(x->route) &&
        route_dialect(x->route) == DIALECT_OIP)
        exchange_answer_code(x, PROBLEM_BAD_HEADER,
                             "Binary tensor data is not supported: send all of it as JSON, without "
                             "Inference-Header-Content-Length.");
    else if (!negotiate_path(x))
        return;
    else if (route_takes_post(x->route) && !is_json)
        exchange_answer_code(x, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                             "Content-Type must be application/json, in UTF-8.");
    else if (route_takes_post(x->route) && coding && !x->is_gzip &&
             strcasecmp(coding, "identity") != 0)
        exchange_answer_code(x, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                             "Of content codings, gzip alone is taken.");
}

static bool is_too_large(const struct exchange *x, uint64_t n_bytes)
{
    return n_bytes != UINT64_MAX && n_bytes > x->service->config->max_body_bytes;
}

void exchange_check(struct exchange *x)
{
    uint64_t n_bytes = head_body_bytes(&x->head);
    x->must_close = is_too_large(x, n_bytes);
    if (cors_answer_preflight(x) || !access_check(x))
        return;
    if (!x->route->allow) {
        exchange_answer_code(x, PROBLEM_NOT_FOUND, "There is nothing at this path.");
    } else if (!is_allowed(x->route, x->method)) {
        x->allow = x->route->allow;
        exchange_answer_code(x, PROBLEM_METHOD_NOT_ALLOWED,
                             "This path takes other methods; Allow names them.");
    } else if (is_too_large(x, n_bytes)) {
        exchange_body_too_large(x, n_bytes);
    } else {
        check_media(x);
    }
}

void exchange_body_late(struct exchange *x)
{
    x->must_close = true;
    exchange_answer_code(x, PROBLEM_BODY_TIMEOUT, "The body did not arrive in time.");
}

void exchange_body_too_large(struct exchange *x, uint64_t n_bytes)
{
    struct problem problem = {0};
    uint64_t max = x->service->config->max_body_bytes;
    problem_set_limit(&problem, PROBLEM_BODY_TOO_LARGE, max, n_bytes,
                      "The body is larger than %llu bytes.", (unsigned long long)max);
    x->must_close = true;
    exchange_answer_problem(x, &problem);
}

/* From here on the request has one and the same model, whatever is loaded meanwhile. */
void exchange_dispatch(struct exchange *x)
{
    x->live = live_models_use(x->service->models);
    if (exchange_body_is_whole(x))
        x->route->handle(x);
}

/* ---- The model ---- */

static enum service_state state_of(const struct exchange *x)
{
    return atomic_load_explicit(&x->service->state, memory_order_acquire);
}

static void answer_loading(struct exchange *x)
{
    exchange_answer_code(x, PROBLEM_LOADING, "The model is being loaded; try again soon.");
}

bool exchange_has_model(struct exchange *x)
{
    if (!x->live)
        answer_loading(x);
    return x->live != NULL;
}

bool exchange_is_ready(struct exchange *x)
{
    enum service_state state = state_of(x);
    if (state == SERVICE_LOADING)
        answer_loading(x);
    else if (state == SERVICE_DRAINING)
        exchange_answer_code(x, PROBLEM_DRAINING, "The server is shutting down.");
    return state == SERVICE_READY;
}

static bool is_text(const struct route_param *param, const char *text)
{
    return strlen(text) == param->n_bytes && memcmp(text, param->bytes, param->n_bytes) == 0;
}

bool exchange_names_model(struct exchange *x)
{
    const struct elmo_model_info *info = elmo_model_info(x->live->model);
    const struct route_param *version = &x->params.version;
    if (!is_text(&x->params.model, info->name))
        exchange_answer_code(x, PROBLEM_MODEL_NOT_FOUND, "There is no model of this name here.");
    else if (version->bytes && !is_text(version, info->sha256))
        exchange_answer_code(x, PROBLEM_MODEL_NOT_FOUND, "The model has no such version.");
    return x->status == 0;
}

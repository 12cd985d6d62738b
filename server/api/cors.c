#include "cors.h"

#include "protocol/origins.h"
#include "route.h"
#include "service.h"

/* Headers that scripts may send and read beside the harmless ones. The star is for those of SDKs;
 * it does not stand for Authorization. */
#define ALLOWED_HEADERS \
    "Authorization, Content-Type, X-API-Key, X-Request-Id, X-Request-Timeout-Ms, traceparent, *"
#define EXPOSED_HEADERS "X-Request-Id, Server-Timing, Retry-After"
#define MAX_AGE_S       "7200" /* more is cut to this by browsers */

static const char *list_of(const struct exchange *x)
{
    return x->service->config->cors_origins;
}

/* The origin that may read the answer, or NULL. */
static const char *reader_of(const struct exchange *x)
{
    const struct head_field *origin = &x->head.origin;
    return origin->count == 1 && origins_allow(list_of(x), origin->value) ? origin->value : NULL;
}

static bool is_preflight(const struct exchange *x)
{
    return x->method == METHOD_OPTIONS && x->head.requested_method.count > 0;
}

bool cors_answer_preflight(struct exchange *x)
{
    if (!is_preflight(x) || !reader_of(x) || !x->route->allow)
        return false;
    x->status = 204;
    return true;
}

/* With a list the answer depends on who asks, also where that is nobody: caches must know. */
bool cors_add_headers(const struct exchange *x,
                      bool (*add)(void *to, const char *name, const char *value), void *to)
{
    const char *list = list_of(x), *reader = reader_of(x);
    if (!*list)
        return true;
    if (!origins_are_any(list) && !add(to, "Vary", "Origin"))
        return false;
    if (!reader)
        return true;
    if (!add(to, "Access-Control-Allow-Origin", origins_are_any(list) ? "*" : reader))
        return false;
    if (x->status != 204)
        return add(to, "Access-Control-Expose-Headers", EXPOSED_HEADERS);
    return add(to, "Access-Control-Allow-Methods", x->route->allow) &&
           add(to, "Access-Control-Allow-Headers", ALLOWED_HEADERS) &&
           add(to, "Access-Control-Max-Age", MAX_AGE_S);
}

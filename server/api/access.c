#include "access.h"

#include <strings.h>

#include "api_keys.h"
#include "route.h"
#include "service.h"
#include "util/slice.h"

#define BLANKS " \t"

/* RFC 6750: the scheme's letters may be of either case, and at least one space follows. {0}: it is
 * another scheme. */
static struct slice bearer_of(const char *value)
{
    static const char scheme[] = "Bearer";
    struct slice field = slice_trim(slice_of(value), BLANKS);
    size_t n = sizeof scheme - 1;
    if (strncasecmp(field.bytes, scheme, n) != 0 || field.bytes[n] != ' ')
        return (struct slice){0};
    return slice_trim((struct slice){field.bytes + n, field.n_bytes - n}, BLANKS);
}

/* What is wrong, or NULL. Of two keys proxies may have looked at the other one. */
static const char *fault_of(const struct head *head, const struct api_keys *keys)
{
    const struct head_field *authorization = &head->authorization, *own = &head->api_key;
    if (authorization->count + own->count == 0)
        return "An API key is needed: Authorization: Bearer KEY.";
    if (authorization->count + own->count > 1)
        return "There must be one Authorization or X-API-Key alone.";
    struct slice key =
        own->count ? slice_trim(slice_of(own->value), BLANKS) : bearer_of(authorization->value);
    if (!key.bytes)
        return "Authorization must be: Bearer KEY.";
    return api_keys_has(keys, key.bytes, key.n_bytes) ? NULL : "The API key is not known.";
}

bool access_check(struct exchange *x)
{
    const struct api_keys *keys = x->service->api_keys;
    if (!keys || x->route->is_open)
        return true;
    const char *fault = fault_of(&x->head, keys);
    if (!fault)
        return true;
    uint64_t n_bytes = head_body_bytes(&x->head);
    if (n_bytes != UINT64_MAX && n_bytes > ACCESS_BODY_MAX)
        x->must_close = true;
    exchange_answer_code(x, PROBLEM_UNAUTHORIZED, fault);
    return false;
}

uint64_t access_body_max(const struct exchange *x)
{
    uint64_t max = x->service->config->max_body_bytes;
    bool refused = x->status != 0 && x->status == problem_status(PROBLEM_UNAUTHORIZED);
    return refused && max > ACCESS_BODY_MAX ? ACCESS_BODY_MAX : max;
}

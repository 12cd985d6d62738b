#pragma once
/* Who may ask for what: with API keys, every path that the route table does not call open takes a
 * request with one of them alone, as `Authorization: Bearer KEY` or `X-API-Key: KEY`. */
#include <stdint.h>

#include "exchange.h"

/* Of the body of a request that is refused for its key: more is not read before the answer. */
#define ACCESS_BODY_MAX 65536

/* Whether the request may go on. False: it is answered with 401, before its body is read but for a
 * short one, which is read to keep the connection. */
bool access_check(struct exchange *exchange);

/* Bytes of the body that may come now: ACCESS_BODY_MAX for one that was refused, else what the
 * configuration allows. */
uint64_t access_body_max(const struct exchange *exchange);

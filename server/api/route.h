#pragma once
/* The paths of the service and what answers at them: one table, in routes.c. */
#include "exchange.h"
#include "protocol/dialect.h"

struct route {
    /* Exact, or with names in braces; also its label in metrics and logs. */
    const char *path;
    const char *allow;           /* the Allow header: "POST" or "GET, HEAD" */
    bool is_open;                /* to all: takes requests without an API key */
    const char *const *produces; /* media types of which Accept must allow one, NULL-terminated;
                                    NULL: Accept is ignored */
    /* Answers the exchange, or leaves its status 0 and a job to submit. NULL where `allow` is:
     * exchange_check has answered. */
    void (*handle)(struct exchange *exchange);
};

extern const struct route routes[]; /* routes.c */
extern const size_t n_routes;

/* The route of a path, with what the path has in the places of {model}, any text that is not empty,
 * and {version}, one without a slash. Unknown paths have routes too, without `allow`: one for each
 * dialect, the last of the table for the native one. */
const struct route *route_find(const char *path, struct route_params *ret_params);
/* Its index in routes, as metrics count it. */
size_t route_index(const struct route *route);

enum dialect route_dialect(const struct route *route);
bool route_takes_post(const struct route *route);

#pragma once
/* The paths of the service and what answers at them: one table. */
#include "exchange.h"

struct route {
    const char *path;  /* exact, or with a {name} at its end; also its label in metrics and logs */
    const char *allow; /* the Allow header: "POST" or "GET, HEAD" */
    bool is_open;      /* to all: takes requests without an API key */
    const char *produces; /* media type that Accept must allow, NULL: Accept is ignored */
    /* Answers the exchange, or leaves its status 0 and a job to submit. NULL for the last route:
     * exchange_check has answered. */
    void (*handle)(struct exchange *exchange);
};

/* The route of a path; for an unknown one the last of the table, which has no `allow`. */
const struct route *route_find(const char *path);
/* Its index, as metrics count it, and the paths of the table in that order. */
size_t route_index(const struct route *route);
const char *const *route_paths(size_t *ret_n_paths);

bool route_takes_post(const struct route *route);

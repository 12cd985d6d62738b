#include "route.h"

#include <string.h>

#include "handlers.h"
#include "web.h"

#define JSON "application/json"

/* Who is let in where there are API keys (access.h). */
#define KEY  false
#define OPEN true

/* X(path, allow, access, produces, handler) */
#define ROUTES(X)                                               \
    X("/embed", "POST", KEY, JSON, handle_embed)                \
    X("/sentiment", "POST", KEY, JSON, handle_sentiment)        \
    X("/tokenize", "POST", KEY, JSON, handle_tokenize)          \
    X("/info", "GET, HEAD", KEY, JSON, handle_info)             \
    X("/health/live", "GET, HEAD", OPEN, NULL, handle_live)     \
    X("/health/ready", "GET, HEAD", OPEN, NULL, handle_ready)   \
    X("/health", "GET, HEAD", OPEN, NULL, handle_ready)         \
    X("/metrics", "GET, HEAD", OPEN, NULL, handle_metrics)      \
    X("/openapi.yaml", "GET, HEAD", OPEN, NULL, handle_openapi) \
    X("/", "GET, HEAD", OPEN, NULL, handle_web)                 \
    X("/docs", "GET, HEAD", OPEN, NULL, handle_web)             \
    X("/web/{file}", "GET, HEAD", OPEN, NULL, handle_web)       \
    X("other", NULL, KEY, NULL, NULL)

static const struct route routes[] = {
#define X(path, allow, access, produces, handler) {path, allow, access, produces, handler},
    ROUTES(X)
#undef X
};

static const char *const paths[] = {
#define X(path, ...) path,
    ROUTES(X)
#undef X
};

/* What is in braces at the end of a route stands for any text but the empty one. */
static bool matches(const char *route, const char *path)
{
    size_t n_fixed = strcspn(route, "{");
    if (route[n_fixed] == '\0')
        return strcmp(route, path) == 0;
    return strncmp(route, path, n_fixed) == 0 && path[n_fixed] != '\0';
}

const struct route *route_find(const char *path)
{
    size_t last = ARRAY_LEN(routes) - 1;
    for (size_t i = 0; i < last; i++) {
        if (matches(routes[i].path, path))
            return &routes[i];
    }
    return &routes[last];
}

size_t route_index(const struct route *route)
{
    return (size_t)(route - routes);
}

const char *const *route_paths(size_t *ret_n_paths)
{
    *ret_n_paths = ARRAY_LEN(paths);
    return paths;
}

bool route_takes_post(const struct route *route)
{
    return route->allow && strcmp(route->allow, "POST") == 0;
}

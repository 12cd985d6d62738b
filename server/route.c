#include "route.h"

#include <string.h>

#include "handlers.h"

#define JSON "application/json"

/* X(path, allow, produces, handler); of patterns that match the first counts. */
#define ROUTES(X)                                                                               \
    X("/embed", "POST", JSON, handle_embed)                                                     \
    X("/sentiment", "POST", JSON, handle_sentiment)                                             \
    X("/tokenize", "POST", JSON, handle_tokenize)                                               \
    X("/info", "GET, HEAD", JSON, handle_info)                                                  \
    X("/health/live", "GET, HEAD", NULL, handle_live)                                           \
    X("/health/ready", "GET, HEAD", NULL, handle_ready)                                         \
    X("/health", "GET, HEAD", NULL, handle_ready)                                               \
    X("/metrics", "GET, HEAD", NULL, handle_metrics)                                            \
    X("/openapi.yaml", "GET, HEAD", NULL, handle_openapi)                                       \
    X("/v1/embeddings", "POST", JSON, handle_openai_embeddings)                                 \
    X("/v1/models", "GET, HEAD", JSON, handle_openai_models)                                    \
    X("/v1/models/{model}", "GET, HEAD", JSON, handle_openai_model)                             \
    X("/v1/*", NULL, NULL, NULL)                                                                \
    X("/v2", "GET, HEAD", JSON, handle_oip_server)                                              \
    X("/v2/", "GET, HEAD", JSON, handle_oip_server)                                             \
    X("/v2/health/live", "GET, HEAD", NULL, handle_oip_live)                                    \
    X("/v2/health/ready", "GET, HEAD", NULL, handle_oip_ready)                                  \
    X("/v2/models/{model}/versions/{version}/infer", "POST", JSON, handle_oip_infer)            \
    X("/v2/models/{model}/versions/{version}/ready", "GET, HEAD", NULL, handle_oip_model_ready) \
    X("/v2/models/{model}/versions/{version}", "GET, HEAD", JSON, handle_oip_model)             \
    X("/v2/models/{model}/infer", "POST", JSON, handle_oip_infer)                               \
    X("/v2/models/{model}/ready", "GET, HEAD", NULL, handle_oip_model_ready)                    \
    X("/v2/models/{model}", "GET, HEAD", JSON, handle_oip_model)                                \
    X("/v2/*", NULL, NULL, NULL)                                                                \
    X("other", NULL, NULL, NULL)

static const struct route routes[] = {
#define X(path, allow, produces, handler) {path, allow, produces, handler},
    ROUTES(X)
#undef X
};

static const char *const paths[] = {
#define X(path, allow, produces, handler) path,
    ROUTES(X)
#undef X
};

/* Takes the text that stands for a {placeholder}: as long as the rest of the pattern leaves it.
 * Only a model's name may hold slashes, so there is at most one way to match. */
static bool match(const char *pattern, const char *path, struct route_params *ret)
{
    size_t n_literal = strcspn(pattern, "{");
    if (strncmp(pattern, path, n_literal) != 0)
        return false;
    pattern += n_literal;
    path += n_literal;
    if (*pattern == '\0')
        return *path == '\0';
    bool is_model = strncmp(pattern, "{model}", strlen("{model}")) == 0;
    const char *rest = strchr(pattern, '}') + 1;
    for (size_t n = 1; path[n - 1] != '\0' && (is_model || path[n - 1] != '/'); n++) {
        if (match(rest, path + n, ret)) {
            *(is_model ? &ret->model : &ret->version) = (struct route_param){path, n};
            return true;
        }
    }
    return false;
}

const struct route *route_find(const char *path, struct route_params *ret_params)
{
    size_t last = ARRAY_LEN(routes) - 1;
    enum dialect dialect = dialect_of_path(path);
    *ret_params = (struct route_params){0};
    for (size_t i = 0; i < last; i++) {
        if (routes[i].allow ? match(routes[i].path, path, ret_params)
                            : dialect == dialect_of_path(routes[i].path))
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

enum dialect route_dialect(const struct route *route)
{
    return dialect_of_path(route->path);
}

bool route_takes_post(const struct route *route)
{
    return route->allow && strcmp(route->allow, "POST") == 0;
}

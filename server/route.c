#include "route.h"

#include <string.h>

#include "handlers.h"
#include "web.h"

#define JSON "application/json"

/* X(path, allow, produces, handler); of patterns that match the first counts. */
#define ROUTES(X)                                                                               \
    X("/embed", "POST", JSON, handle_embed)                                                     \
    X("/sentiment", "POST", JSON, handle_sentiment)                                             \
    X("/score", "POST", JSON, handle_score)                                                     \
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
    X("/", "GET, HEAD", NULL, handle_web)                                                       \
    X("/docs", "GET, HEAD", NULL, handle_web)                                                   \
    X("/web/{file}", "GET, HEAD", NULL, handle_web)                                             \
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

static bool cut_end(struct route_param *text, const char *end, size_t n_bytes)
{
    if (text->n_bytes < n_bytes || memcmp(text->bytes + text->n_bytes - n_bytes, end, n_bytes) != 0)
        return false;
    text->n_bytes -= n_bytes;
    return true;
}

/* Takes what is behind the last slash. */
static struct route_param cut_segment(struct route_param *text)
{
    size_t n = 0;
    while (n < text->n_bytes && text->bytes[text->n_bytes - 1 - n] != '/')
        n++;
    text->n_bytes -= n;
    return (struct route_param){text->bytes + text->n_bytes, n};
}

/* From its end, so that only the name of the model can hold slashes: "/a/{model}/b/{version}/c". */
static bool match(const char *pattern, const char *path, struct route_params *ret)
{
    size_t n_literal = strcspn(pattern, "{");
    if (strncmp(pattern, path, n_literal) != 0)
        return false;
    if (pattern[n_literal] == '\0')
        return path[n_literal] == '\0';
    struct route_params found = {.model = {path + n_literal, strlen(path + n_literal)}};
    const char *end = strchr(pattern, '}') + 1, *version = strchr(end, '{');
    if (version) {
        const char *last = strchr(version, '}') + 1;
        if (!cut_end(&found.model, last, strlen(last)))
            return false;
        found.version = cut_segment(&found.model);
        if (found.version.n_bytes == 0)
            return false;
    }
    if (!cut_end(&found.model, end, version ? (size_t)(version - end) : strlen(end)) ||
        found.model.n_bytes == 0)
        return false;
    *ret = found;
    return true;
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

#include "route.h"

#include <string.h>

#include "handlers.h"
#include "web.h"

static const char *const json[] = {"application/json", NULL};
static const char *const vectors[] = {"application/json", "application/vnd.safetensors",
                                      "application/x-npy", NULL};
static const char *const sentiments[] = {"application/json", "application/x-npy", NULL};

#define JSON       json
#define VECTORS    vectors
#define SENTIMENTS sentiments

/* Who is let in where there are API keys (access.h). */
#define KEY  false
#define OPEN true

/* X(path, allow, access, produces, handler); of patterns that match the first counts. */
#define ROUTES(X)                                                                         \
    X("/embed", "POST", KEY, VECTORS, handle_embed)                                       \
    X("/sentiment", "POST", KEY, SENTIMENTS, handle_sentiment)                            \
    X("/score", "POST", KEY, JSON, handle_score)                                          \
    X("/tokenize", "POST", KEY, JSON, handle_tokenize)                                    \
    X("/info", "GET, HEAD", KEY, JSON, handle_info)                                       \
    X("/health/live", "GET, HEAD", OPEN, NULL, handle_live)                               \
    X("/health/ready", "GET, HEAD", OPEN, NULL, handle_ready)                             \
    X("/health", "GET, HEAD", OPEN, NULL, handle_ready)                                   \
    X("/metrics", "GET, HEAD", OPEN, NULL, handle_metrics)                                \
    X("/openapi.yaml", "GET, HEAD", OPEN, NULL, handle_openapi)                           \
    X("/v1/embeddings", "POST", KEY, JSON, handle_openai_embeddings)                      \
    X("/v1/models", "GET, HEAD", KEY, JSON, handle_openai_models)                         \
    X("/v1/models/{model}", "GET, HEAD", KEY, JSON, handle_openai_model)                  \
    X("/v1/*", NULL, KEY, NULL, NULL)                                                     \
    X("/v2", "GET, HEAD", KEY, JSON, handle_oip_server)                                   \
    X("/v2/", "GET, HEAD", KEY, JSON, handle_oip_server)                                  \
    X("/v2/health/live", "GET, HEAD", OPEN, NULL, handle_oip_live)                        \
    X("/v2/health/ready", "GET, HEAD", OPEN, NULL, handle_oip_ready)                      \
    X("/v2/models/{model}/versions/{version}/infer", "POST", KEY, JSON, handle_oip_infer) \
    X("/v2/models/{model}/versions/{version}/ready", "GET, HEAD", KEY, NULL,              \
      handle_oip_model_ready)                                                             \
    X("/v2/models/{model}/versions/{version}", "GET, HEAD", KEY, JSON, handle_oip_model)  \
    X("/v2/models/{model}/infer", "POST", KEY, JSON, handle_oip_infer)                    \
    X("/v2/models/{model}/ready", "GET, HEAD", KEY, NULL, handle_oip_model_ready)         \
    X("/v2/models/{model}", "GET, HEAD", KEY, JSON, handle_oip_model)                     \
    X("/v2/*", NULL, KEY, NULL, NULL)                                                     \
    X("/", "GET, HEAD", OPEN, NULL, handle_web)                                           \
    X("/docs", "GET, HEAD", OPEN, NULL, handle_web)                                       \
    X("/web/{file}", "GET, HEAD", OPEN, NULL, handle_web)                                 \
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

/* Which route a path has: exact, or with {model} and {version} in it. routes.c has the table. */
#include "route.h"

#include <string.h>

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
    size_t last = n_routes - 1;
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

enum dialect route_dialect(const struct route *route)
{
    return dialect_of_path(route->path);
}

bool route_takes_post(const struct route *route)
{
    return route->allow && strcmp(route->allow, "POST") == 0;
}

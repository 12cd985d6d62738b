#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/route.h"

static void assert_param(const struct route_param *param, const char *expected)
{
    if (!expected) {
        assert_null(param->bytes);
        assert_int_equal(param->n_bytes, 0);
        return;
    }
    assert_int_equal(param->n_bytes, strlen(expected));
    assert_memory_equal(param->bytes, expected, param->n_bytes);
}

static void paths_have_their_routes(void **state)
{
    (void)state;
    static const struct {
        const char *path, *route, *model, *version;
    } cases[] = {
        {"/embed", "/embed", NULL, NULL},
        {"/embed/", "other", NULL, NULL},
        {"/embedx", "other", NULL, NULL},
        {"/Embed", "other", NULL, NULL},
        {"", "other", NULL, NULL},
        {"/", "/", NULL, NULL},
        {"/web", "other", NULL, NULL},
        {"/web/", "other", NULL, NULL},
        {"/web/main.js", "/web/{file}", "main.js", NULL},
        {"other", "other", NULL, NULL},
        {"*", "other", NULL, NULL},
        {"/v1", "/v1/*", NULL, NULL},
        {"/v1/", "/v1/*", NULL, NULL},
        {"/v1/*", "/v1/*", NULL, NULL},
        {"/v1/embed", "/v1/*", NULL, NULL},
        {"/v1/embeddings", "/v1/embeddings", NULL, NULL},
        {"/v1/embeddings/", "/v1/*", NULL, NULL},
        {"/v1/models", "/v1/models", NULL, NULL},
        {"/v1/models/", "/v1/*", NULL, NULL},
        {"/v1/models/m", "/v1/models/{model}", "m", NULL},
        {"/v1/models/{model}", "/v1/models/{model}", "{model}", NULL},
        {"/v1/models/org/m", "/v1/models/{model}", "org/m", NULL},
        {"/v1/models//", "/v1/models/{model}", "/", NULL},
        {"/v2", "/v2", NULL, NULL},
        {"/v2/", "/v2/", NULL, NULL},
        {"/v2//", "/v2/*", NULL, NULL},
        {"/v2/models", "/v2/*", NULL, NULL},
        {"/v2/models/", "/v2/*", NULL, NULL},
        {"/v2/health/live", "/v2/health/live", NULL, NULL},
        {"/v2/models/m", "/v2/models/{model}", "m", NULL},
        {"/v2/models/m/", "/v2/models/{model}", "m/", NULL},
        {"/v2/models/m/ready", "/v2/models/{model}/ready", "m", NULL},
        {"/v2/models/m/infer", "/v2/models/{model}/infer", "m", NULL},
        {"/v2/models/infer", "/v2/models/{model}", "infer", NULL},
        {"/v2/models//infer", "/v2/models/{model}", "/infer", NULL},
        {"/v2/models/m/inferx", "/v2/models/{model}", "m/inferx", NULL},
        {"/v2/models/m/versions/v", "/v2/models/{model}/versions/{version}", "m", "v"},
        {"/v2/models/m/versions/v/ready", "/v2/models/{model}/versions/{version}/ready", "m", "v"},
        {"/v2/models/m/versions/v/infer", "/v2/models/{model}/versions/{version}/infer", "m", "v"},
        {"/v2/models/a/versions/b/versions/v", "/v2/models/{model}/versions/{version}",
         "a/versions/b", "v"},
        {"/v2/models/org/m/versions/v/infer", "/v2/models/{model}/versions/{version}/infer",
         "org/m", "v"},
        {"/v2/models/m/versions/", "/v2/models/{model}", "m/versions/", NULL},
        {"/v2/models/m/versions/v/w", "/v2/models/{model}", "m/versions/v/w", NULL},
        {"/v2/models/m/versions//infer", "/v2/models/{model}/infer", "m/versions/", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_params params;
        memset(&params, 0xff, sizeof params);
        const struct route *route = route_find(cases[i].path, &params);
        if (strcmp(route->path, cases[i].route) != 0)
            fail_msg("%s: %s", cases[i].path, route->path);
        assert_param(&params.model, cases[i].model);
        assert_param(&params.version, cases[i].version);
    }
}

static void labels_are_the_paths_in_order_each_once(void **state)
{
    (void)state;
    struct route_params params;
    assert_string_equal(routes[n_routes - 1].path, "other");
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *route = route_find(routes[i].path, &params);
        assert_int_equal(route_index(route), i); /* a pattern matches itself */
        assert_int_equal(route->allow != NULL, route->handle != NULL);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(routes[i].path, routes[k].path);
    }
}

static void unknown_paths_have_the_dialect_of_their_family(void **state)
{
    (void)state;
    struct route_params params;
    assert_int_equal(route_dialect(route_find("/v1/x", &params)), DIALECT_OPENAI);
    assert_int_equal(route_dialect(route_find("/v2/x", &params)), DIALECT_OIP);
    assert_int_equal(route_dialect(route_find("/x", &params)), DIALECT_NATIVE);
    assert_int_equal(route_dialect(route_find("/v1x", &params)), DIALECT_NATIVE);
}

/* As long as a request line can be. */
static void a_long_path_is_matched_too(void **state)
{
    (void)state;
    static const char *const parts[] = {"/", "/versions/", "/versions/v", "/infer", "a"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char path[32 * 1024] = "/v2/models/m";
        struct route_params params;
        size_t n = strlen(path);
        while (n + strlen(parts[i]) < sizeof path) {
            memcpy(path + n, parts[i], strlen(parts[i]) + 1);
            n += strlen(parts[i]);
        }
        assert_non_null(route_find(path, &params)->allow);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_have_their_routes),
        cmocka_unit_test(labels_are_the_paths_in_order_each_once),
        cmocka_unit_test(unknown_paths_have_the_dialect_of_their_family),
        cmocka_unit_test(a_long_path_is_matched_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

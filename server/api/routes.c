/* Every path of the service: a row each. To add an endpoint, add a row here, its handler to
 * handlers.h, and the path to openapi.yaml; tests hold the three to each other. */
#include "handlers.h"
#include "route.h"
#include "web.h"

static const char *const json[] = {"application/json", NULL};
static const char *const vectors[] = {"application/json", "application/vnd.safetensors",
                                      "application/x-npy", NULL};
static const char *const sentiments[] = {"application/json", "application/x-npy", NULL};

/* The first pattern that matches counts. */
const struct route routes[] = {
    /* path, allow, is_open, produces, handle */
    // clang-format off
    {"/embed", "POST", false, vectors, handle_embed},
    {"/sentiment", "POST", false, sentiments, handle_sentiment},
    {"/score", "POST", false, json, handle_score},
    {"/tokenize", "POST", false, json, handle_tokenize},
    {"/info", "GET, HEAD", false, json, handle_info},
    {"/health/live", "GET, HEAD", true, NULL, handle_live},
    {"/health/ready", "GET, HEAD", true, NULL, handle_ready},
    {"/health", "GET, HEAD", true, NULL, handle_ready},
    {"/metrics", "GET, HEAD", true, NULL, handle_metrics},
    {"/openapi.yaml", "GET, HEAD", true, NULL, handle_openapi},
    {"/v1/embeddings", "POST", false, json, handle_openai_embeddings},
    {"/v1/models", "GET, HEAD", false, json, handle_openai_models},
    {"/v1/models/{model}", "GET, HEAD", false, json, handle_openai_model},
    {"/v1/*", NULL, false, NULL, NULL},
    {"/v2", "GET, HEAD", false, json, handle_oip_server},
    {"/v2/", "GET, HEAD", false, json, handle_oip_server},
    {"/v2/health/live", "GET, HEAD", true, NULL, handle_oip_live},
    {"/v2/health/ready", "GET, HEAD", true, NULL, handle_oip_ready},
    {"/v2/models/{model}/versions/{version}/infer", "POST", false, json, handle_oip_infer},
    {"/v2/models/{model}/versions/{version}/ready", "GET, HEAD", false, NULL, handle_oip_model_ready},
    {"/v2/models/{model}/versions/{version}", "GET, HEAD", false, json, handle_oip_model},
    {"/v2/models/{model}/infer", "POST", false, json, handle_oip_infer},
    {"/v2/models/{model}/ready", "GET, HEAD", false, NULL, handle_oip_model_ready},
    {"/v2/models/{model}", "GET, HEAD", false, json, handle_oip_model},
    {"/v2/*", NULL, false, NULL, NULL},
    {"/", "GET, HEAD", true, NULL, handle_web},
    {"/docs", "GET, HEAD", true, NULL, handle_web},
    {"/web/{file}", "GET, HEAD", true, NULL, handle_web},
    {"other", NULL, false, NULL, NULL},
    // clang-format on
};

const size_t n_routes = ARRAY_LEN(routes);

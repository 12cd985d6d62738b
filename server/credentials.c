#include "credentials.h"

#include <time.h>

#include "api/api_keys.h"
#include "http/tls.h"
#include "ops/log.h"

static void log_keys(const struct api_keys *keys)
{
    log_event(LOG_INFO, "api_keys", LOG_FIELDS(LOG_UINT("keys", api_keys_count(keys))));
}

static void log_certificate(const struct tls *tls)
{
    time_t left_s = tls_expiry(tls) - time(NULL);
    bool is_valid = left_s > 0;
    log_event(is_valid ? LOG_INFO : LOG_WARN, is_valid ? "certificate" : "certificate_expired",
              LOG_FIELDS(LOG_UINT("days_left", is_valid ? (uint64_t)left_s / 86400 : 0)));
}

static bool load_keys(struct service *service)
{
    struct elmo_error err = {0};
    service->api_keys = api_keys_load(service->config->api_keys, &err);
    if (service->api_keys)
        log_keys(service->api_keys);
    else
        log_failure("api_keys_failed", err.message);
    return service->api_keys != NULL;
}

static bool load_certificate(struct service *service)
{
    struct elmo_error err = {0};
    service->tls = tls_load(service->config->tls_cert, service->config->tls_key, &err);
    if (service->tls)
        log_certificate(service->tls);
    else
        log_failure("tls_failed", err.message);
    return service->tls != NULL;
}

bool credentials_load(struct service *service)
{
    const struct config *config = service->config;
    return (!config->api_keys[0] || load_keys(service)) &&
           (!config->tls_cert[0] || load_certificate(service));
}

void credentials_reload(struct service *service)
{
    struct elmo_error err = {0};
    if (service->api_keys && api_keys_reload(service->api_keys, &err))
        log_keys(service->api_keys);
    else if (service->api_keys)
        log_failure("api_keys_failed", err.message);
    if (service->tls && tls_reload(service->tls, &err))
        log_certificate(service->tls);
    else if (service->tls)
        log_failure("tls_failed", err.message);
}

void credentials_free(struct service *service)
{
    tls_free(service->tls);
    api_keys_free(service->api_keys);
}

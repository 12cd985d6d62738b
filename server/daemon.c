#include "api/service.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/route.h"
#include "credentials.h"
#include "http/http.h"
#include "http/http_admin.h"
#include "http/listener.h"
#include "machine/cpu_features.h"
#include "ops/log.h"
#include "ops/signals.h"
#include "util/address.h"
#include "util/clock.h"
#include "version.h"
#include "word_vectors_load.h"

#define OPEN_FILES_BESIDE_CONNECTIONS 64 /* logs, epoll, wake-ups, /proc, the model */

/* ---- Start ---- */

/* The soft limit of open files is often 1024, which max_connections alone would use up. Where the
 * hard limit does not allow more either, the library stops accepting for a while. */
static void allow_open_files(uint64_t max_connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)max_connections + OPEN_FILES_BESIDE_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Large blocks go back to the system when they are free, and threads share a few heaps: else what a
 * burst of requests took would stay with this process. */
static void keep_heap_small(void)
{
#ifdef M_ARENA_MAX /* glibc */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, 4);
#endif
}

static const char *path_of_route(size_t index)
{
    return routes[index].path;
}

static bool service_init(struct service *service, const struct config *config)
{
    const struct metrics_options options = {
        .path = path_of_route,
        .n_paths = n_routes,
        .version = elmod_version,
        .commit = elmod_commit,
        .root = "",
    };
    *service = (struct service){
        .config = config,
        .queue_tokens = {.max = config->queue_tokens},
        .answer_bytes = {.max = config->answer_bytes},
    };
    struct elmo_error err = {0};
    int r = metrics_new(&service->metrics, &options, &err);
    const struct live_model_options model_options = {
        .config = config,
        .metrics = service->metrics,
        .queue_tokens = &service->queue_tokens,
        .stop = signals_stop(),
    };
    if (!r)
        r = live_models_new(&service->models, &model_options, &err);
    if (!r)
        return true;
    log_failure("start_failed", err.message);
    metrics_free(service->metrics);
    return false;
}

static struct http *listen_and_serve(struct service *service)
{
    const struct config *config = service->config;
    struct address address;
    char text[LISTENER_ADDRESS_MAX];
    const char *reason = "the address is not HOST:PORT";
    int fd = -1;
    if (address_parse(config->listen, &address))
        fd = listener_open(&address, text, &reason);
    if (fd < 0) {
        log_event(LOG_ERROR, "listen_failed",
                  LOG_FIELDS(LOG_TEXT("address", config->listen), LOG_TEXT("reason", reason)));
        return NULL;
    }
    sigset_t before;
    signals_hold(&before);
    struct http *http = http_start(service, fd);
    signals_release(&before);
    if (!http)
        return NULL;
    if (config->port_file[0] && !listener_write_file(config->port_file, text)) {
        log_failure("port_file_failed", strerror(errno));
        http_stop(http);
        return NULL;
    }
    log_event(LOG_INFO, "listening",
              LOG_FIELDS(LOG_TEXT("address", text), LOG_BOOL("tls", service->tls != NULL)));
    return http;
}

/* The socket of those who run the service, where one is configured. */
static bool serve_admin(struct service *service, struct http_admin **ret_admin)
{
    const char *path = service->config->admin_socket, *reason = "it could not start";
    sigset_t before;
    if (!path[0])
        return true;
    signals_hold(&before);
    *ret_admin = http_admin_start(service, path, &reason);
    signals_release(&before);
    if (!*ret_admin)
        log_event(LOG_ERROR, "admin_socket_failed",
                  LOG_FIELDS(LOG_TEXT("path", path), LOG_TEXT("reason", reason)));
    return *ret_admin != NULL;
}

/* Loads the model while the listener already answers /health/live. */
static bool load(struct service *service)
{
    struct live_model_failure failure;
    uint64_t begun_ns = clock_now_ns();
    if (!vectors_file_open(service))
        return false;
    if (live_models_start(service->models, &failure)) {
        log_failure(failure.event, failure.err.message);
        return false;
    }
    struct live_model *live = live_models_use(service->models);
    const struct elmo_model_info *info = elmo_model_info(live->model);
    log_event(LOG_INFO, "ready",
              LOG_FIELDS(LOG_TEXT("model", info->name), LOG_TEXT("sha256", info->sha256),
                         LOG_TEXT("dtype", info->dtype),
                         LOG_TEXT("compute_dtype", info->compute_dtype),
                         LOG_UINT("threads", live->plan.n_threads),
                         LOG_UINT("workers", live->plan.n_workers),
                         LOG_MS("load_ms", clock_now_ns() - begun_ns)));
    live_model_release(live);
    atomic_store_explicit(&service->state, SERVICE_READY, memory_order_release);
    return true;
}

static void reload_model(struct service *service)
{
    live_models_reload(service->models);
}

/* ---- End ---- */

static void sleep_ms(uint64_t ms)
{
    struct timespec left = clock_timespec(ms * NS_PER_MS);
    while (nanosleep(&left, &left) && errno == EINTR)
        continue;
}

/* Not ready at once, deaf after the grace, and silent when everything accepted is answered. */
static void drain(struct service *service, struct http *http)
{
    const struct config *config = service->config;
    atomic_store_explicit(&service->state, SERVICE_DRAINING, memory_order_release);
    live_models_drain(service->models);
    sleep_ms(config->drain_grace_ms);
    http_stop_listening(http);
    if (http_wait_idle(http, clock_now_ns() + config->drain_timeout_ms * NS_PER_MS))
        return;
    /* Jobs and connections are still alive, so nothing can be taken apart. */
    log_failure("drain_failed", "requests were still under way at the drain timeout");
    _exit(EXIT_FAILURE);
}

/* All that SIGHUP brings up to date, in this order. Each says itself in the log what came of it. */
static void (*const reloads[])(struct service *service) = {
    credentials_reload,
    reload_model,
};

static const char *stop_signal_name(void)
{
    switch (atomic_load(signals_stop())) {
    case SIGINT: return "SIGINT";
    case SIGHUP: return "SIGHUP";
    default: return "SIGTERM";
    }
}

static void serve_until_signal(struct service *service, struct http *http)
{
    while (signals_wait()) {
        for (size_t k = 0; k < ARRAY_LEN(reloads); k++)
            reloads[k](service);
    }
    log_event(LOG_INFO, "draining", LOG_FIELDS(LOG_TEXT("signal", stop_signal_name())));
    drain(service, http);
}

int service_run(const struct config *config)
{
    struct service service;
    keep_heap_small();
    signals_init();
    allow_open_files(config->max_connections);
    (void)cpu_limit(config->kernel); /* opening the model reports a bad name */
    if (!service_init(&service, config))
        return EXIT_FAILURE;
    struct http_admin *admin = NULL;
    bool may_serve = credentials_load(&service);
    struct http *http = may_serve ? listen_and_serve(&service) : NULL;
    bool loaded = http && serve_admin(&service, &admin) && load(&service);
    if (loaded)
        serve_until_signal(&service, http);
    /* No request is under way: either none was ever let to a model, or all are drained. The
     * workers go first, since one may still be on its way back from waking a connection. */
    http_admin_stop(admin);
    live_models_stop(service.models);
    http_stop(http);
    live_models_free(service.models);
    word_vectors_free(service.word_vectors);
    metrics_free(service.metrics);
    credentials_free(&service);
    if (loaded)
        log_event(LOG_INFO, "stopped", NULL);
    return loaded ? EXIT_SUCCESS : EXIT_FAILURE;
}

#include "service.h"

#include <errno.h>
#include <malloc.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api_keys.h"
#include "clock.h"
#include "cpus.h"
#include "http.h"
#include "listener.h"
#include "log.h"
#include "route.h"
#include "tls.h"
#include "version.h"
#include "warm.h"

#define OPEN_FILES_BESIDE_CONNECTIONS 64 /* logs, epoll, wake-ups, /proc, the model */

static void log_failure(const char *event, const char *reason)
{
    log_event(LOG_ERROR, event, LOG_FIELDS(LOG_TEXT("reason", reason)));
}

/* ---- Signals. OpenBLAS has threads before main() begins; a signal that all of ours block would
 * end up in one of those, and end the process. So there are handlers, for whichever thread; ours
 * leave the signals to the main thread, where waiting for them is all there is to do. ---- */

static sem_t stop_asked;
static atomic_int stop_signal; /* the first one; 0: none yet */

/* Who asks twice does not want to wait. */
static void on_stop_signal(int number)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&stop_signal, &none, number))
        _exit(128 + number);
    sem_post(&stop_asked);
}

static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal}; /* it interrupts sem_wait */
    sem_init(&stop_asked, 0, 0);
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Threads that are made from here until release_signals(*ret_before) take none. */
static void hold_signals(sigset_t *ret_before)
{
    sigset_t stop_signals;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop_signals, ret_before);
}

static void release_signals(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static int wait_for_signal(void)
{
    while (sem_wait(&stop_asked) && errno == EINTR)
        continue;
    return atomic_load(&stop_signal);
}

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

static bool service_init(struct service *service, const struct config *config)
{
    struct metrics_options options = {.version = elmod_version, .commit = elmod_commit, .root = ""};
    options.paths = route_paths(&options.n_paths);
    *service = (struct service){.config = config, .metrics = metrics_new(&options)};
    if (!service->metrics)
        log_failure("start_failed", "out of memory");
    return service->metrics != NULL;
}

static bool load_api_keys(struct service *service)
{
    struct elmo_error err = {0};
    const char *path = service->config->api_keys;
    if (!path[0])
        return true;
    service->api_keys = api_keys_load(path, &err);
    if (!service->api_keys) {
        log_failure("api_keys_failed", err.message);
        return false;
    }
    log_event(LOG_INFO, "api_keys",
              LOG_FIELDS(LOG_UINT("keys", api_keys_count(service->api_keys))));
    return true;
}

static void log_certificate(const struct tls *tls)
{
    time_t left_s = tls_expiry(tls) - time(NULL);
    log_event(left_s > 0 ? LOG_INFO : LOG_WARN, left_s > 0 ? "certificate" : "certificate_expired",
              LOG_FIELDS(LOG_UINT("days_left", left_s > 0 ? (uint64_t)left_s / 86400 : 0)));
}

static bool load_certificate(struct service *service)
{
    struct elmo_error err = {0};
    const struct config *config = service->config;
    if (!config->tls_cert[0])
        return true;
    service->tls = tls_load(config->tls_cert, config->tls_key, &err);
    if (!service->tls) {
        log_failure("tls_failed", err.message);
        return false;
    }
    log_certificate(service->tls);
    return true;
}

/* Ends the workers, which finish what is in the queue, and gives the model back. */
static void unload(struct service *service)
{
    if (service->queue)
        queue_close(service->queue);
    workers_stop(service->workers);
    queue_free(service->queue);
    elmo_model_free(service->model);
}

static struct http *listen_and_serve(struct service *service)
{
    const struct config *config = service->config;
    struct config_address address;
    char text[LISTENER_ADDRESS_MAX];
    const char *reason = "the address is not HOST:PORT";
    int fd = -1;
    if (config_parse_address(config->listen, &address))
        fd = listener_open(&address, text, &reason);
    if (fd < 0) {
        log_event(LOG_ERROR, "listen_failed",
                  LOG_FIELDS(LOG_TEXT("address", config->listen), LOG_TEXT("reason", reason)));
        return NULL;
    }
    sigset_t before;
    hold_signals(&before);
    struct http *http = http_start(service, fd);
    release_signals(&before);
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

static int open_model(struct service *service, struct elmo_error *err)
{
    static const enum elmo_dtype dtypes[] = {[CONFIG_DTYPE_F32] = ELMO_DTYPE_F32,
                                             [CONFIG_DTYPE_BF16] = ELMO_DTYPE_BF16,
                                             [CONFIG_DTYPE_INT8] = ELMO_DTYPE_INT8};
    const struct elmo_model_settings settings = {.dtype = dtypes[service->config->dtype],
                                                 .word_cache_bytes =
                                                     service->config->word_cache_bytes,
                                                 .kernel = service->config->kernel};
    const char *path = service->config->model;
    return path[0] ? elmo_model_open(&service->model, path, &settings, err)
                   : elmo_model_open_default(&service->model, &settings, err);
}

static void plan_threads(struct service *service)
{
    const struct config *config = service->config;
    service->plan =
        thread_plan(config->threads ? config->threads : cpus_available(""), config->batch_threads,
                    elmo_model_info(service->model)->step_bytes, thread_plan_cache_bytes());
}

static int start_workers(struct service *service, struct elmo_error *err)
{
    const struct config *config = service->config;
    const struct queue_options queue_options = {
        .max_cost = config->queue_tokens,
        .schedule = {.max_batch_cost = config->batch_tokens, .n_workers = service->plan.n_workers},
        .metrics = service->metrics,
    };
    int r = queue_new(&service->queue, &queue_options);
    if (r) {
        snprintf(err->message, sizeof err->message, "out of memory");
        return r;
    }
    const struct workers_options options = {
        .model = service->model,
        .queue = service->queue,
        .metrics = service->metrics,
        .plan = service->plan,
    };
    sigset_t before;
    hold_signals(&before);
    r = workers_start(&service->workers, &options, err);
    release_signals(&before);
    return r;
}

/* With the words of a file, if one is named; false after a line of log. A signal to stop ends it
 * early. */
static bool fill_word_cache(const struct service *service)
{
    const struct warm_options options = {.model = service->model,
                                         .path = service->config->word_cache_vocab,
                                         .n_threads = service->plan.n_threads,
                                         .stop = &stop_signal};
    struct elmo_error err = {0};
    uint64_t begun_ns = clock_now_ns();
    size_t n_words;
    if (!options.path[0])
        return true;
    if (warm_words(&options, &n_words, &err)) {
        log_failure("word_cache_failed", err.message);
        return false;
    }
    log_event(LOG_INFO, "word_cache_filled",
              LOG_FIELDS(LOG_UINT("words", n_words), LOG_MS("ms", clock_now_ns() - begun_ns)));
    return true;
}

static bool load_model(struct service *service)
{
    struct elmo_error err = {0};
    int r = open_model(service, &err);
    if (r)
        log_failure("model_failed", err.message);
    return r == 0;
}

/* Loads the model while the listener already answers /health/live. */
static bool load(struct service *service)
{
    struct elmo_error err = {0};
    uint64_t begun_ns = clock_now_ns();
    if (!load_model(service))
        return false;
    plan_threads(service);
    if (!fill_word_cache(service))
        return false;
    if (start_workers(service, &err)) {
        log_failure("model_failed", err.message);
        return false;
    }
    const struct elmo_model_info *info = elmo_model_info(service->model);
    const struct metrics_model labels = {info->name, info->sha256, info->dtype};
    metrics_model_set(service->metrics, &labels);
    atomic_store_explicit(&service->state, SERVICE_READY, memory_order_release);
    log_event(LOG_INFO, "ready",
              LOG_FIELDS(LOG_TEXT("model", info->name), LOG_TEXT("sha256", info->sha256),
                         LOG_TEXT("dtype", info->dtype),
                         LOG_UINT("threads", service->plan.n_threads),
                         LOG_UINT("workers", service->plan.n_workers),
                         LOG_MS("load_ms", clock_now_ns() - begun_ns)));
    return true;
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
    sleep_ms(config->drain_grace_ms);
    http_stop_listening(http);
    if (http_wait_idle(http, clock_now_ns() + config->drain_timeout_ms * NS_PER_MS))
        return;
    /* Jobs and connections are still alive, so nothing can be taken apart. */
    log_failure("drain_failed", "requests were still under way at the drain timeout");
    _exit(EXIT_FAILURE);
}

static void serve_until_signal(struct service *service, struct http *http)
{
    int number = wait_for_signal();
    log_event(LOG_INFO, "draining",
              LOG_FIELDS(LOG_TEXT("signal", number == SIGINT ? "SIGINT" : "SIGTERM")));
    drain(service, http);
}

int service_run(const struct config *config)
{
    struct service service;
    keep_heap_small();
    handle_signals();
    allow_open_files(config->max_connections);
    if (!service_init(&service, config))
        return EXIT_FAILURE;
    bool may_serve = load_api_keys(&service) && load_certificate(&service);
    struct http *http = may_serve ? listen_and_serve(&service) : NULL;
    bool loaded = http && load(&service);
    if (loaded)
        serve_until_signal(&service, http);
    /* No request is under way: either none was ever let to the model, or all are drained. The
     * workers go first, since one may still be on its way back from waking a connection. */
    unload(&service);
    http_stop(http);
    metrics_free(service.metrics);
    tls_free(service.tls);
    api_keys_free(service.api_keys);
    if (loaded)
        log_event(LOG_INFO, "stopped", NULL);
    return loaded ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Three parts: the users of the models (any thread), the work and the loop of the loader thread,
 * and start and end. A model counts its users; the loader frees the previous model when its count
 * is 0. One lock guards the two pointers and the state of reloads; it is never held while a model
 * is loaded or freed. */
#include "live_models.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "ops/log.h"
#include "ops/signals.h"
#include "util/clock.h"

struct live_models {
    struct live_model_options options; /* const */
    pthread_t loader;
    bool loader_started;
    pthread_mutex_t mu;     /* guards everything below */
    pthread_cond_t changed; /* wakes the loader: a request to reload, or a model without users */
    pthread_cond_t ended;   /* wakes live_models_reload_now: a reload has ended */
    struct live_model *current;
    struct live_model *previous; /* the model before `current`, until it is freed */
    uint64_t replaced_ns;
    struct elmo_cache_stats freed_stats; /* sum over the models that are freed */
    uint64_t requested_ns;               /* first request for the next reload; 0: none */
    uint64_t n_started, n_ended;         /* reloads */
    struct live_models_result last;
    bool stopping;
};

/* ---- Users ---- */

/* NULL is fine. Called with the lock held: without it the model could be freed before n_users is
 * increased. */
static struct live_model *use(struct live_model *live)
{
    if (live)
        atomic_fetch_add_explicit(&live->n_users, 1, memory_order_relaxed);
    return live;
}

struct live_model *live_models_use(struct live_models *models)
{
    pthread_mutex_lock(&models->mu);
    struct live_model *live = use(models->current);
    pthread_mutex_unlock(&models->mu);
    return live;
}

void live_model_release(struct live_model *live)
{
    if (!live)
        return;
    struct live_models *models = live->owner;
    if (atomic_fetch_sub_explicit(&live->n_users, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_lock(&models->mu); /* do not touch *live here: it may be freed already */
    pthread_cond_signal(&models->changed);
    pthread_mutex_unlock(&models->mu);
}

static void add_stats(struct elmo_cache_stats *sum, const struct live_model *live)
{
    const struct elmo_cache_stats stats = elmo_model_cache_stats(live->model);
    sum->n_hits += stats.n_hits;
    sum->n_misses += stats.n_misses;
    sum->n_words = stats.n_words;
    sum->n_places = stats.n_places;
}

struct elmo_cache_stats live_models_cache_stats(struct live_models *models)
{
    pthread_mutex_lock(&models->mu);
    struct elmo_cache_stats sum = models->freed_stats;
    struct live_model *const live[] = {use(models->previous), use(models->current)};
    pthread_mutex_unlock(&models->mu);
    for (size_t k = 0; k < ARRAY_LEN(live); k++) {
        if (live[k])
            add_stats(&sum, live[k]);
        live_model_release(live[k]);
    }
    return sum;
}

/* Returns the number of the reload that serves this request. Called with the lock held. */
static uint64_t request_reload(struct live_models *models)
{
    if (!models->requested_ns)
        models->requested_ns = clock_now_ns();
    pthread_cond_signal(&models->changed);
    return models->n_started + 1;
}

void live_models_reload(struct live_models *models)
{
    pthread_mutex_lock(&models->mu);
    request_reload(models);
    pthread_mutex_unlock(&models->mu);
}

void live_models_reload_now(struct live_models *models, struct live_models_result *ret_result)
{
    pthread_mutex_lock(&models->mu);
    uint64_t number = request_reload(models);
    while (models->n_ended < number)
        pthread_cond_wait(&models->ended, &models->mu);
    *ret_result = models->last; /* perhaps of a later reload: the current state */
    pthread_mutex_unlock(&models->mu);
}

void live_models_drain(struct live_models *models)
{
    pthread_mutex_lock(&models->mu);
    pthread_cond_signal(&models->changed);
    pthread_mutex_unlock(&models->mu);
}

/* ---- Work of the loader, without the lock: only the loader changes the two models ---- */

static void fail_reload(const struct live_models *models, const char *reason,
                        struct live_models_result *result)
{
    snprintf(result->reason, sizeof result->reason, "%s", reason);
    metrics_reload(models->options.metrics, false);
    log_failure("reload_failed", reason);
}

static void replace_current(struct live_models *models, struct live_model *next)
{
    next->owner = models;
    atomic_init(&next->n_users, 1); /* one user: its place as the current model */
    pthread_mutex_lock(&models->mu);
    struct live_model *previous = models->previous = models->current;
    models->replaced_ns = clock_now_ns();
    models->current = next;
    pthread_mutex_unlock(&models->mu);
    live_model_release(previous);
}

static bool must_stop(const struct live_models *models)
{
    return atomic_load(models->options.stop) != 0;
}

static void reload(struct live_models *models, struct live_models_result *result)
{
    AUTO(live_model_free) struct live_model *next = NULL;
    struct live_model_failure failure;
    uint64_t begun_ns = clock_now_ns();
    int r = must_stop(models) ? 0 : live_model_new(&next, &models->options, true, &failure);
    if (must_stop(models)) {
        fail_reload(models, "the server is shutting down", result);
    } else if (r) {
        fail_reload(models, failure.err.message, result);
    } else {
        const struct elmo_model_info *info = elmo_model_info(next->model);
        result->ok = true;
        replace_current(models, STEAL(next));
        metrics_reload(models->options.metrics, true);
        log_event(LOG_INFO, "reloaded",
                  LOG_FIELDS(LOG_TEXT("model", info->name), LOG_TEXT("sha256", info->sha256),
                             LOG_TEXT("dtype", info->dtype),
                             LOG_TEXT("compute_dtype", info->compute_dtype),
                             LOG_MS("ms", clock_now_ns() - begun_ns)));
    }
}

static void name_current(const struct live_models *models, struct live_models_result *result)
{
    const struct elmo_model_info *info = elmo_model_info(models->current->model);
    snprintf(result->model, sizeof result->model, "%s", info->name);
    snprintf(result->sha256, sizeof result->sha256, "%s", info->sha256);
}

static void unload(struct live_model *previous)
{
    char sha256[65];
    snprintf(sha256, sizeof sha256, "%s", elmo_model_info(previous->model)->sha256);
    live_model_free(previous);
    log_event(LOG_INFO, "unloaded", LOG_FIELDS(LOG_TEXT("sha256", sha256)));
}

/* ---- The loop of the loader. Called with the lock held; dropped while it works. ---- */

static bool unload_previous(struct live_models *models)
{
    if (!models->previous ||
        atomic_load_explicit(&models->previous->n_users, memory_order_acquire) > 0)
        return false;
    struct live_model *previous = STEAL(models->previous);
    add_stats(&models->freed_stats, previous);
    pthread_mutex_unlock(&models->mu);
    unload(previous);
    pthread_mutex_lock(&models->mu);
    return true;
}

/* The time at which a requested reload fails because the previous model is still in use. */
static uint64_t give_up_ns(const struct live_models *models)
{
    uint64_t since_ns =
        models->requested_ns > models->replaced_ns ? models->requested_ns : models->replaced_ns;
    return since_ns + models->options.config->drain_timeout_ms * NS_PER_MS;
}

static bool reload_if_requested(struct live_models *models)
{
    bool blocked = models->previous && !must_stop(models);
    if (!models->requested_ns || (blocked && clock_now_ns() < give_up_ns(models)))
        return false;
    struct live_models_result result = {0};
    models->requested_ns = 0;
    models->n_started++;
    pthread_mutex_unlock(&models->mu);
    if (blocked)
        fail_reload(models, "answers of the previous model are still being sent", &result);
    else
        reload(models, &result);
    name_current(models, &result);
    pthread_mutex_lock(&models->mu);
    models->last = result;
    models->n_ended++;
    pthread_cond_broadcast(&models->ended);
    return true;
}

static void wait_for_change(struct live_models *models)
{
    if (models->requested_ns) {
        struct timespec until = clock_timespec(give_up_ns(models));
        pthread_cond_timedwait(&models->changed, &models->mu, &until);
    } else {
        pthread_cond_wait(&models->changed, &models->mu);
    }
}

static void *loader_main(void *arg)
{
    struct live_models *models = arg;
    pthread_mutex_lock(&models->mu);
    while (!models->stopping) {
        if (!unload_previous(models) && !reload_if_requested(models))
            wait_for_change(models);
    }
    pthread_mutex_unlock(&models->mu);
    return NULL;
}

/* ---- Start and end ---- */

int live_models_new(struct live_models **ret_models, const struct live_model_options *options,
                    struct elmo_error *err)
{
    struct live_models *models = calloc(1, sizeof *models);
    if (!models)
        return elmo_fail_nomem(err);
    models->options = *options;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&models->mu, NULL);
    pthread_cond_init(&models->changed, &attr);
    pthread_cond_init(&models->ended, NULL);
    pthread_condattr_destroy(&attr);
    *ret_models = models;
    return 0;
}

void live_models_free(struct live_models *models)
{
    if (!models)
        return;
    pthread_cond_destroy(&models->ended);
    pthread_cond_destroy(&models->changed);
    pthread_mutex_destroy(&models->mu);
    free(models);
}

static int start_loader(struct live_models *models, struct live_model_failure *failure)
{
    sigset_t before;
    signals_hold(&before);
    int r = pthread_create(&models->loader, NULL, loader_main, models);
    signals_release(&before);
    models->loader_started = r == 0;
    if (r == 0)
        return 0;
    *failure = (struct live_model_failure){.event = "start_failed"};
    return elmo_fail(&failure->err, ELMO_E_NOMEM, "cannot start a thread: %s", strerror(r));
}

int live_models_start(struct live_models *models, struct live_model_failure *failure)
{
    struct live_model *first = NULL;
    int r = start_loader(models, failure); /* before the model: its release needs the thread */
    if (!r)
        r = live_model_new(&first, &models->options, false, failure);
    if (!r)
        replace_current(models, first);
    return r;
}

void live_models_stop(struct live_models *models)
{
    pthread_mutex_lock(&models->mu);
    models->stopping = true;
    pthread_cond_signal(&models->changed);
    pthread_mutex_unlock(&models->mu);
    if (models->loader_started)
        pthread_join(models->loader, NULL);
    pthread_mutex_lock(&models->mu);
    struct live_model *previous = STEAL(models->previous), *current = STEAL(models->current);
    pthread_mutex_unlock(&models->mu);
    assert(!previous || atomic_load(&previous->n_users) == 0);
    assert(!current || atomic_load(&current->n_users) == 1);
    live_model_free(previous);
    live_model_free(current);
}

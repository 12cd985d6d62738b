#include "live_model.h"

#include "error.h"
#include "machine/cpus.h"
#include "ops/log.h"
#include "ops/signals.h"
#include "util/clock.h"
#include "word_cache_fill.h"

static int open_model(struct live_model *live, const struct config *config, struct elmo_error *err)
{
    const struct elmo_model_settings settings = {.dtype = config->dtype,
                                                 .word_cache_bytes = config->word_cache_bytes,
                                                 .softmax = config->softmax,
                                                 .kernel = config->kernel};
    const char *path = config->model;
    return path[0] ? elmo_model_open(&live->model, path, &settings, err)
                   : elmo_model_open_default(&live->model, &settings, err);
}

static void plan_threads(struct live_model *live, const struct config *config)
{
    live->plan =
        thread_plan(config->threads ? config->threads : cpus_available(""), config->batch_threads,
                    elmo_model_info(live->model)->step_bytes, thread_plan_cache_bytes());
}

/* Does nothing unless --word-cache-vocab names a file. */
static int fill_word_cache(const struct live_model *live, const struct live_model_options *options,
                           bool while_serving, struct elmo_error *err)
{
    const struct word_cache_fill_options fill = {.model = live->model,
                                                 .path = options->config->word_cache_vocab,
                                                 .n_threads =
                                                     while_serving ? 1 : live->plan.n_threads,
                                                 .stop = options->stop};
    uint64_t begun_ns = clock_now_ns();
    size_t n_words;
    if (!fill.path[0])
        return 0;
    int r = word_cache_fill(&fill, &n_words, err);
    if (!r)
        log_event(LOG_INFO, "word_cache_filled",
                  LOG_FIELDS(LOG_UINT("words", n_words), LOG_MS("ms", clock_now_ns() - begun_ns)));
    return r;
}

static int start_workers(struct live_model *live, const struct live_model_options *options,
                         struct elmo_error *err)
{
    const struct queue_options queue_options = {
        .costs = options->queue_tokens,
        .schedule = {.max_batch_cost = options->config->batch_tokens,
                     .n_workers = live->plan.n_workers},
        .metrics = options->metrics,
    };
    int r = queue_new(&live->queue, &queue_options, err);
    if (r)
        return r;
    const struct workers_options workers_options = {
        .model = live->model,
        .queue = live->queue,
        .metrics = options->metrics,
        .plan = live->plan,
    };
    sigset_t before;
    signals_hold(&before);
    r = workers_start(&live->workers, &workers_options, err);
    signals_release(&before);
    return r;
}

int live_model_new(struct live_model **ret_live, const struct live_model_options *options,
                   bool while_serving, struct live_model_failure *failure)
{
    AUTO(live_model_free) struct live_model *live = calloc(1, sizeof *live);
    struct elmo_error *err = &failure->err;
    *failure = (struct live_model_failure){.event = "model_failed"};
    if (!live)
        return elmo_fail_nomem(err);
    int r = open_model(live, options->config, err);
    if (r)
        return r;
    plan_threads(live, options->config);
    r = fill_word_cache(live, options, while_serving, err);
    if (r) {
        failure->event = "word_cache_failed";
        return r;
    }
    r = start_workers(live, options, err);
    if (!r)
        *ret_live = STEAL(live);
    return r;
}

void live_model_free(struct live_model *live)
{
    if (!live)
        return;
    if (live->queue)
        queue_close(live->queue);
    workers_stop(live->workers);
    queue_free(live->queue);
    elmo_model_free(live->model);
    free(live);
}

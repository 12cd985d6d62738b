#include "word_vectors_load.h"

#include "ops/log.h"
#include "ops/signals.h"
#include "util/clock.h"

static void log_opened(const struct word_vectors_info *info, uint64_t took_ns)
{
    static const char *const origins[] = {[WORD_VECTORS_FROM_CACHE] = "cache",
                                          [WORD_VECTORS_CACHED] = "text, to the cache",
                                          [WORD_VECTORS_IN_MEMORY] = "text, to memory"};
    if (info->note[0])
        log_event(LOG_WARN, "word_vectors_not_cached", LOG_FIELDS(LOG_TEXT("reason", info->note)));
    log_event(
        LOG_INFO, "word_vectors",
        LOG_FIELDS(LOG_TEXT("name", info->name), LOG_TEXT("from", origins[info->origin]),
                   LOG_UINT("words", info->n_words), LOG_UINT("dim", info->dim),
                   LOG_UINT("repeated", info->n_repeated), LOG_UINT("left_out", info->n_left_out),
                   LOG_UINT("first_left_out_line", info->first_left_out), LOG_MS("ms", took_ns)));
}

bool vectors_file_open(struct service *service)
{
    const struct config *config = service->config;
    const struct word_vectors_options options = {
        .path = config->word_vectors,
        .cache_path = config->word_vectors_cache,
        .lowercase = config->word_vectors_case == CONFIG_CASE_LOWER,
        .stop = signals_stop(),
    };
    struct elmo_error err = {0};
    uint64_t begun_ns = clock_now_ns();
    if (!options.path[0])
        return true;
    if (!word_vectors_open(&service->word_vectors, &options, &err)) {
        log_opened(word_vectors_info(service->word_vectors), clock_now_ns() - begun_ns);
        return true;
    }
    if (atomic_load(options.stop))
        return true;
    log_failure("word_vectors_failed", err.message);
    return false;
}

#pragma once
/* The service's counters, as Prometheus text 0.0.4. Updates are a few relaxed atomic additions,
 * from any thread; labels are closed sets, so every series is there from the first scrape and no
 * client can make one. */
#include <stdint.h>

#include "elmo.h"
#include "protocol/problem.h"
#include "util/buffer.h"

enum metrics_stage { STAGE_PARSE, STAGE_QUEUE, STAGE_COMPUTE, STAGE_WRITE, N_STAGES };

struct metrics_options { /* all strings are borrowed for the life of the metrics */
    /* Label `path` number `index`: a route template; the last is for all other paths. Constant. */
    const char *(*path)(size_t index);
    size_t n_paths; /* at least 1 */
    const char *version;
    const char *commit;
    const char *root; /* of /proc: "" but in tests */
};

struct metrics_model { /* label values of elmod_model_info */
    const char *name;
    const char *hash;
    const char *dtype;         /* of the file */
    const char *compute_dtype; /* of the products */
};

struct metrics;

/* 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int metrics_new(struct metrics **ret_metrics, const struct metrics_options *options,
                              struct elmo_error *err);
void metrics_free(struct metrics *metrics); /* NULL is fine */
DEFINE_AUTO(metrics_free, struct metrics *);

/* A request was answered. `path` is below options.n_paths; a status that is neither 200 nor
 * one of problem.h counts as code="other". */
void metrics_request_done(struct metrics *metrics, size_t path, unsigned status, double seconds);
/* One stage of one request took this long. */
void metrics_stage(struct metrics *metrics, enum metrics_stage stage, double seconds);
/* A worker ran one batch. */
void metrics_batch(struct metrics *metrics, uint64_t n_requests, uint64_t n_tokens);
/* A request was turned away; `reason` is the code of the problem that its client got. */
void metrics_rejected(struct metrics *metrics, enum problem_code reason);

/* What waits has changed by so much. */
void metrics_queue_add(struct metrics *metrics, int64_t n_requests, int64_t n_tokens);
/* Requests between their first byte and their last: +1 and -1. */
void metrics_inflight_add(struct metrics *metrics, int64_t change);
/* The model was to be loaded once more; !ok: it could not be. */
void metrics_reload(struct metrics *metrics, bool ok);

struct metrics_now {                             /* what others know at the moment of a scrape */
    const struct metrics_model *model;           /* that serves; NULL: none does yet */
    uint64_t n_word_hits, n_word_misses;         /* of the word caches of all models so far */
    uint64_t n_vectors_known, n_vectors_unknown; /* words whose vectors were asked for */
};

void metrics_write(struct metrics *metrics, const struct metrics_now *now, struct buffer *out);

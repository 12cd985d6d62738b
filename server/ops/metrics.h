#pragma once
/* The metrics of the service, as Prometheus text 0.0.4. An update is a few relaxed atomic
 * additions, from any thread. Label values are fixed sets, so all series exist from the first
 * scrape and clients cannot create any. */
#include <stdint.h>

#include "elmo.h"
#include "protocol/problem.h"
#include "util/buffer.h"

enum metrics_stage { STAGE_PARSE, STAGE_QUEUE, STAGE_COMPUTE, STAGE_WRITE, N_STAGES };

struct metrics_options { /* all strings are borrowed for the life of the metrics */
    /* Value number `index` of label `path`: a route template; the last one is for all other paths.
     * The result must not change. */
    const char *(*path)(size_t index);
    size_t n_paths; /* at least 1 */
    const char *version;
    const char *commit;
    const char *root; /* parent of /proc: "" except in tests */
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

/* Counts an answered request. `path` must be less than options.n_paths. A status that is neither
 * 200 nor in problem.h counts as code="other". */
void metrics_request_done(struct metrics *metrics, size_t path, unsigned status, double seconds);
/* Records the time of one stage of a request. */
void metrics_stage(struct metrics *metrics, enum metrics_stage stage, double seconds);
/* Counts a batch that a worker runs. */
void metrics_batch(struct metrics *metrics, uint64_t n_requests, uint64_t n_tokens);
/* Counts a refused request. `reason` is the code of the problem in the answer. */
void metrics_rejected(struct metrics *metrics, enum problem_code reason);

/* Adds to the numbers of waiting requests and tokens. */
void metrics_queue_add(struct metrics *metrics, int64_t n_requests, int64_t n_tokens);
/* Adds to the number of requests in progress. */
void metrics_inflight_add(struct metrics *metrics, int64_t change);
/* Counts a reload of the model; !ok: it failed. */
void metrics_reload(struct metrics *metrics, bool ok);

struct metrics_now {                     /* values of other modules at the time of a scrape */
    const struct metrics_model *model;   /* the current model; NULL: none is loaded */
    uint64_t n_word_hits, n_word_misses; /* of the word caches of all models so far */
    uint64_t n_vectors_known, n_vectors_unknown; /* words whose vectors were requested */
};

void metrics_write(struct metrics *metrics, const struct metrics_now *now, struct buffer *out);
